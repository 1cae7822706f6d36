"""YAML documents as plain data that knows where each value stands.

Values are resolved as `kubectl` resolves them (YAML 1.1 without sexagesimal numbers; timestamps stay text), with JSON's
types as the result. The size of a file, the depth of nesting and the number of values after the expansion of aliases
are bounded, so no input takes long or much memory; nothing but plain data is ever built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml

from hearth.api.wording import FieldPath, kind_of

LARGEST_FILE: Final = 2**20
"""Bytes of one file."""

MOST_VALUES: Final = 100_000
"""Values in one document once aliases are expanded."""

MOST_DOCUMENTS: Final = 5_000
"""Documents of one file."""

MOST_BROKEN: Final = 20
"""Broken documents of one file after which the rest is not read."""

DEEPEST: Final = 64
"""Levels of nesting of one document."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: 10 times faster
_BOOLEAN: Final = re.compile(r"(?P<yes>true|True|TRUE|yes|Yes|YES|on|On|ON)|false|False|FALSE|no|No|NO|off|Off|OFF")
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<binary>[01_]+)|0x(?P<hexadecimal>[0-9a-fA-F_]+)|0o?(?P<octal>[0-7_]+)"
    r"|(?P<decimal>0|[1-9][0-9_]*))"
)
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_BASES: Final = {"binary": 2, "hexadecimal": 16, "octal": 8, "decimal": 10}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_CORE_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "map", "null", "seq"))
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_UNPRINTABLE: Final = yaml.reader.Reader.NON_PRINTABLE
_DOCUMENT_START: Final = re.compile(r"---(?:\s|$)")


class _Text(str):
    """Text that differs from any other by identity."""

    __slots__ = ()


_MERGE: Final = _Text("<<")
"""The plain scalar `<<`, which merges a mapping where it is a key. In quotes it is text like any other, as to kubectl."""


@dataclass(slots=True)
class Node:
    """A value of a document. `line` and `column` count from 1; `text` is what the file says, for scalars."""

    value: Any
    line: int
    column: int
    text: str | None = None
    children: dict[str | int, Node] = field(default_factory=dict)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)  # where each key of a mapping stands
    count: int = 1
    height: int = 1

    def position(self, path: FieldPath) -> tuple[int, int]:
        """Where `path` stands: its key, or its value if it is an item; the nearest parent if it is absent."""
        node, position = self, (self.line, self.column)
        for step in path:
            child = node.children.get(step)
            if child is None:
                return position
            position = node.keys.get(cast("str", step), (child.line, child.column))
            node = child
        return position

    def at(self, path: FieldPath) -> Node | None:
        """Return the node at `path`, if there is one."""
        node: Node | None = self
        for step in path:
            node = node.children.get(step) if node else None
        return node


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; `number` counts from 1. `root` is None when it holds nothing."""

    number: int
    root: Node | None


@dataclass(frozen=True, slots=True)
class YamlFault:
    """What is wrong with the YAML itself."""

    document: int
    line: int
    column: int
    path: FieldPath
    message: str
    remedy: str


def read_documents(text: str) -> tuple[list[Document], list[YamlFault]]:
    """Every document of `text` that can be read, and what is wrong with the YAML of it and of the others.

    A repeated or unquoted key is a fault of a document that can still be read; broken syntax is not.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        line = text.count("\n", 0, unprintable.start()) + 1
        column = unprintable.start() - text.rfind("\n", 0, unprintable.start())
        character = f"character U+{ord(unprintable[0]):04X}"
        return [], [YamlFault(0, line, column, (), f"{character} is not allowed in YAML", "remove it")]
    documents: list[Document] = []
    faults: list[YamlFault] = []
    start = number = 0  # the line, from 0, where the parser starts, and the documents before it
    for _ in range(MOST_BROKEN):
        composer = _Composer(number, start)
        try:
            for document in composer.documents("\n".join(lines[start:])):
                documents.append(document)
            return documents, [*faults, *composer.faults]
        except _Refused as refusal:
            fault = refusal.fault
        except yaml.MarkedYAMLError as error:
            fault = _explained(error, composer, lines)
        faults += [*composer.faults, fault]
        # What follows the broken document can be read again from the next document marker on.
        broken = max(fault.line - 1, start + 1)
        start = next((n for n in range(broken, len(lines)) if _DOCUMENT_START.match(lines[n])), len(lines))
        number = composer.number
        if start == len(lines) or number > MOST_DOCUMENTS:
            break
    return documents, faults


class _Refused(Exception):
    def __init__(self, fault: YamlFault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    node: Node
    anchor: str | None
    key: tuple[str, int, int] | None = None  # the key whose value comes next
    merged: list[Node] = field(default_factory=list)


class _Composer:
    """Builds nodes from the parser's events, without recursion."""

    def __init__(self, before: int, offset: int) -> None:
        self.number = before + 1
        self.offset = offset
        self.faults: list[YamlFault] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._root: Node | None = None

    @property
    def innermost(self) -> Node | None:
        """The collection whose end comes next."""
        return self._open[-1].node if self._open else None

    def documents(self, text: str) -> Iterator[Document]:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                self._open, self._anchors, self._root = [], {}, None
                if self.number > MOST_DOCUMENTS:
                    mark = cast("yaml.Mark", event.start_mark)
                    line, column = mark.line + 1 + self.offset, mark.column + 1
                    raise self._refusal(line, column, f"more than {MOST_DOCUMENTS} documents", "split the file")
            elif isinstance(event, yaml.DocumentEndEvent):
                yield Document(self.number, self._root if self._root and self._root.value is not None else None)
                self.number += 1
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()

    def _node(self, event: yaml.NodeEvent) -> None:
        mark = cast("yaml.Mark", event.start_mark)
        line, column = mark.line + 1 + self.offset, mark.column + 1
        if isinstance(event, yaml.AliasEvent):
            self._place(self._alias(event, line, column), line, column)
            return
        if isinstance(event, yaml.CollectionStartEvent):
            self._check_tag(event, line, column)
            node = Node({} if isinstance(event, yaml.MappingStartEvent) else [], line, column)
            if len(self._open) == DEEPEST:
                raise self._refusal(line, column, f"more than {DEEPEST} levels of nesting", "make it flatter")
            if event.anchor:
                self._anchors[event.anchor] = None  # until its end an alias to it would be endless
            self._open.append(_Open(node, event.anchor))
            return
        assert isinstance(event, yaml.ScalarEvent)
        node = Node(self._scalar(event, line, column), line, column, text=event.value)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._place(node, line, column)

    def _close(self) -> None:
        opened = self._open.pop()
        node = opened.node
        for source in opened.merged:
            for key, child in source.children.items():
                if key not in node.children:
                    node.children[key] = child
                    node.value[key] = child.value
                    node.keys[cast("str", key)] = source.keys[cast("str", key)]
        if opened.anchor:
            self._anchors[opened.anchor] = node
        self._place(node, node.line, node.column)

    def _place(self, node: Node, line: int, column: int) -> None:
        """Put a finished node where it belongs: the root, an item, a key or the value of a key."""
        if not self._open:
            self._root = node
            return
        opened = self._open[-1]
        parent = opened.node
        if isinstance(parent.value, list):
            parent.children[len(parent.value)] = node
            parent.value.append(node.value)
        elif opened.key is None:
            opened.key = (self._key(node, line, column), line, column)
            return
        else:
            key, key_line, key_column = opened.key
            opened.key = None
            if key is _MERGE:
                opened.merged += self._merged(node, line, column)
                self._weigh(parent, node)
                return
            if key in parent.children:
                first = parent.keys[key][0]
                self._fault(key_line, key_column, f"it is given twice, first in line {first}", "keep one of them", key)
                return
            parent.children[key] = node
            parent.keys[key] = (key_line, key_column)
            parent.value[key] = node.value
        self._weigh(parent, node)

    def _weigh(self, parent: Node, child: Node) -> None:
        parent.count += child.count
        parent.height = max(parent.height, child.height + 1)
        if parent.count > MOST_VALUES or parent.height > DEEPEST:
            raise self._refusal(
                child.line, child.column, f"more than {MOST_VALUES} values or {DEEPEST} levels", "use fewer aliases"
            )

    def _key(self, node: Node, line: int, column: int) -> str:
        if isinstance(node.value, str):
            return node.value
        if node.text is None:
            raise self._refusal(
                line,
                column,
                "the name of a field is a mapping or a list",
                "write text; if this is a template ({{ ... }}), render it first or put it in quotes",
            )
        self._fault(
            line,
            column,
            f"{node.text or 'null'} is read as {kind_of(node.value)}, and the name of a field is text",
            f'put it in quotes: "{node.text}"',
        )
        return node.text

    def _merged(self, node: Node, line: int, column: int) -> list[Node]:
        sources = list(node.children.values()) if isinstance(node.value, list) else [node]
        if all(isinstance(source.value, dict) for source in sources):
            return sources
        self._fault(line, column, "'<<' merges something that is not a mapping", "give it an alias of a mapping", "<<")
        return []

    def _alias(self, event: yaml.NodeEvent, line: int, column: int) -> Node:
        if event.anchor not in self._anchors:
            raise self._refusal(
                line,
                column,
                f"*{event.anchor} refers to nothing",
                f"define &{event.anchor} before it, or put the text in quotes",
            )
        node = self._anchors[event.anchor]
        if node is None:
            raise self._refusal(line, column, f"*{event.anchor} contains itself", "write the value out")
        return node

    def _scalar(self, event: yaml.ScalarEvent, line: int, column: int) -> Any:
        if event.tag in _TEXT_TAGS:
            return event.value
        if event.tag is None and not event.implicit[0]:
            return event.value
        self._check_tag(event, line, column)
        return _MERGE if event.value == _MERGE else resolve(event.value)

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int, column: int) -> None:
        if event.tag is not None and event.tag not in _CORE_TAGS and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._fault(line, column, f"the YAML tag {tag} has no meaning in a manifest", "remove it")

    def _path(self) -> FieldPath:
        path: list[str | int] = []
        for opened in self._open:
            if opened.key is not None:
                path.append(opened.key[0])
            elif isinstance(opened.node.value, list):
                path.append(len(opened.node.value))
        return tuple(path)

    def _fault(self, line: int, column: int, message: str, remedy: str, *path: str) -> None:
        self.faults.append(YamlFault(self.number, line, column, (*self._path(), *path), message, remedy))

    def _refusal(self, line: int, column: int, message: str, remedy: str) -> _Refused:
        return _Refused(YamlFault(self.number, line, column, self._path(), message, remedy))


def resolve(text: str) -> Any:
    """Return what an unquoted scalar means: null, a boolean, a number or text."""
    if text in _NULLS:
        return None
    if boolean := _BOOLEAN.fullmatch(text):
        return boolean["yes"] is not None
    if len(text) > 64:
        return text
    if integer := _INTEGER.fullmatch(text):
        digits = integer[integer.lastgroup or ""].replace("_", "")
        if digits:
            number = int(digits, _BASES[integer.lastgroup or ""])
            return -number if integer["sign"] == "-" else number
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(inf|nan)", r"\1", text.replace("_", "").lower()))
    return text


def _explained(error: yaml.MarkedYAMLError, composer: _Composer, lines: list[str]) -> YamlFault:
    """Explain a syntax error in words that hold for libyaml and the pure parser alike."""
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + composer.offset, mark.column) if mark else (composer.offset, 0)
    source = lines[line] if line < len(lines) else ""
    if "\t" in source[: len(source) - len(source.lstrip())] or source[column : column + 1] == "\t":
        message, remedy = "a tab indents this line, and YAML allows only spaces", "replace the tab with spaces"
    elif "escape" in problem:
        message, remedy = "an unknown escape in double quotes", "write \\\\ for a backslash, or use single quotes"
    elif "quoted scalar" in context or "double-quoted" in context:
        message, remedy = "text in quotes is not closed", "add the closing quote"
        line, column = _moved(error.context_mark, composer, line, column)
    elif "flow node" in context and composer.innermost:
        message, remedy = "the [ or { that opens here is not closed", "add the missing ']' or '}'"
        line, column = composer.innermost.line - 1, composer.innermost.column - 1
    elif "flow sequence" in context:
        message, remedy = "a list in [ ] is not closed, or lacks a comma", "add the missing ',' or ']'"
        line, column = _moved(error.context_mark, composer, line, column)
    elif "flow mapping" in context:
        message, remedy = "a mapping in { } is not closed, or lacks a comma", "add the missing ',' or '}'"
        line, column = _moved(error.context_mark, composer, line, column)
    elif "cannot start any token" in problem:
        message, remedy = f"a value cannot start with {source[column : column + 1]!r}", "put the value in quotes"
    elif "mapping values are not allowed" in problem:
        message = "a ':' stands where no field can start"
        remedy = "indent the field like its siblings, or put a value that contains ': ' in quotes"
    elif "incompatible YAML" in problem:
        message, remedy = "this version of YAML is not supported", "remove the %YAML line"
    else:
        message = "the YAML is malformed here"
        remedy = "check the indentation and the quotes of this line and of the one before"
    return YamlFault(composer.number, line + 1, column + 1, (), message, remedy)


def _moved(mark: yaml.Mark | None, composer: _Composer, line: int, column: int) -> tuple[int, int]:
    return (mark.line + composer.offset, mark.column) if mark else (line, column)
