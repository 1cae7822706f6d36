"""What a hook is told is equal to the original and shares nothing that can be changed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from hearth.api import InferenceRuntime, LLMService
from hearth.plugins.copies import own_copy

SERVICE = LLMService.model_validate(
    {
        "metadata": {"name": "tiny", "labels": {"a": "b"}, "ownerReferences": [{"name": "x"}]},
        "spec": {"model": {"source": {"uri": "hf://a/b"}}, "scaling": {"drainTimeout": "1m"}},
    }
)
RUNTIME = InferenceRuntime.model_validate(
    {
        "metadata": {"name": "own"},
        "spec": {
            "vendor": "acme",
            "container": {"image": "e", "env": [{"name": "A", "value": "1"}]},
            "accelerator": {"resourceName": "acme.dev/chip", "tolerations": [{"operator": "Exists"}]},
            "pod": {"securityContext": {"seLinuxOptions": {"level": "s0"}, "supplementalGroups": [44]}},
        },
    }
)


def test_a_copy_is_equal_and_remembers_what_was_set() -> None:
    for model in (SERVICE, RUNTIME):
        made = own_copy(model)
        assert made == model
        assert made.to_wire(defaults=False) == model.to_wire(defaults=False)
        assert made.model_fields_set == model.model_fields_set
    assert own_copy(SERVICE).spec.scaling.model_fields_set == {"drain_timeout"}


def test_a_copy_shares_nothing_that_can_be_changed() -> None:
    for model in (SERVICE, RUNTIME):
        assert not changeable(model) & changeable(own_copy(model))


def changeable(value: Any) -> set[int]:
    """Return the identities of all models, mappings and lists in a model."""
    match value:
        case BaseModel():
            inside: Any = value.__dict__.values()
        case dict():
            inside = value.values()
        case list() | tuple():
            inside = value
        case _:
            return set()
    own = set() if isinstance(value, tuple) else {id(value)}
    return own.union(*(changeable(item) for item in inside))
