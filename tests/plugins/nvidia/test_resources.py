"""What a pod asks for, and what is refused because a cluster would refuse it or not isolate it."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import Plan, PlanningError, local_launch, make_plan
from hearth.plugins import VendorHost

HOST = VendorHost.load(environ={"HEARTH_PLUGINS": "nvidia"})
WHOLE = "nvidia.com/gpu"
VOLCANO = "volcano.sh/vgpu-number"
PART = {"fraction": {"memory": "8Gi", "cores": 30}}


def plan(
    resources: dict[str, Any], accelerator: dict[str, Any] | None = None, target: Any = "cluster", **spec: Any
) -> Plan:
    service = LLMService.model_validate(
        {
            "metadata": {"name": "tiny"},
            "spec": {"model": {"source": {"uri": "hf://acme/tiny"}}, "resources": resources},
        }
    )
    runtime = InferenceRuntime.model_validate(
        {
            "metadata": {"name": "own"},
            "spec": {
                "vendor": "nvidia",
                "container": {"image": "engine:1", "args": ["{{ .Model.Path }}", "--served-model-name=tiny"]},
                "accelerator": {"resourceName": WHOLE, "sharing": {"supported": True}, **(accelerator or {})},
                **spec,
            },
        }
    )
    return make_plan(service, runtimes=[runtime], host=HOST, target=target)


@pytest.mark.parametrize(
    ("resources", "accelerator", "limits"),
    [
        ({}, {}, {WHOLE: "1"}),
        ({"accelerators": 4}, {}, {WHOLE: "4"}),
        ({}, {"resourceName": "nvidia.com/mig-1g.10gb"}, {"nvidia.com/mig-1g.10gb": "1"}),
        ({}, {"resourceName": "nvidia.com/gpu.shared"}, {"nvidia.com/gpu.shared": "1"}),
        (PART, {}, {WHOLE: "1", "nvidia.com/gpucores": "30", "nvidia.com/gpumem": "8192"}),
        # 8 GB are 7629.4 MiB, and a part that is too small does not start.
        ({"fraction": {"memory": "8G"}}, {}, {WHOLE: "1", "nvidia.com/gpumem": "7630"}),
        (
            {"fraction": {"cores": 100}},
            {"scheduler": {"name": "hami-scheduler"}},
            {WHOLE: "1", "nvidia.com/gpucores": "100"},
        ),
        ({"accelerators": 2, **PART}, {}, {WHOLE: "2", "nvidia.com/gpucores": "30", "nvidia.com/gpumem": "8192"}),
        (
            PART,
            {"resourceName": VOLCANO, "scheduler": {"name": "volcano", "queue": "llm"}},
            {VOLCANO: "1", "volcano.sh/vgpu-cores": "30", "volcano.sh/vgpu-memory": "8192"},
        ),
    ],
)
def test_limits(resources: dict[str, Any], accelerator: dict[str, Any], limits: dict[str, str]) -> None:
    assert plan(resources, accelerator).serving["resources"]["limits"] == limits


@pytest.mark.parametrize(
    ("resources", "accelerator", "reason", "remedy"),
    [
        (PART, {"scheduler": {"name": "volcano"}}, "FractionNotIsolated", f"resourceName: {VOLCANO}"),
        (PART, {"scheduler": {"name": "kai"}}, "FractionNotIsolated", "leave spec.accelerator.scheduler.name out"),
        (PART, {"resourceName": VOLCANO}, "WrongScheduler", "scheduler.name: volcano"),
        ({}, {"resourceName": VOLCANO}, "WrongScheduler", "scheduler.name: volcano"),
        (PART, {"resourceName": "nvidia.com/mig-1g.10gb"}, "FractionOfSlice", "choose the size by the resource"),
        (PART, {"resourceName": "nvidia.com/gpu.shared"}, "FractionOfSlice", "remove the fraction"),
        (PART, {"resourceName": "example.com/gpu"}, "FractionUnsupported", f"use {WHOLE} with HAMi"),
        ({"fraction": {"cores": 101}}, {}, "TooManyCores", "percent of one card"),
        ({"accelerators": 2}, {"resourceName": "nvidia.com/mig-3g.20gb"}, "SeveralSlices", "ask for 1"),
        ({"accelerators": 2}, {"resourceName": "nvidia.com/gpu.shared"}, "SeveralSlices", "ask for 1"),
        (
            {"accelerators": 2},
            {"nodeSelector": {"nvidia.com/gpu.sharing-strategy": "mps"}},
            "SeveralSlices",
            "shares of cards (time-slicing or MPS)",
        ),
        (
            {"accelerators": 2},
            {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A10-SHARED"}},
            "SeveralSlices",
            "shares of cards",
        ),
        (
            {"accelerators": 2},
            {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}},
            "SeveralSlices",
            "MIG slices",
        ),
    ],
)
def test_refusals(resources: dict[str, Any], accelerator: dict[str, Any], reason: str, remedy: str) -> None:
    with pytest.raises(PlanningError) as caught:
        plan(resources, accelerator)
    assert caught.value.reason == reason
    assert remedy in caught.value.message


def test_a_privileged_container_gets_no_part() -> None:
    with pytest.raises(PlanningError, match="HAMi refuses it") as caught:
        plan(PART, pod={"containerSecurityContext": {"privileged": True}})
    assert caught.value.reason == "PrivilegedFraction"
    assert plan({}, pod={"containerSecurityContext": {"privileged": True}}).devices == 1


def test_nodes_that_share_by_mps_bring_their_own_shared_memory() -> None:
    def paths(label: str) -> list[str]:
        selector = {"nodeSelector": {"nvidia.com/gpu.sharing-strategy": label}}
        return [mount["mountPath"] for mount in plan({}, selector).serving["volumeMounts"]]

    assert "/dev/shm" not in paths("mps")
    assert "/dev/shm" in paths("time-slicing")
    assert "/dev/shm" in paths("none")


def test_the_queue_of_volcano_is_an_annotation() -> None:
    made = plan({}, {"resourceName": VOLCANO, "scheduler": {"name": "volcano", "queue": "llm"}})
    assert made.pod["metadata"]["annotations"] == {"scheduling.volcano.sh/queue-name": "llm"}
    assert made.pod["spec"]["schedulerName"] == "volcano"


def test_the_runtime_class_is_the_runtimes() -> None:
    assert plan({}, pod={"runtimeClassName": "nvidia"}).pod["spec"]["runtimeClassName"] == "nvidia"


def test_a_runtime_may_not_choose_the_cards() -> None:
    container = {"image": "e", "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}
    with pytest.raises(PlanningError, match="sets NVIDIA_VISIBLE_DEVICES") as caught:
        plan({}, container=container)
    assert caught.value.reason == "DeviceVariable"


def test_an_image_without_a_card_sees_none() -> None:
    assert [(variable.name, variable.value) for variable in plan({}).no_device_env] == [
        ("NVIDIA_VISIBLE_DEVICES", "void")
    ]


def test_probes_and_metrics() -> None:
    made = plan({})
    assert (made.probes.startup.period_seconds or 0) * (made.probes.startup.failure_threshold or 0) == 1800
    assert made.metrics is not None
    assert made.metrics.names["queueDepth"] == "vllm:num_requests_waiting"


def test_an_engine_sees_its_cards_only() -> None:
    launch = local_launch(plan({}, target="local"), host=HOST, devices=["3", "1"], port=9000)
    assert launch.argv[:3] == ("vllm", "serve", "acme/tiny")
    assert launch.env["CUDA_VISIBLE_DEVICES"] == "3,1"
    assert launch.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "NVIDIA_VISIBLE_DEVICES" not in launch.env


def test_a_runtime_that_replaces_the_entrypoint_does_so_here_too() -> None:
    container = {"image": "e", "command": ["python", "-m", "engine"], "args": ["{{ .Model.Path }}"]}
    launch = local_launch(plan({}, target="local", container=container), host=HOST, devices=["0"], port=9000)
    assert launch.argv[:4] == ("python", "-m", "engine", "acme/tiny")
