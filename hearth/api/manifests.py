"""Reading manifests: files, directories and standard input to checked objects, or every error at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from pydantic import ValidationError

from hearth.api import messages
from hearth.api.base import API_VERSION
from hearth.api.documents import LARGEST_FILE, Node, read_documents
from hearth.api.errors import ManifestError, ManifestErrors
from hearth.api.runtime import InferenceRuntime
from hearth.api.service import LLMService
from hearth.api.wording import FieldPath, closest, kind_of, spelled

KINDS: Final[Mapping[str, type[LLMService] | type[InferenceRuntime]]] = MappingProxyType(
    {"InferenceRuntime": InferenceRuntime, "LLMService": LLMService}
)
STDIN: Final = "-"

ObjectKey = tuple[str, str, str]
"""Kind, namespace ("" for kinds without) and name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object was read. `document` and `line` count from 1."""

    file: str
    document: int
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects that were read, in the order of the files, and where each of them stood."""

    services: tuple[LLMService, ...]
    runtimes: tuple[InferenceRuntime, ...]
    files: tuple[str, ...] = ()
    origins: Mapping[ObjectKey, Origin] = field(default_factory=dict)

    def origin(self, item: LLMService | InferenceRuntime) -> Origin | None:
        """Where `item` was read."""
        return self.origins.get(object_key(item))


def object_key(item: LLMService | InferenceRuntime) -> ObjectKey:
    """Return what identifies an object: kind, namespace and name."""
    namespace = item.metadata.namespace if isinstance(item, LLMService) else ""
    return (type(item).__name__, namespace, item.metadata.name)


def load_manifests(paths: Iterable[str | os.PathLike[str]], *, stdin: BinaryIO | None = None) -> Manifests:
    """Return the objects in files, in the *.yaml and *.yml files of directories, and in standard input (`-`).

    Raises ManifestErrors with every error of every file.
    """
    reader = _Reader()
    seen: set[str] = set()
    for path in paths:
        for file in reader.files(os.fspath(path)):
            place = file if file == STDIN else str(Path(file).resolve())
            if place not in seen:
                seen.add(place)
                reader.read_file(file, stdin)
    return reader.result()


def parse_manifests(text: str, *, file: str = "<text>") -> Manifests:
    """Return the objects in `text`; `file` is what the errors call it. Raises ManifestErrors with every error."""
    reader = _Reader()
    reader.read_text(file, text)
    return reader.result()


@dataclass(frozen=True, slots=True)
class _Place:
    """An object in a file: `prefix` is the path from the document to it, for the items of a List."""

    file: str
    document: int
    root: Node
    prefix: FieldPath = ()


class _Reader:
    def __init__(self) -> None:
        self.errors: list[ManifestError] = []
        self.services: list[LLMService] = []
        self.runtimes: list[InferenceRuntime] = []
        self.names: list[str] = []
        self.origins: dict[ObjectKey, Origin] = {}

    def result(self) -> Manifests:
        if not self.errors and not self.services and not self.runtimes:
            self._file_fault(", ".join(self.names), "no object is in it", f"write an {' or an '.join(KINDS)}")
        if self.errors:
            order = {name: number for number, name in enumerate(self.names)}
            raise ManifestErrors(
                sorted(self.errors, key=lambda e: (order.get(e.file, -1), e.document, e.line, e.column))
            )
        return Manifests(tuple(self.services), tuple(self.runtimes), tuple(self.names), MappingProxyType(self.origins))

    def files(self, path: str) -> list[str]:
        """Return the files that `path` stands for."""
        if path == STDIN or not Path(path).is_dir():
            return [path]
        found = sorted(str(f) for f in Path(path).iterdir() if f.suffix in (".yaml", ".yml") and f.is_file())
        if not found:
            self._file_fault(path, "no *.yaml or *.yml file is in this directory", "name the file or another directory")
        return found

    def read_file(self, path: str, stdin: BinaryIO | None) -> None:
        name = "<stdin>" if path == STDIN else path
        try:
            if path == STDIN:
                data = (stdin or sys.stdin.buffer).read(LARGEST_FILE + 1)
            else:
                with Path(path).open("rb") as file:
                    data = file.read(LARGEST_FILE + 1)
        except FileNotFoundError:
            self._file_fault(name, "there is no such file", "check the path")
            return
        except OSError as error:
            self._file_fault(name, f"it cannot be read ({error.strerror})", "check its permissions")
            return
        if len(data) > LARGEST_FILE:
            self._file_fault(name, f"it is larger than {LARGEST_FILE // 2**20} MiB", "split it into several files")
            return
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._file_fault(name, f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8", line=line)
            return
        self.read_text(name, text)

    def read_text(self, file: str, text: str) -> None:
        self.names.append(file)
        documents, faults = read_documents(text)
        for fault in faults:
            self.errors.append(
                ManifestError(
                    file,
                    fault.document,
                    fault.line,
                    spelled(fault.path),
                    None,
                    fault.message,
                    fault.remedy,
                    column=fault.column,
                )
            )
        for document in documents:
            if document.root is not None:
                self._read_object(_Place(file, document.number, document.root))

    def _read_object(self, place: _Place) -> None:
        content = place.root.value
        if not isinstance(content, dict):
            message = f"the document is {kind_of(content)}, not a mapping"
            self._fault(place, (), message, "start it with apiVersion and kind")
            return
        kind = content.get("kind")
        if kind == "List" and isinstance(content.get("items"), list):
            for index in range(len(content["items"])):
                node = place.root.children["items"].children[index]
                self._read_object(_Place(place.file, place.document, node, (*place.prefix, "items", index)))
            return
        if not isinstance(kind, str) or kind not in KINDS:
            self._fault(place, ("kind",), *_unknown_kind(place.root.at(("kind",))), value=kind)
            return
        if content.get("apiVersion") is None:
            self._fault(place, ("apiVersion",), "it is missing", f"add apiVersion: {API_VERSION}")
        self._register(place, kind)
        try:
            item = KINDS[kind].model_validate(content, by_alias=True, by_name=False)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                found = messages.explain(details, place.root, KINDS[kind])
                self._fault(place, found.path, found.message, found.remedy, value=found.value)
            return
        if isinstance(item, LLMService):
            self.services.append(item)
        else:
            self.runtimes.append(item)

    def _register(self, place: _Place, kind: str) -> None:
        """Remembers where the object stands, and complains if it stands somewhere else already."""
        metadata = place.root.value.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            return
        namespace = metadata.get("namespace") or "default" if kind == "LLMService" else ""
        key = (kind, str(namespace), metadata["name"])
        first = self.origins.setdefault(key, Origin(place.file, place.document, place.root.line))
        if (first.file, first.document, first.line) != (place.file, place.document, place.root.line):
            label = "/".join(filter(None, key[1:]))
            message = f"{kind} {label} is defined already at {first}"
            self._fault(place, ("metadata", "name"), message, "remove or rename one of them", value=metadata["name"])

    def _fault(self, place: _Place, path: FieldPath, message: str, remedy: str, *, value: Any = None) -> None:
        line, column = place.root.position(path)
        field = spelled((*place.prefix, *path))
        self.errors.append(
            ManifestError(place.file, place.document, line, field, value, message, remedy, column=column)
        )

    def _file_fault(self, file: str, message: str, remedy: str, *, line: int = 0) -> None:
        self.errors.append(ManifestError(file, 0, line, "", None, message, remedy))


def _unknown_kind(node: Node | None) -> tuple[str, str]:
    known = " and ".join(KINDS)
    if node is None or node.value is None:
        return "it is missing", f"write one of the kinds that Hearth knows: {known}"
    message = f"{messages.shown(node)} is not a kind that Hearth knows (these are {known})"
    near = closest(node.value, KINDS) if isinstance(node.value, str) else None
    return message, f"did you mean {near}?" if near else "keep objects of other kinds in other files"
