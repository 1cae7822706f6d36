"""Vendor types that need no model: identity, devices, local launch, packaged runtimes.

This module imports the standard library only, so that listing plugins stays cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PLUGIN_API = 1
"""The version of the hook contract that this Hearth speaks. It grows only when an existing plugin would break."""

VENDOR_KEY = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A vendor key is a DNS-1123 label: it becomes a label value and a part of distribution names."""

_WORD = re.compile(r"[a-z][a-z0-9-]*")
_REASON = re.compile(r"[A-Z][A-Za-z0-9]{0,127}")

# Instances that come from a plugin are validated field by field, not trusted because of their class.
_CHECKED: Mapping[str, Any] = {"revalidate_instances": "always"}


class PluginRejects(Exception):
    """Rejection by a vendor, the one expected exception of a hook: it cannot do what the user asks for.

    `reason` is a CamelCase word (it becomes a condition's reason), `message` says what is impossible and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Raise ValueError for a reason that no condition can have, and for a message that says nothing."""
        if not isinstance(reason, str) or not _REASON.fullmatch(reason):
            raise ValueError(f"PluginRejects.reason: {reason!r} is not a CamelCase word such as FractionUnsupported")
        if not isinstance(message, str) or not message.strip():
            raise ValueError(f"PluginRejects.message: {message!r} is not a sentence")
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class VendorInfo:
    """Identity of a plugin.

    `name` is the vendor key and equals the entry point's name. `title` is what people call the hardware.
    `api` is the version of the contract that the plugin was written for. `resource_prefixes` are the prefixes of the
    extended resources that it serves (`nvidia.com/`), for messages. `capabilities` are lower-case words; Hearth knows
    `local` (runs as processes on one machine; needs the three local hooks) and `fraction` (`spec.resources.fraction`).
    """

    name: str
    title: str
    api: int = PLUGIN_API
    resource_prefixes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError naming the field and the value. Done by hand: this type is built while plugins load."""
        if not isinstance(self.name, str) or not VENDOR_KEY.fullmatch(self.name):
            raise ValueError(f"VendorInfo.name: {self.name!r} is not a DNS label (lower-case letters, digits, '-')")
        if not isinstance(self.title, str) or not self.title.strip():
            raise ValueError(f"VendorInfo.title: {self.title!r} is not a text")
        if not isinstance(self.api, int) or isinstance(self.api, bool):
            raise ValueError(f"VendorInfo.api: {self.api!r} is not an integer")
        for name in ("resource_prefixes", "capabilities"):
            words = getattr(self, name)
            if isinstance(words, str) or not all(isinstance(word, str) and word for word in words):
                raise ValueError(f"VendorInfo.{name}: {words!r} is not a sequence of texts")
            object.__setattr__(self, name, tuple(words))
        for word in self.capabilities:
            if not _WORD.fullmatch(word):
                raise ValueError(f"VendorInfo.capabilities: {word!r} is not a lower-case word")


@dataclass(frozen=True, slots=True)
class Device:
    """Accelerator of this machine. `id` is what the visible-devices variable takes; `memory` is in bytes."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    id: str
    name: str
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class InventorySource:
    """Source of a device inventory: what the host reads so that a plugin can list the devices.

    `command` is an argv to run (empty: none); `environment` are the names of the variables to read.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InventoryOutput:
    """Output of an `InventorySource`: the command's standard output and the variables that are set."""

    stdout: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LocalLaunch:
    """Command that starts the engine as a process on one machine.

    `argv` replaces the image's entrypoint: the host appends the runtime's rendered arguments and the port.
    `env` is added to the environment (the visible-devices variable belongs here). `cwd` is absolute, or None.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class RuntimeManifest:
    """Manifest of an InferenceRuntime inside a plugin: its `metadata.name` and the file that holds it (one document)."""

    name: str
    file: Traversable


def packaged_runtimes(package: str) -> tuple[RuntimeManifest, ...]:
    """Return the `runtimes/*.yaml` of an import package, by file name; a file is named after its runtime."""
    from importlib.resources import files  # slow to import, and most commands list no runtimes

    found = [entry for entry in files(package).joinpath("runtimes").iterdir() if entry.name.endswith(".yaml")]
    return tuple(RuntimeManifest(entry.name.removesuffix(".yaml"), entry) for entry in sorted(found, key=_file_name))


def _file_name(entry: Traversable) -> str:
    return entry.name
