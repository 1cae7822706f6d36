"""The cache of weights and compiled kernels."""

from __future__ import annotations

from typing import Any

from tests.planning.plans import one


def test_compiled_kernels_are_kept_apart_by_image_and_runtime() -> None:
    def root(runtime_spec: Any = None, spec: Any = None) -> str | None:
        env = {variable["name"]: variable.get("value") for variable in one(spec, runtime_spec).serving.get("env", ())}
        return env.get("VLLM_CACHE_ROOT")

    first = root()
    assert first is not None
    assert first.startswith("/cache/compile/vllm-acme-")
    assert first == root(spec={"scaling": {"max": 2}})
    assert first != root({"container": {"image": "engine:2"}})
    assert root(spec={"cache": {"strategy": "None"}}) is None
    assert root(spec={"model": {"source": {"uri": "pvc://w"}}}) is None
    own = {"container": {"image": "e", "env": [{"name": "VLLM_CACHE_ROOT", "value": "/own"}]}}
    assert root(own) == "/own"
