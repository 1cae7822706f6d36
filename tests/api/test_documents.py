from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hearth.api import documents
from hearth.api.documents import YamlFault, read_documents

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=12) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(params=["libyaml", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers that PyYAML may have."""
    if request.param == "pure":
        monkeypatch.setattr(documents, "_LOADER", yaml.SafeLoader)
    return str(request.param)


def value_of(text: str) -> Any:
    found, faults = read_documents(text)
    assert faults == []
    assert len(found) == 1
    return found[0].root.value if found[0].root else None


def fault_of(text: str) -> YamlFault:
    _, faults = read_documents(text)
    assert len(faults) == 1
    return faults[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", True),
        ("No", False),
        ("y", "y"),
        ("~", None),
        ("", None),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("-1_000", -1000),
        ("08", "08"),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("'on'", "on"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int 1", 1),
        ("9" * 70, "9" * 70),
    ],
)
def test_scalars_mean_what_they_mean_to_kubectl(text: str, value: Any, parser: str) -> None:
    assert value_of(f"a: {text}") == {"a": value}


@given(plain)
def test_what_yaml_writes_reads_back(value: Any) -> None:
    # Quoted, because PyYAML and kubectl disagree on plain scalars such as 0E0; what is no text gets a tag.
    for flow in (True, False):
        text = yaml.safe_dump({"a": value}, default_flow_style=flow, default_style='"')
        assert value_of(text) == {"a": value}


@pytest.mark.parametrize("key", ['"<<"', "'<<'", "!!str <<"])
def test_a_quoted_merge_key_is_a_name(key: str) -> None:
    assert value_of(f"a: {{{key}: {{b: 1}}}}") == {"a": {"<<": {"b": 1}}}


def test_values_know_where_they_stand(parser: str) -> None:
    found, _ = read_documents("a: 1\nb:\n  - x\n  - {c: d}\n---\ne: 2\n")
    first, second = (document.root for document in found)
    assert first
    assert second
    assert first.position(("b",)) == (2, 1)
    assert first.position(("b", 0)) == (3, 5)
    assert first.position(("b", 1, "c")) == (4, 6)
    assert first.position(("b", 1, "absent")) == (4, 5)
    assert second.position(("e",)) == (6, 1)
    assert [document.number for document in found] == [1, 2]


def test_anchors_and_merge_keys(parser: str) -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 4}]}\nthree: *b\n"
    assert value_of(text) == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"x": 1, "y": 2, "z": 4},
        "three": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize(
    ("text", "line", "message", "remedy"),
    [
        ("a:\n\tb: 1\n", 2, "a tab indents this line", "replace the tab with spaces"),
        ("a: b: c", 1, "a ':' stands where no field can start", "put a value that contains ': ' in quotes"),
        ("a: 1\n  b: 2", 2, "a ':' stands where no field can start", "indent the field like its siblings"),
        ("x: 1\na: 'b\nc: 1\n", 2, "text in quotes is not closed", "add the closing quote"),
        ('a: "\\q"', 1, "an unknown escape in double quotes", "use single quotes"),
        ("x: 1\na: [1, 2\nb: 2\n", 2, "a list in [ ] is not closed, or lacks a comma", "add the missing ',' or ']'"),
        ("x: 1\na: {b: 1\nc: 2\n", 2, "a mapping in { } is not closed, or lacks a comma", "add the missing ',' or '}'"),
        ("a: @b", 1, "a value cannot start with '@'", "put the value in quotes"),
        ("a: `b`", 1, "a value cannot start with '`'", "put the value in quotes"),
        ("- a\nb: 1", 2, "the YAML is malformed here", "check the indentation"),
        ("%YAML 3.0\n---\na: 1", 1, "this version of YAML is not supported", "remove the %YAML line"),
        ("a: {{ .Values.x }}", 1, "the name of a field is a mapping or a list", "render it first or put it in quotes"),
        ("a: 1\na: 2", 2, "it is given twice, first in line 1", "keep one of them"),
        ("on: 1", 1, "on is read as a boolean, and the name of a field is text", 'put it in quotes: "on"'),
        ("1: 1", 1, "1 is read as a number, and the name of a field is text", 'put it in quotes: "1"'),
        ("a: *b", 1, "*b refers to nothing", "define &b before it, or put the text in quotes"),
        ("a: &b [*b]", 1, "*b contains itself", "write the value out"),
        ("a: {<<: 1}", 1, "'<<' merges something that is not a mapping", "give it an alias of a mapping"),
        ("a: !!python/name:os.system x", 1, "the YAML tag !!python/name:os.system has no meaning", "remove it"),
        ("a: !!binary aGk=", 1, "the YAML tag !!binary has no meaning", "remove it"),
        ("a: !x {}", 1, "the YAML tag !x has no meaning", "remove it"),
        ("a: b\x07", 1, "character U+0007 is not allowed in YAML", "remove it"),
        ("a: " + "[" * 64, 1, "more than 64 levels of nesting", "make it flatter"),
    ],
)
def test_faults_say_where_and_what_to_do(text: str, line: int, message: str, remedy: str, parser: str) -> None:
    fault = fault_of(text)
    assert message in fault.message
    assert remedy in fault.remedy
    assert fault.line == line
    assert fault.column > 0


def test_the_documents_of_a_file_are_bounded() -> None:
    found, (fault,) = read_documents("---\na: 1\n" * 6000)
    assert len(found) == documents.MOST_DOCUMENTS
    assert (fault.line, fault.message, fault.remedy) == (10_001, "more than 5000 documents", "split the file")


def test_the_values_of_a_document_are_bounded() -> None:
    fault = fault_of("a: [" + "1," * documents.MOST_VALUES + "]")
    assert (fault.message, fault.remedy) == ("more than 100000 values or 64 levels", "use fewer aliases")


def test_a_broken_document_hides_no_other(parser: str) -> None:
    text = "a: 1\n---\nb: [\n---\nc: 'x\n---\nd: 1\nd: 2\n---\ne: 1\n"
    found, faults = read_documents(text)
    assert [(document.number, document.root.value) for document in found if document.root] == [
        (1, {"a": 1}),
        (4, {"d": 1}),
        (5, {"e": 1}),
    ]
    assert [(fault.document, fault.line) for fault in faults] == [(2, 3), (3, 5), (4, 8)]


def test_endless_broken_documents_are_given_up(parser: str) -> None:
    _, faults = read_documents("---\na: [\n" * 1000)
    assert len(faults) == documents.MOST_BROKEN


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 40)),
        "a: &a {" + ",".join(f"k{n}: 1" for n in range(20_000)) + "}\nb:\n" + "  <<: *a\n" * 40_000,
        "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1},' * 9}]}}\n" for n in range(1, 40)),
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000)),
        "[" * 2**20,
        "- " * 2**19,
        "{a: " * 2**18,
        "? " * 2**19,
        "a: 'x\n" * 100_000,
        "---\n" * 2**18,
        "a: " + "&a " * 1000,
    ],
    ids=[
        "aliases",
        "merges",
        "nested merges",
        "chain",
        "lists",
        "items",
        "mappings",
        "keys",
        "quotes",
        "empty",
        "anchors",
    ],
)
def test_no_input_takes_long(text: str) -> None:
    start = time.process_time()
    read_documents(text)
    assert time.process_time() - start < 10


@given(st.text(alphabet=st.sampled_from("ab: -[]{}&*!|>'\"%@`#,?\n\t<1.~\\"), max_size=60))
def test_no_text_raises(text: str) -> None:
    found, faults = read_documents(text)
    for fault in faults:
        assert fault.message
        assert fault.remedy
        assert fault.line >= 1
    assert all(document.number >= 1 for document in found)
