"""What a model URI becomes."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.planning import PlanningError, Target
from hearth.planning.model import resolve_model
from hearth.plugins import ResolvedModel
from tests.planning.plans import service


def resolve(uri: str, target: Target = "cluster") -> ResolvedModel:
    return resolve_model(service({"model": {"source": {"uri": uri}}}), target)


@pytest.mark.parametrize(
    ("uri", "target", "model"),
    [
        ("hf://Qwen/Qwen3-8B", "cluster", ResolvedModel("hf://Qwen/Qwen3-8B", "hf", "Qwen/Qwen3-8B")),
        ("huggingface://gpt2", "local", ResolvedModel("huggingface://gpt2", "hf", "gpt2")),
        ("modelscope://a/b.c", "local", ResolvedModel("modelscope://a/b.c", "modelscope", "a/b.c")),
        ("pvc://weights", "cluster", ResolvedModel("pvc://weights", "pvc", "/models", "weights")),
        ("pvc://weights/", "cluster", ResolvedModel("pvc://weights/", "pvc", "/models", "weights")),
        ("pvc://w/a/../b/", "cluster", ResolvedModel("pvc://w/a/../b/", "pvc", "/models/b", "w", "b")),
        ("file:///models/tiny", "local", ResolvedModel("file:///models/tiny", "file", "/models/tiny")),
        ("file:///my%20models/tiny/", "local", ResolvedModel("file:///my%20models/tiny/", "file", "/my models/tiny")),
    ],
)
def test_known_schemes(uri: str, target: Target, model: ResolvedModel) -> None:
    assert resolve(uri, target) == model


@pytest.mark.parametrize(
    ("uri", "target", "reason", "text"),
    [
        (
            "s3://bucket/key",
            "cluster",
            "UnknownModelScheme",
            "use file://, hf://, huggingface://, modelscope://, pvc://",
        ),
        ("Qwen/Qwen3-8B", "cluster", "UnknownModelScheme", "has an unknown scheme"),
        ("hf://", "cluster", "InvalidModelURI", "write hf://organisation/model"),
        ("hf://a/b/c", "cluster", "InvalidModelURI", "does not name a repository"),
        ("hf://../etc", "cluster", "InvalidModelURI", "does not name a repository"),
        ("hf://--help", "local", "InvalidModelURI", "does not name a repository"),
        ("hf://a/b@main", "cluster", "InvalidModelURI", "add --revision=main to spec.runtime.argsOverride"),
        ("pvc://", "cluster", "InvalidModelURI", "write pvc://claim"),
        ("pvc://w/../x", "cluster", "InvalidModelURI", "leads out of the volume"),
        ("pvc://w//etc", "cluster", "InvalidModelURI", "leads out of the volume"),
        ("pvc://weights", "local", "ModelNeedsCluster", "write file:///absolute/directory"),
        ("file://relative", "local", "InvalidModelURI", "three slashes"),
        ("file:///models", "cluster", "ModelNeedsLocal", "write pvc://claim/directory"),
    ],
)
def test_refusals_say_what_to_write(uri: str, target: Target, reason: str, text: str) -> None:
    with pytest.raises(PlanningError) as caught:
        resolve(uri, target)
    assert caught.value.reason == reason
    assert repr(uri) in caught.value.message
    assert text in str(caught.value)


@given(parts=st.lists(st.sampled_from(["..", ".", "a", "b", ""]), max_size=6))
def test_a_subpath_stays_inside(parts: list[str]) -> None:
    try:
        model = resolve("pvc://w/" + "/".join(parts))
    except PlanningError:
        return
    assert posixpath.normpath(model.path) == model.path
    assert model.path == "/models" or model.path.startswith("/models/")
