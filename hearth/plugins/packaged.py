"""Packaged runtimes: the InferenceRuntimes that plugins ship, read from their files and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.plugins.vendor import RuntimeManifest

if TYPE_CHECKING:
    from hearth.api import InferenceRuntime

RUNTIMES_HOOK = "hearth_runtimes"


@dataclass(frozen=True, slots=True)
class PackagedRuntime:
    """InferenceRuntime that a plugin ships, its origin (`hearth-fake 0.1.0, vllm-fake.yaml`), and its YAML.

    `text` is the file as it was shipped, with its comments.
    """

    manifest: InferenceRuntime
    origin: str
    text: str


class NotPackaged(Exception):
    """Fault of a packaged runtime; the text says what is wrong."""


def runtime_manifests(result: object) -> tuple[RuntimeManifest, ...]:
    """Return the result of `hearth_runtimes` as manifests. Raises NotPackaged when it is anything else."""
    if result is None:
        return ()
    if not isinstance(result, Iterable):
        raise NotPackaged(f"it returned {result!r}, not RuntimeManifests")
    manifests = tuple(result)
    for manifest in manifests:
        if not isinstance(manifest, RuntimeManifest):
            raise NotPackaged(f"it returned {manifest!r} among its runtimes, not a RuntimeManifest")
    return manifests


def read_packaged(manifest: RuntimeManifest, *, vendor: str, source: str) -> PackagedRuntime:
    """Read the file of a manifest; `source` names the distribution and its version.

    Raises NotPackaged when the file cannot be read, or holds anything but one InferenceRuntime of this name and vendor.
    """
    from hearth.api import HearthError, parse_manifests

    origin = f"{source}, {manifest.file.name}"
    try:
        text = manifest.file.read_text(encoding="utf-8")
        manifests = parse_manifests(text, file=origin)
    except (OSError, UnicodeDecodeError, HearthError) as exc:
        raise NotPackaged(str(exc)) from exc
    if manifests.services or len(manifests.runtimes) != 1:
        raise NotPackaged(f"{origin} does not hold exactly one InferenceRuntime")
    runtime = manifests.runtimes[0]
    if runtime.metadata.name != manifest.name:
        raise NotPackaged(f"{origin} holds {runtime.metadata.name!r}, not {manifest.name!r}")
    if runtime.spec.vendor != vendor:
        raise NotPackaged(f"{origin} has spec.vendor {runtime.spec.vendor!r}, not {vendor!r}")
    return PackagedRuntime(runtime, origin, text)


def shared_names(packaged: Mapping[str, Iterable[PackagedRuntime]]) -> dict[str, str]:
    """Return, for each vendor that ships a runtime under the name of another one, a sentence that says so."""
    owners: dict[str, list[str]] = {}
    for vendor, runtimes in packaged.items():
        for runtime in runtimes:
            owners.setdefault(runtime.manifest.metadata.name, []).append(vendor)
    return {
        vendor: f"the runtime {name!r} is shipped by {' and '.join(vendors)}"
        for name, vendors in sorted(owners.items())
        if len(vendors) > 1
        for vendor in vendors
    }
