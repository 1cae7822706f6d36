"""The model of a service: from `spec.model` to the repository id or directory that the engine loads."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote

from hearth.api import LLMService
from hearth.planning.errors import PlanningError
from hearth.planning.target import Target
from hearth.plugins import ResolvedModel

MODELS_PATH = "/models"
"""The path at which a pvc:// model is mounted, read-only."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_FIELD = "spec.model.source.uri"


def resolve_model(service: LLMService, target: Target) -> ResolvedModel:
    """Return where the model of a service comes from. Pure: the engine finds out whether it exists.

    Raises PlanningError: `UnknownModelScheme`, `InvalidModelURI`, `ModelNeedsCluster` (pvc on one machine),
    `ModelNeedsLocal` (file in a cluster).
    """
    source = service.spec.model.source
    if source is None:
        raise PlanningError(
            "ModelSourceMissing", "spec.model.source is missing", "write source: {uri: hf://organisation/model}"
        )
    uri = source.uri
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in sorted(_SCHEMES))
        raise PlanningError("UnknownModelScheme", f"{_FIELD}: {uri!r} has an unknown scheme", f"use {known}")
    return _SCHEMES[scheme](uri, rest, target)


def _hub(scheme: str) -> Callable[[str, str, Target], ResolvedModel]:
    def resolve(uri: str, rest: str, target: Target) -> ResolvedModel:
        if "@" in rest:
            repository, _, revision = rest.partition("@")
            raise PlanningError(
                "InvalidModelURI",
                f"{_FIELD}: {uri!r} carries a revision",
                f"write {scheme}://{repository} and add --revision={revision} to spec.runtime.argsOverride",
            )
        if not _REPOSITORY.fullmatch(rest):
            raise PlanningError(
                "InvalidModelURI",
                f"{_FIELD}: {uri!r} does not name a repository",
                f"write {scheme}://organisation/model",
            )
        return ResolvedModel(uri=uri, scheme=scheme, path=rest)

    return resolve


def _claim(uri: str, rest: str, target: Target) -> ResolvedModel:
    claim, _, subpath = rest.partition("/")
    if not _CLAIM.fullmatch(claim):
        raise PlanningError(
            "InvalidModelURI",
            f"{_FIELD}: {uri!r} does not name a PersistentVolumeClaim",
            "write pvc://claim or pvc://claim/directory",
        )
    if target == "local":
        raise PlanningError(
            "ModelNeedsCluster",
            f"{_FIELD}: {uri!r} is a Kubernetes volume claim, and one machine has none",
            "write file:///absolute/directory, or hf://organisation/model",
        )
    inside = posixpath.normpath(subpath) if subpath else ""
    if inside == ".." or inside.startswith(("../", "/")) or "\0" in inside:
        raise PlanningError(
            "InvalidModelURI",
            f"{_FIELD}: {uri!r} leads out of the volume",
            "write a directory inside the claim, without '..'",
        )
    inside = "" if inside == "." else inside
    path = posixpath.join(MODELS_PATH, inside) if inside else MODELS_PATH
    return ResolvedModel(uri=uri, scheme="pvc", path=path, claim=claim, subpath=inside or None)


def _file(uri: str, rest: str, target: Target) -> ResolvedModel:
    if target == "cluster":
        raise PlanningError(
            "ModelNeedsLocal",
            f"{_FIELD}: {uri!r} is a directory of one machine, and a pod may run on any node",
            "put the weights on a volume and write pvc://claim/directory, or use hf://organisation/model",
        )
    path = unquote(rest)
    if not path.startswith("/") or "\0" in path:
        raise PlanningError(
            "InvalidModelURI",
            f"{_FIELD}: {uri!r} is not an absolute path on this machine",
            "write three slashes: file:///absolute/directory",
        )
    return ResolvedModel(uri=uri, scheme="file", path=posixpath.normpath(path))


_SCHEMES: dict[str, Callable[[str, str, Target], ResolvedModel]] = {
    "hf": _hub("hf"),
    "huggingface": _hub("hf"),
    "modelscope": _hub("modelscope"),
    "pvc": _claim,
    "file": _file,
}
