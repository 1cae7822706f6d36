"""docs/plugins.md is the contract: it may not lag behind the code."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import hearth.plugins
from hearth.plugins import hookspecs

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
HOOKS = {name: function for name, function in vars(hookspecs).items() if name.startswith("hearth_")}
RESULTS = [
    getattr(hearth.plugins, name)
    for name in hearth.plugins.__all__
    if is_dataclass(getattr(hearth.plugins, name)) and name in TEXT
]


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_is_documented_with_its_arguments_and_an_example(name: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    section = re.search(rf"^### {name}\({arguments}\) -> .+?(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/plugins.md lacks '### {name}({arguments}) -> ...'"
    assert f"@hookimpl\ndef {name}(" in section.group(0)
    assert re.search(r"Default:|No default:", section.group(0))


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_says_when_it_is_called_and_what_none_means(name: str) -> None:
    text = inspect.getdoc(HOOKS[name]) or ""
    assert "Called " in text
    assert "None: " in text or "Required: " in text


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.__name__)
def test_every_field_of_a_result_is_documented(result: type) -> None:
    for field in fields(result):
        assert re.search(rf"\b{field.name}\b", TEXT), f"docs/plugins.md does not mention {result.__name__}.{field.name}"


def test_nothing_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^### (hearth_\w+)", TEXT, re.MULTILINE)) == set(HOOKS)


def test_the_examples_are_valid_python() -> None:
    for example in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        compile(example, "docs/plugins.md", "exec")
