"""What a pod asks for, what surrounds its chips, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import Plan, PlanningError, local_launch, make_plan
from hearth.plugins import VendorHost

HOST = VendorHost.load(environ={"HEARTH_PLUGINS": "ascend"})
MINDCLUSTER = "huawei.com/Ascend910"
B3 = "huawei.com/Ascend910B3"
SOFT = {"annotations": {"huawei.com/vnpu-mode": "hami-core"}}


def plan(
    resources: dict[str, Any], accelerator: dict[str, Any] | None = None, target: Any = "cluster", **spec: Any
) -> Plan:
    service = LLMService.model_validate(
        {
            "metadata": {"name": "tiny"},
            "spec": {"model": {"source": {"uri": "hf://acme/tiny"}}, "resources": resources},
        }
    )
    args = ["vllm", "serve", "{{ .Model.Path }}", "--served-model-name=tiny"]
    runtime = InferenceRuntime.model_validate(
        {
            "metadata": {"name": "own"},
            "spec": {
                "vendor": "ascend",
                "container": {"image": "engine:1", "args": args},
                "accelerator": {"resourceName": B3, "sharing": {"supported": True}, **(accelerator or {})},
                **spec,
            },
        }
    )
    return make_plan(service, runtimes=[runtime], host=HOST, target=target)


def part(memory: str | None = "16Gi", cores: int | None = None) -> dict[str, Any]:
    return {"fraction": {"memory": memory, "cores": cores}}


@pytest.mark.parametrize(
    ("resources", "accelerator", "limits"),
    [
        ({}, {"resourceName": MINDCLUSTER}, {MINDCLUSTER: "1"}),
        ({"accelerators": 8}, {"resourceName": MINDCLUSTER}, {MINDCLUSTER: "8"}),
        ({"accelerators": 4}, {"resourceName": MINDCLUSTER, "dies": 2}, {MINDCLUSTER: "8"}),
        ({"accelerators": 2}, {}, {B3: "2"}),
        ({"accelerators": 2}, {"resourceName": "huawei.com/ascend-1980"}, {"huawei.com/ascend-1980": "2"}),
        ({}, {"resourceName": "huawei.com/Ascend310P-2c"}, {"huawei.com/Ascend310P-2c": "1"}),
        ({}, {"resourceName": "huawei.com/Ascend910C", "dies": 2}, {"huawei.com/Ascend910C": "2"}),
        (part(), {}, {B3: "1", f"{B3}-memory": "16384"}),
        (part(), {"scheduler": {"name": "volcano"}}, {B3: "1", f"{B3}-memory": "16384"}),
    ],
)
def test_limits(resources: dict[str, Any], accelerator: dict[str, Any], limits: dict[str, str]) -> None:
    assert plan(resources, accelerator).serving["resources"]["limits"] == limits


@pytest.mark.parametrize(
    ("resources", "accelerator", "reason", "remedy"),
    [
        ({"accelerators": 2}, {"resourceName": "huawei.com/Ascend310P-2c"}, "SeveralVirtualDevices", "ask for 1"),
        ({}, {"resourceName": "huawei.com/Ascend910C"}, "DiesInPairs", "spec.accelerator.dies: 2"),
        ({"accelerators": 2, **part()}, {}, "FractionOfSeveral", "1 accelerator, or for whole ones"),
        (part(), {"dies": 2}, "FractionOfSeveral", "parts of 2 chips"),
        (part(), {"resourceName": MINDCLUSTER}, "FractionUnsupported", "such as huawei.com/Ascend910B3"),
        (part(), {"resourceName": "huawei.com/npu-core"}, "FractionUnsupported", "HAMi's device plugin"),
        (part(), {"scheduler": {"name": "kai"}}, "FractionNotIsolated", "set volcano"),
        (part(memory=None, cores=30), {}, "FractionNeedsMemory", "such as 16Gi"),
        (part(cores=30), {}, "CoresNeedSoftMode", "huawei.com/vnpu-mode: hami-core"),
    ],
)
def test_refusals(resources: dict[str, Any], accelerator: dict[str, Any], reason: str, remedy: str) -> None:
    with pytest.raises(PlanningError) as caught:
        plan(resources, accelerator)
    assert caught.value.reason == reason
    assert remedy in caught.value.message


@pytest.mark.parametrize(
    ("memory", "becomes"),
    [
        ("16Gi", None),
        ("1Gi", "1024 MiB of huawei.com/Ascend910B3 become a part of 16384 MiB"),
        ("20Gi", "20480 MiB of huawei.com/Ascend910B3 become a part of 32768 MiB"),
        ("33Gi", "33792 MiB of huawei.com/Ascend910B3 become the whole chip"),
    ],
)
def test_the_plan_says_to_what_a_part_is_rounded_up(memory: str, becomes: str | None) -> None:
    found = [warning for warning in plan(part(memory)).warnings if "become" in warning]
    assert len(found) == (1 if becomes else 0)
    assert not becomes or becomes in found[0]


def test_soft_parts_are_exact_have_cores_and_need_arm() -> None:
    made = plan(part("20Gi", 30), pod=SOFT)
    assert made.serving["resources"]["limits"] == {B3: "1", f"{B3}-core": "30", f"{B3}-memory": "20480"}
    assert made.pod["spec"]["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert made.pod["metadata"]["annotations"] == SOFT["annotations"]
    assert not [warning for warning in made.warnings if "become" in warning]
    with pytest.raises(PlanningError, match="works on ARM hosts only"):
        plan(part("20Gi", 30), {"nodeSelector": {"kubernetes.io/arch": "amd64"}}, pod=SOFT)
    with pytest.raises(PlanningError, match="101 is above 100"):
        plan(part("20Gi", 101), pod=SOFT)


def test_a_privileged_container_gets_no_part() -> None:
    with pytest.raises(PlanningError, match="HAMi refuses it"):
        plan(part(), pod={"containerSecurityContext": {"privileged": True}})


def paths(made: Plan) -> list[str]:
    return [volume["hostPath"]["path"] for volume in made.pod["spec"]["volumes"] if "hostPath" in volume]


def test_the_driver_is_mounted_read_only_from_the_node() -> None:
    made = plan({})
    assert paths(made) == [
        "/usr/local/Ascend/driver",
        "/usr/local/dcmi",
        "/usr/local/bin/npu-smi",
        "/etc/ascend_install.info",
    ]
    mounts = [mount for mount in made.serving["volumeMounts"] if mount["name"].startswith("host-")]
    assert all(mount["readOnly"] for mount in mounts)
    assert [mount["mountPath"] for mount in mounts] == paths(made)
    assert all(volume["hostPath"]["type"] for volume in made.pod["spec"]["volumes"] if "hostPath" in volume)


@pytest.mark.parametrize("pod", [{"runtimeClassName": "ascend"}, {"vendorMounts": False}])
def test_not_where_the_container_runtime_brings_it(pod: dict[str, Any]) -> None:
    assert paths(plan({}, pod=pod)) == []


def test_not_with_parts_which_need_that_runtime() -> None:
    assert paths(plan(part())) == []


def test_a_mount_of_the_runtime_takes_the_place_of_the_vendors() -> None:
    own = {"hostPath": "/opt/driver-24", "mountPath": "/usr/local/Ascend/driver", "type": "Directory"}
    assert paths(plan({}, pod={"hostMounts": [own]})) == [
        "/opt/driver-24",
        "/usr/local/dcmi",
        "/usr/local/bin/npu-smi",
        "/etc/ascend_install.info",
    ]


def test_a_runtime_may_not_choose_the_chips() -> None:
    container = {"image": "e", "env": [{"name": "ASCEND_VISIBLE_DEVICES", "value": "0"}]}
    with pytest.raises(PlanningError, match="sets ASCEND_VISIBLE_DEVICES"):
        plan({}, container=container)


def test_an_image_without_a_chip_sees_none() -> None:
    assert [(variable.name, variable.value) for variable in plan({}).no_device_env] == [("ASCEND_VISIBLE_DEVICES", "")]


def test_probes_and_metrics() -> None:
    made = plan({})
    assert (made.probes.startup.period_seconds or 0) * (made.probes.startup.failure_threshold or 0) == 1800
    assert made.metrics is not None
    assert made.metrics.names["ttft"] == "vllm:time_to_first_token_seconds"


def test_an_engine_sees_its_chips_only() -> None:
    made = plan({"accelerators": 2}, {"dies": 2}, target="local")
    launch = local_launch(made, host=HOST, devices=["4", "5", "6", "7"], port=9000)
    assert launch.argv[:4] == ("env", "vllm", "serve", "acme/tiny")
    assert "--tensor-parallel-size=4" in launch.argv
    assert launch.env["ASCEND_RT_VISIBLE_DEVICES"] == "4,5,6,7"
    assert "ASCEND_VISIBLE_DEVICES" not in launch.env
