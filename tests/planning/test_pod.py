"""The merged pod: who wins, what is refused, and the laws of additions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.api import EnvVar, HostMount, Probe, Toleration
from hearth.planning import Plan, PlanningError, make_plan
from hearth.plugins import (
    AcceleratorRequest,
    MetricsEndpoint,
    PluginError,
    PluginRejects,
    PodAdaptation,
    ProbeSet,
    RenderContext,
)
from tests.planning.plans import plan, runtime, service
from tests.support.vendors import host


def env(made: Any) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in made.serving.get("env", ())}


def deployment_of(made: Plan) -> Mapping[str, Any]:
    [found] = [item for item in made.objects if item["kind"] == "Deployment"]
    return found


def test_environment_runtime_over_plugin_over_default() -> None:
    made = plan(
        runtime_spec={
            "container": {"image": "e", "env": [{"name": "A", "value": "runtime"}, {"name": "HF_HOME", "value": "/x"}]}
        },
        hearth_env=lambda: [EnvVar(name="A", value="plugin"), EnvVar(name="B", value="plugin")],
    )
    found = env(made)
    assert (found["HF_HOME"], found["MODELSCOPE_CACHE"]) == ("/x", "/cache/modelscope")
    assert (found["A"], found["B"]) == ("runtime", "plugin")
    assert "env A: the runtime's value is used, not the plugin's" in made.warnings


def test_duplicate_variables_are_refused() -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    with pytest.raises(PlanningError, match="'A' is listed twice"):
        plan(runtime_spec={"container": {"image": "e", "env": twice}})
    with pytest.raises(PluginError, match="hearth_env: it returned 'A' twice"):
        plan(hearth_env=lambda: [EnvVar(name="A", value="1"), EnvVar(name="A", value="1")])


def test_devices_of_the_runtime_or_of_the_vendor() -> None:
    made = plan({"resources": {"accelerators": 2, "cpu": "500m", "memory": "8Gi"}})
    assert made.serving["resources"] == {
        "requests": {"cpu": "500m", "memory": "8Gi"},
        "limits": {"acme.dev/chip": "2", "memory": "8Gi"},
    }
    assert made.devices == 2
    made = plan(hearth_accelerator=lambda: AcceleratorRequest(resources={"acme.dev/slice": 3}))
    assert made.serving["resources"] == {"limits": {"acme.dev/slice": "3"}}


def test_where_it_may_run() -> None:
    toleration = {"key": "acme.dev/chip", "operator": "Exists"}
    made = plan(
        runtime_spec={
            "accelerator": {
                "resourceName": "acme.dev/chip",
                "nodeSelector": {"zone": "a"},
                "tolerations": [toleration],
                "scheduler": {"name": "volcano", "queue": "llm"},
            }
        },
        hearth_accelerator=lambda: AcceleratorRequest(
            resources={"acme.dev/chip": 1},
            node_selector={"zone": "b", "chip": "big"},
            tolerations=(Toleration(key="acme.dev/chip", operator="Exists"), Toleration(key="other")),
            scheduler_name="hami-scheduler",
        ),
    )
    spec = made.pod["spec"]
    assert spec["nodeSelector"] == {"zone": "a", "chip": "big"}
    assert spec["tolerations"] == [toleration, {"key": "other"}]
    assert spec["schedulerName"] == "volcano"
    assert made.pod["metadata"]["annotations"] == {"scheduling.volcano.sh/queue-name": "llm"}
    assert "nodeSelector zone: the runtime's value is used, not the plugin's" in made.warnings
    assert "schedulerName: the runtime's value is used, not the plugin's" in made.warnings


def test_what_a_vendor_adds_around_the_container() -> None:
    made = plan(
        hearth_pod=lambda: PodAdaptation(
            host_mounts=(
                HostMount(host_path="/usr/local/acme", type="Directory"),
                HostMount(host_path="/a", mount_path="/b", read_only=False),
            ),
            volumes=({"name": "scratch", "emptyDir": {}},),
            mounts=({"name": "scratch", "mountPath": "/scratch"},),
            runtime_class_name="acme",
            scheduler_name="acme-scheduler",
            annotations={"acme.dev/mode": "fast"},
            labels={"acme.dev/pool": "a"},
            pod_security={"seccompProfile": {"type": "Unconfined"}, "supplementalGroups": [44]},
            container_security={"capabilities": {"add": ["SYS_PTRACE"]}},
            host_ipc=True,
            shared_memory=False,
        )
    )
    spec = made.pod["spec"]
    assert spec["volumes"][1:] == [
        {"name": "host-0", "hostPath": {"path": "/usr/local/acme", "type": "Directory"}},
        {"name": "host-1", "hostPath": {"path": "/a"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    assert made.serving["volumeMounts"][1:] == [
        {"name": "host-0", "mountPath": "/usr/local/acme", "readOnly": True},
        {"name": "host-1", "mountPath": "/b"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    assert (spec["runtimeClassName"], spec["schedulerName"], spec["hostIPC"]) == ("acme", "acme-scheduler", True)
    assert made.pod["metadata"]["annotations"] == {"acme.dev/mode": "fast"}
    assert made.pod["metadata"]["labels"]["acme.dev/pool"] == "a"
    assert spec["securityContext"] == {"seccompProfile": {"type": "Unconfined"}, "supplementalGroups": [44]}
    assert made.serving["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["SYS_PTRACE"]},
    }


def test_a_privileged_container_may_escalate() -> None:
    made = plan(hearth_pod=lambda: PodAdaptation(container_security={"privileged": True}))
    assert made.serving["securityContext"] == {"privileged": True}


@pytest.mark.parametrize(
    ("adaptation", "problem"),
    [
        (PodAdaptation(labels={"serving.hearth.dev/llmservice": "x"}), "the label 'serving.hearth.dev/llmservice'"),
        (PodAdaptation(labels={"app.kubernetes.io/name": "x"}), "the label 'app.kubernetes.io/name'"),
        (PodAdaptation(annotations={"serving.hearth.dev/x": "x"}), "the annotation 'serving.hearth.dev/x'"),
        (PodAdaptation(volumes=({"name": "shm", "emptyDir": {}},)), "the volume name 'shm' is taken"),
        (PodAdaptation(volumes=({"emptyDir": {}},)), "a volume without 'name'"),
        (
            PodAdaptation(host_mounts=(HostMount(host_path="/dev/shm"),)),
            "the mount path '/dev/shm' is reserved for Hearth",
        ),
        (
            PodAdaptation(host_mounts=(HostMount(host_path="/cache/x"),)),
            "the mount path '/cache/x' is reserved for Hearth",
        ),
        (
            PodAdaptation(volumes=({"name": "v", "emptyDir": {}},), mounts=({"name": "v", "mountPath": "relative"},)),
            "the mount path 'relative' is not absolute",
        ),
        (PodAdaptation(host_mounts=(HostMount(host_path="/a"), HostMount(host_path="/a"))), "mountPath '/a' is taken"),
        (PodAdaptation(mounts=({"name": "ghost", "mountPath": "/g"},)), "'/g' names no volume"),
    ],
)
def test_what_a_vendor_may_not_add(adaptation: PodAdaptation, problem: str) -> None:
    with pytest.raises(PluginError, match="hearth_pod") as caught:
        plan(hearth_pod=lambda: adaptation)
    assert problem in str(caught.value)
    assert plan(target="local", hearth_pod=lambda: adaptation).objects == ()


def test_a_rejection_becomes_a_planning_error_with_the_vendors_reason() -> None:
    def rejects(ctx: RenderContext) -> None:
        raise PluginRejects("CardsInPairs", "this chip is given out in pairs")

    with pytest.raises(PlanningError, match="vendor 'acme': this chip is given out in pairs") as caught:
        plan(hearth_accelerator=rejects)
    assert caught.value.reason == "CardsInPairs"


def test_fractions_are_for_vendors_that_have_them() -> None:
    made = service({"resources": {"fraction": {"memory": "8Gi"}}})

    def parts(ctx: RenderContext) -> AcceleratorRequest:
        fraction = ctx.service.spec.resources.fraction
        assert fraction is not None
        assert fraction.memory is not None
        return AcceleratorRequest(resources={"acme.dev/chip": 1, "acme.dev/mib": fraction.memory.bytes // 2**20})

    able = host("acme", capabilities=("fraction", "local"), hearth_accelerator=parts)
    shared = runtime({"accelerator": {"resourceName": "acme.dev/chip", "sharing": {"supported": True}}})
    planned = make_plan(made, runtimes=[shared], host=able, target="cluster")
    assert planned.serving["resources"]["limits"] == {"acme.dev/chip": "1", "acme.dev/mib": "8192"}
    silent = host("acme", capabilities=("fraction",))
    with pytest.raises(PluginError, match="returned None for a fraction"):
        make_plan(made, runtimes=[shared], host=silent, target="cluster")
    with pytest.raises(PlanningError, match="runtime 'vllm-acme' does not share its accelerators"):
        make_plan(made, runtimes=[runtime()], host=able, target="cluster")
    with pytest.raises(PlanningError, match="local mode allocates whole accelerators only"):
        make_plan(made, runtimes=[shared], host=able, target="local")
    empty = service({"resources": {"fraction": {}}})
    with pytest.raises(PlanningError, match="neither memory nor cores is set"):
        make_plan(empty, runtimes=[shared], host=able, target="cluster")


def test_probes_runtime_then_vendor_then_default() -> None:
    health = {"httpGet": {"path": "/health", "port": "http"}}
    plain = plan().serving
    assert plain["startupProbe"] == {**health, "periodSeconds": 10, "failureThreshold": 60}
    assert plain["readinessProbe"] == health
    assert "livenessProbe" not in plain
    own = {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 2}
    made = plan(
        runtime_spec={"health": {"readiness": own}},
        hearth_probes=lambda: ProbeSet(
            startup=Probe(period_seconds=1), readiness=Probe(period_seconds=9), liveness=Probe(period_seconds=5)
        ),
    )
    assert made.serving["readinessProbe"] == own
    assert made.serving["startupProbe"] == {**health, "periodSeconds": 1}
    assert made.serving["livenessProbe"] == {**health, "periodSeconds": 5}
    assert made.gateway["probe"] == {"path": "/ready"}


def test_metrics_of_the_runtime_or_of_the_vendor() -> None:
    vendor = MetricsEndpoint(path="/stats", names={"queueDepth": "q"})
    assert plan().metrics is None
    assert plan(hearth_metrics=lambda: vendor).metrics == replace(vendor, port="http")
    made = plan(runtime_spec={"metrics": {"queueDepth": "waiting", "ttft": "ttft"}}, hearth_metrics=lambda: vendor)
    assert made.metrics == MetricsEndpoint(port="http", names={"queueDepth": "waiting", "ttft": "ttft"})
    container = {"image": "engine:1", "port": {"name": "api"}}
    assert plan(runtime_spec={"container": container}, hearth_metrics=lambda: vendor).metrics == replace(
        vendor, port="api"
    )


@pytest.mark.parametrize(
    ("resources", "size"),
    [
        ({}, "2Gi"),
        ({"accelerators": 4}, "10Gi"),
        ({"accelerators": 4, "memory": "6Gi"}, "3Gi"),
        ({"memory": "1Gi"}, "512Mi"),
    ],
)
def test_shared_memory_is_bounded(resources: dict[str, Any], size: str) -> None:
    volumes = {volume["name"]: volume for volume in plan({"resources": resources}).pod["spec"]["volumes"]}
    assert volumes["shm"] == {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}


@pytest.mark.parametrize(
    ("spec", "volume"),
    [
        ({}, {"persistentVolumeClaim": {"claimName": "tiny-cache"}}),
        (
            {"cache": {"strategy": "HostPath"}},
            {"hostPath": {"path": "/var/lib/hearth/cache/ai/tiny", "type": "DirectoryOrCreate"}},
        ),
        ({"cache": {"strategy": "None"}}, None),
    ],
)
def test_cache(spec: dict[str, Any], volume: Mapping[str, Any] | None) -> None:
    made = plan(spec)
    volumes = {item["name"]: item for item in made.pod["spec"]["volumes"]}
    assert volumes.get("cache") == (volume and {"name": "cache", **volume})
    assert env(made).get("HF_HOME") == ("/cache/hf" if volume else None)
    assert env(made).get("MODELSCOPE_CACHE") == ("/cache/modelscope" if volume else None)
    assert ("PersistentVolumeClaim" in [item["kind"] for item in made.objects]) == (not spec)


def test_no_two_services_share_a_directory_of_the_node() -> None:
    """A tenant must not be able to put weights or compiled kernels where the engine of another one loads them."""
    services = [("team", "a-llama"), ("team-a", "llama"), ("team", "a"), ("team-a-llama", "a")]
    paths = [host_cache(namespace, name) for namespace, name in services]
    assert len(set(paths)) == len(services)
    assert not any(one.is_relative_to(other) for one, other in permutations(paths, 2))


def host_cache(namespace: str, name: str) -> PurePosixPath:
    wanted = service({"cache": {"strategy": "HostPath"}}, namespace=namespace, name=name)
    made = make_plan(wanted, runtimes=[runtime()], host=host(), target="cluster")
    (path,) = [volume["hostPath"]["path"] for volume in made.pod["spec"]["volumes"] if "hostPath" in volume]
    return PurePosixPath(path)


def test_models_of_other_sources() -> None:
    made = plan({"model": {"source": {"uri": "modelscope://a/b"}}})
    assert env(made)["VLLM_USE_MODELSCOPE"] == "true"
    assert env(plan({"model": {"source": {"uri": "modelscope://a/b"}}}, target="local")) == {
        "VLLM_USE_MODELSCOPE": "true"
    }
    made = plan({"model": {"source": {"uri": "pvc://weights/tiny"}}})
    assert env(made) == {}
    assert made.pod["spec"]["volumes"][0] == {
        "name": "model",
        "persistentVolumeClaim": {"claimName": "weights", "readOnly": True},
    }
    assert made.serving["volumeMounts"][0] == {"name": "model", "mountPath": "/models", "readOnly": True}
    assert "--model=/models/tiny" in made.serving["args"]


@pytest.mark.parametrize(
    ("args", "lifecycle", "grace", "pre_stop"),
    [
        ([], {}, 30, None),
        ([], {"terminationGracePeriodSeconds": 90}, 90, None),
        ([], {"preStopDrain": True}, 130, 120),
        (["--shutdown-timeout=120"], {"preStopDrain": True}, 130, 2),
        (["--shutdown-timeout", "120"], {"preStopDrain": True, "terminationGracePeriodSeconds": 600}, 600, 2),
    ],
)
def test_the_end_of_a_replica(args: list[str], lifecycle: dict[str, Any], grace: int, pre_stop: int | None) -> None:
    made = plan(runtime_spec={"container": {"image": "e", "args": args}, "lifecycle": lifecycle})
    assert made.pod["spec"]["terminationGracePeriodSeconds"] == grace
    wanted = None if pre_stop is None else {"preStop": {"sleep": {"seconds": pre_stop}}}
    assert made.serving.get("lifecycle") == wanted
    assert made.scaling.drain_timeout == (120.0 if lifecycle.get("preStopDrain") else 0.0)


def test_objects_carry_the_contract() -> None:
    made = make_plan(service(uid="1-2-3"), runtimes=[runtime()], host=host(), target="cluster")
    labels = {
        "app.kubernetes.io/name": "tiny",
        "app.kubernetes.io/managed-by": "hearth",
        "serving.hearth.dev/llmservice": "tiny",
        "serving.hearth.dev/runtime": "vllm-acme",
    }
    for item in made.objects:
        assert item["metadata"]["namespace"] == "ai"
        assert item["metadata"]["labels"] == labels
        assert item["metadata"]["ownerReferences"][0]["uid"] == "1-2-3"
    deployment = deployment_of(made)
    assert deployment["spec"]["selector"] == {"matchLabels": {"serving.hearth.dev/llmservice": "tiny"}}
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    assert "replicas" not in deployment["spec"]
    assert made.pod["spec"]["enableServiceLinks"] is False
    assert made.pod["spec"]["containers"][0]["name"] == "serving"


NAMES = st.sampled_from(["A", "B", "C"])
VALUES = st.sampled_from(["1", "2"])
ENV = st.dictionaries(NAMES, VALUES)


@settings(max_examples=60, deadline=None)
@given(
    own=ENV,
    added=ENV,
    labels=st.dictionaries(st.sampled_from(["a.dev/x", "a.dev/y"]), VALUES),
    mounts=st.sets(st.sampled_from(["/a", "/b", "/c"])),
)
def test_additions_only_add(
    own: dict[str, str], added: dict[str, str], labels: dict[str, str], mounts: set[str]
) -> None:
    spec = {"container": {"image": "e", "env": [{"name": name, "value": value} for name, value in own.items()]}}
    base = plan(runtime_spec=spec)
    more = plan(
        runtime_spec=spec,
        hearth_env=lambda: [EnvVar(name=name, value=value) for name, value in added.items()],
        hearth_pod=lambda: PodAdaptation(
            labels=labels, host_mounts=tuple(HostMount(host_path=path) for path in sorted(mounts))
        ),
    )
    assert _missing(base.pod, more.pod) == []
    names = [variable["name"] for variable in more.serving["env"]]
    paths = [mount["mountPath"] for mount in more.serving["volumeMounts"]]
    assert len(names) == len(set(names))
    assert len(paths) == len(set(paths))
    assert set(added) <= set(names)
    assert deployment_of(base)["spec"]["selector"] == deployment_of(more)["spec"]["selector"]
    assert yaml.safe_load(yaml.safe_dump(more.pod)) == more.pod


def _missing(base: Any, more: Any, path: str = "") -> list[str]:
    """Every path of `base` whose value `more` does not have; list items are found by equality."""
    if isinstance(base, dict) and isinstance(more, dict):
        found = [f"{path}.{key}" for key in base if key not in more]
        return found + [line for key in base if key in more for line in _missing(base[key], more[key], f"{path}.{key}")]
    if isinstance(base, list) and isinstance(more, list):
        if all(isinstance(item, dict) and "name" in item for item in base):
            by_name = {(item["name"], item.get("mountPath")): item for item in more}
            return [
                line
                for item in base
                for line in _missing(item, by_name.get((item["name"], item.get("mountPath"))), f"{path}.{item['name']}")
            ]
        return [f"{path}: {item!r}" for item in base if item not in more]
    return [] if base == more else [path]
