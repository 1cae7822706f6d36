"""Warnings: what is allowed and looks wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.planning.plans import ARGS, plan


def args(*more: str) -> dict[str, Any]:
    return {"container": {"image": "e", "args": [*ARGS, *more]}}


DRAIN = {"lifecycle": {"preStopDrain": True}}


@pytest.mark.parametrize(
    ("spec", "runtime_spec", "target", "text"),
    [
        (
            {"endpoint": {"coldStart": {"heartbeatInterval": "5m"}}},
            {},
            "local",
            "heartbeatInterval 5m0s is not below spec.scaling.activationTimeout 5m0s: no heartbeat is ever sent",
        ),
        ({"endpoint": {"coldStart": {"mode": "reject"}}}, {}, "local", "the runtime may take 10m0s to start"),
        ({"scaling": {"activationTimeout": "100ms"}}, {}, "local", "no engine starts that fast"),
        ({"scaling": {"drainTimeout": "1m"}}, {}, "local", "spec.scaling.drainTimeout 1m0s has no effect"),
        ({}, DRAIN, "cluster", "drains by waiting the whole spec.scaling.drainTimeout of 2m0s"),
        ({}, {**DRAIN, **args("--shutdown-timeout=131")}, "cluster", "=131 is longer than the 130 s after which"),
        ({}, args("--shutdown-timeout", "60"), "cluster", "=60 is longer than the 30 s after which"),
        (
            {"runtime": {"argsOverride": ["--served-model-name", "other", "more"]}},
            {},
            "local",
            "changes --served-model-name to other more: the gateway sends 'tiny' and the engine will answer 404",
        ),
        ({}, {"container": {"image": "e"}}, "local", "the engine calls the model 'acme/tiny'"),
        ({"runtime": {"argsOverride": ["--port=9"]}}, {}, "local", "--port 9 among the arguments is replaced"),
        ({"runtime": {"argsOverride": ["--port", "9"]}}, {}, "cluster", "--port 9 among the arguments differs from"),
        (
            {"model": {"source": {"uri": "pvc://w"}}, "cache": {"prewarm": True}},
            {},
            "cluster",
            "spec.cache.prewarm has no effect: pvc://w is not downloaded",
        ),
        ({"cache": {"prewarm": True, "strategy": "None"}}, {}, "cluster", "strategy None keeps nothing"),
        ({"cache": {"size": "1Gi", "strategy": "HostPath"}}, {}, "cluster", "have no effect with spec.cache.strategy"),
        ({"scaling": {"max": 2}}, {}, "cluster", "they can run only on the node that holds it"),
        ({"cache": {"prewarm": True}}, {}, "local", "in local mode the engine downloads the weights at its first"),
        ({"cache": {"prewarm": True, "strategy": "HostPath"}}, {}, "cluster", "prewarm fills the cache of one node"),
        ({"scaling": {"target": 4}}, {}, "cluster", "spec.scaling.target has no effect"),
        ({"scaling": {"min": 2, "max": 2, "target": 4}}, {}, "local", "spec.scaling.target has no effect"),
        ({"scaling": {"min": 1, "scaleDownStabilization": "1m"}}, {}, "local", "min and max are both 1"),
        (
            {"endpoint": {"coldStart": {"mode": "reject", "heartbeatInterval": "5s"}}},
            {},
            "cluster",
            "heartbeatInterval has no effect: mode reject holds no request",
        ),
        ({"endpoint": {"aliases": ["tiny", "a"]}}, {}, "local", "'tiny' has no effect: it is the service's own name"),
        ({"endpoint": {"aliases": [" a"]}}, {}, "cluster", "' a' has no effect: use visible characters"),
        ({"endpoint": {"openAICompatible": False}}, {}, "cluster", "openAICompatible has no effect"),
        ({"endpoint": {"gateway": "dedicated"}}, {}, "local", "in local mode one gateway serves all"),
    ],
)
def test_warnings(spec: dict[str, Any], runtime_spec: dict[str, Any], target: Any, text: str) -> None:
    found = [warning for warning in plan(spec, runtime_spec, target=target).warnings if text in warning]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("spec", "runtime_spec"),
    [
        ({}, {}),
        ({"scaling": {"drainTimeout": "1m"}}, {**DRAIN, **args("--shutdown-timeout=60")}),
        ({"endpoint": {"coldStart": {"mode": "reject"}}}, {"health": {"startup": {"periodSeconds": 1}}}),
        ({"runtime": {"argsOverride": ["--served-model-name=tiny", "--port=8000"]}}, {}),
        ({"resources": {"accelerators": 2}}, args("-tp=2")),
        ({"scaling": {"max": 2}, "model": {"source": {"uri": "pvc://w"}}}, {}),
        ({"scaling": {"max": 2, "target": 4}, "model": {"source": {"uri": "pvc://w"}}}, {}),
        ({"scaling": {"scaleDownStabilization": "1m"}, "endpoint": {"aliases": ["a"], "gateway": "dedicated"}}, {}),
        ({"cache": {"prewarm": True}}, {}),
        (
            {"scaling": {"min": 1, "activationTimeout": "1s"}, "endpoint": {"coldStart": {"heartbeatInterval": "2s"}}},
            {},
        ),
    ],
)
def test_nothing_to_warn_of(spec: dict[str, Any], runtime_spec: dict[str, Any]) -> None:
    assert plan(spec, runtime_spec, target="cluster").warnings == ()
