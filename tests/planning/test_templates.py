"""Templates in arguments, commands and environment values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.planning import PlanningError
from hearth.planning.templates import render_template
from tests.planning.plans import plan

VALUES = {".Model.Path": "acme/tiny", ".Service.Name": "tiny"}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ .Model.Path }}", "acme/tiny"),
        ("{{.Model.Path}}", "acme/tiny"),
        ("{{- .Model.Path -}}", "acme/tiny"),
        ("--a={{ .Model.Path }}/{{ .Service.Name }}", "--a=acme/tiny/tiny"),
        ('--config={"a": {"b": 1}}', '--config={"a": {"b": 1}}'),
        ("$(HOME) }} }", "$(HOME) }} }"),
    ],
)
def test_rendering(text: str, rendered: str) -> None:
    assert render_template(text, VALUES, place="args") == rendered


@pytest.mark.parametrize(
    "text", ["{{ .Model.Name }}", "{{ range .X }}", "{{ }}", "{{ .Model.Path", "{{{{ .Model.Path }}"]
)
def test_unknown_fields_are_errors_that_name_the_known(text: str) -> None:
    with pytest.raises(PlanningError, match=r"^args: ") as caught:
        render_template(text, VALUES, place="args")
    assert caught.value.reason == "UnknownTemplateField"


@given(text=st.text().filter(lambda text: "{{" not in text))
def test_text_without_templates_is_unchanged(text: str) -> None:
    assert render_template(text, VALUES, place="args") == text


def test_every_place_of_a_runtime_is_rendered_and_the_override_is_not() -> None:
    made = plan(
        {"runtime": {"argsOverride": ["--raw={{ .Model.Path }}"]}, "resources": {"accelerators": 2}},
        {
            "container": {
                "image": "engine:1",
                "command": ["run", "{{ .Service.Namespace }}"],
                "args": ["{{ .Model.Path }}", "-tp={{ .Service.Accelerators }}"],
                "env": [{"name": "NAME", "value": "{{ .Service.Name }}-{{ .Service.DrainTimeoutSeconds }}"}],
            }
        },
    )
    assert made.serving["command"] == ["run", "ai"]
    assert made.serving["args"] == ["acme/tiny", "-tp=2", "--raw={{ .Model.Path }}"]
    assert {"name": "NAME", "value": "tiny-120"} in made.serving["env"]
