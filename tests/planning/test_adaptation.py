"""What a runtime's data says about its pods, over what the vendor's plugin adds."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.api import EnvVar, HostMount, NodeRequirement, parse_quantity
from hearth.planning import PlanningError, local_launch
from hearth.plugins import AcceleratorRequest, PodAdaptation
from tests.planning.plans import plan
from tests.support.vendors import host

PLUGIN = PodAdaptation(
    host_mounts=(HostMount(host_path="/opt/driver"), HostMount(host_path="/opt/tool", mount_path="/usr/bin/tool")),
    runtime_class_name="vendor",
    annotations={"acme.dev/mode": "fast", "acme.dev/kept": "yes"},
    labels={"acme.dev/kind": "chip"},
    container_security={"capabilities": {"add": ["SYS_PTRACE"]}, "runAsGroup": 44},
    shared_memory=False,
    shared_memory_size=parse_quantity("1Gi"),
    command=("/entry",),
    extra_limits={"hugepages-2Mi": parse_quantity("1Gi")},
    no_device_env=(EnvVar(name="ACME_VISIBLE_DEVICES", value="none"),),
)


MEMORY = {"resources": {"memory": "64Gi"}}


def spec(pod: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"pod": pod, **more}


def test_the_plugins_additions_are_the_pods() -> None:
    made = plan(MEMORY, hearth_pod=lambda: PLUGIN)
    pod, serving = made.pod["spec"], made.serving
    assert serving["command"] == ["/entry"]
    assert serving["resources"]["limits"] == {"acme.dev/chip": "1", "hugepages-2Mi": "1Gi", "memory": "64Gi"}
    assert [volume["name"] for volume in pod["volumes"]] == ["cache", "host-0", "host-1"]
    assert pod["runtimeClassName"] == "vendor"
    assert made.no_device_env == PLUGIN.no_device_env


def test_the_runtimes_data_wins_and_the_plan_says_so() -> None:
    own = {
        "hostMounts": [{"hostPath": "/opt/driver-2", "mountPath": "/opt/driver", "type": "Directory"}],
        "runtimeClassName": "own",
        "annotations": {"acme.dev/mode": "slow"},
        "labels": {"acme.dev/kind": "card"},
        "containerSecurityContext": {"runAsGroup": 39},
        "sharedMemory": {"enabled": True, "size": "16Gi"},
        "extraLimits": {"hugepages-2Mi": "2Gi"},
        "hostIPC": True,
        "noDeviceEnv": [{"name": "ACME_VISIBLE_DEVICES", "value": "void"}],
    }
    made = plan(MEMORY, spec(own), hearth_pod=lambda: PLUGIN)
    pod, serving = made.pod["spec"], made.serving
    assert pod["runtimeClassName"] == "own"
    assert pod["hostIPC"] is True
    assert made.pod["metadata"]["annotations"] == {"acme.dev/mode": "slow", "acme.dev/kept": "yes"}
    assert made.pod["metadata"]["labels"]["acme.dev/kind"] == "card"
    assert serving["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["SYS_PTRACE"]},
        "runAsGroup": 39,
    }
    assert [volume for volume in pod["volumes"] if volume["name"] != "cache"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
        {"name": "host-0", "hostPath": {"path": "/opt/driver-2", "type": "Directory"}},
        {"name": "host-1", "hostPath": {"path": "/opt/tool"}},
    ]
    assert [mount["mountPath"] for mount in serving["volumeMounts"]] == [
        "/cache",
        "/dev/shm",
        "/opt/driver",
        "/usr/bin/tool",
    ]
    assert serving["resources"]["limits"]["hugepages-2Mi"] == "2Gi"
    assert [variable.value for variable in made.no_device_env] == ["void"]
    for note in (
        "annotation acme.dev/mode: the runtime's value is used, not the plugin's",
        "label acme.dev/kind: the runtime's value is used, not the plugin's",
        "runtimeClassName: the runtime's value is used, not the plugin's",
        "limit hugepages-2Mi: the runtime's value is used, not the plugin's",
    ):
        assert note in made.warnings


def test_the_vendors_mounts_can_be_switched_off() -> None:
    made = plan(MEMORY, spec({"vendorMounts": False}), hearth_pod=lambda: PLUGIN)
    assert [volume["name"] for volume in made.pod["spec"]["volumes"]] == ["cache"]


def test_shared_memory_can_be_switched_off_by_data_alone() -> None:
    made = plan(runtime_spec=spec({"sharedMemory": {"enabled": False}}))
    assert "/dev/shm" not in [mount["mountPath"] for mount in made.serving["volumeMounts"]]


def test_on_one_machine_there_is_no_pod_to_adapt() -> None:
    made = plan(runtime_spec=spec({"extraLimits": {"hugepages-2Mi": "1Gi"}}), target="local")
    assert made.serving["resources"]["limits"] == {"acme.dev/chip": "1"}


@pytest.mark.parametrize(
    ("pod", "problem"),
    [
        (
            {"labels": {"app.kubernetes.io/name": "x"}},
            "spec.pod.labels: 'app.kubernetes.io/name' is reserved for Hearth",
        ),
        (
            {"annotations": {"serving.hearth.dev/x": "y"}},
            "spec.pod.annotations: 'serving.hearth.dev/x' is reserved for Hearth",
        ),
        ({"hostMounts": [{"hostPath": "/models"}]}, "spec.pod.hostMounts: '/models' is reserved for Hearth"),
        ({"hostMounts": [{"hostPath": "/a", "mountPath": "/cache/x"}]}, "'/cache/x' is reserved for Hearth"),
        ({"hostMounts": [{"hostPath": "/a"}, {"hostPath": "/b", "mountPath": "/a"}]}, "'/a' is listed twice"),
    ],
)
def test_what_is_hearths_own_is_refused(pod: dict[str, Any], problem: str) -> None:
    with pytest.raises(PlanningError) as caught:
        plan(runtime_spec=spec(pod))
    assert problem in caught.value.message
    assert caught.value.message.startswith("runtime vllm-acme: ")


def test_node_requirements_of_both_hold() -> None:
    own = {
        "resourceName": "acme.dev/chip",
        "nodeRequirements": [{"key": "acme.dev/memory", "operator": "Gt", "values": ["40000"]}],
    }
    added = AcceleratorRequest(
        {"acme.dev/chip": 1}, node_requirements=(NodeRequirement(key="acme.dev/old", operator="DoesNotExist"),)
    )
    made = plan(runtime_spec={"accelerator": own}, hearth_accelerator=lambda: added)
    [term] = made.pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {
        "matchExpressions": [
            {"key": "acme.dev/memory", "operator": "Gt", "values": ["40000"]},
            {"key": "acme.dev/old", "operator": "DoesNotExist"},
        ]
    }


def test_dies_multiply_the_request_and_the_parallelism() -> None:
    made = plan({"resources": {"accelerators": 2}}, {"accelerator": {"resourceName": "acme.dev/chip", "dies": 2}})
    assert made.devices == 4
    assert made.serving["resources"]["limits"] == {"acme.dev/chip": "4"}
    assert made.serving["args"][-1] == "--tensor-parallel-size=4"


def test_a_plugin_may_count_otherwise_and_explain_itself() -> None:
    request = AcceleratorRequest({"acme.dev/chip": 1}, devices=8, notes=("one card has eight cores",))
    made = plan(hearth_accelerator=lambda: request)
    assert (made.devices, made.serving["args"][-1]) == (8, "--tensor-parallel-size=8")
    assert "one card has eight cores" in made.warnings


@pytest.mark.parametrize(
    ("override", "args"),
    [
        ([], ["--tensor-parallel-size=2"]),
        (["--max-model-len=64"], ["--tensor-parallel-size=2", "--max-model-len=64"]),
        (["-tp", "1"], ["-tp", "1"]),
        (["--data-parallel-size=2"], ["--data-parallel-size=2"]),
        (["--pipeline-parallel-size=2"], ["--pipeline-parallel-size=2"]),
    ],
)
def test_parallelism_is_asked_for_unless_the_user_said_it(override: list[str], args: list[str]) -> None:
    made = plan({"resources": {"accelerators": 2}, "runtime": {"argsOverride": override}})
    assert made.serving["args"][2:] == args


def test_a_runtime_that_spreads_the_model_itself_is_left_alone() -> None:
    args = ["{{ .Model.Path }}", "-tp={{ .Service.Accelerators }}"]
    made = plan({"resources": {"accelerators": 2}}, {"container": {"image": "e", "args": args}})
    assert made.serving["args"] == ["acme/tiny", "-tp=2"]


SHARING = {
    "supported": True,
    "resourceName": "acme.dev/slice",
    "memory": {"resourceName": "acme.dev/slice-memory", "unit": "256Mi"},
    "coresResourceName": "acme.dev/slice-cores",
}


def generic(sharing: dict[str, Any]) -> dict[str, Any]:
    return {"adapter": "generic", "accelerator": {"resourceName": "acme.dev/chip", "sharing": sharing}}


def test_data_says_how_a_fraction_is_asked_for() -> None:
    wanted = {"resources": {"fraction": {"memory": "1G", "cores": 30}}}
    assert plan(wanted, generic(SHARING)).serving["resources"]["limits"] == {
        "acme.dev/slice": "1",
        "acme.dev/slice-cores": "30",
        "acme.dev/slice-memory": "4",  # 1 G is 953.7 Mi: three units of 256 Mi are too few
    }
    assert plan({}, generic(SHARING)).serving["resources"]["limits"] == {"acme.dev/chip": "1"}


@pytest.mark.parametrize(
    ("resources", "sharing", "problem"),
    [
        ({"accelerators": 2}, SHARING, r"2 accelerators are requested, and .*maxAccelerators is 1"),
        ({}, {"supported": True}, "sharing.memory.resourceName is not set; set it, or remove"),
        ({}, {**SHARING, "coresResourceName": None}, "sharing.coresResourceName is not set; set it, or remove"),
    ],
)
def test_a_fraction_that_data_cannot_ask_for(resources: Any, sharing: dict[str, Any], problem: str) -> None:
    wanted = {"resources": {"fraction": {"memory": "8Gi", "cores": 30}, **resources}}
    with pytest.raises(PlanningError, match=problem):
        plan(wanted, generic(sharing))


def test_a_runtimes_own_command_wins_on_one_machine() -> None:
    local = {
        "command": ["/opt/engine"],
        "env": [{"name": "BOTH", "value": "[{{ .Devices }}]"}],
        "visibleDevicesEnv": "CHIPS",
    }
    made = plan(runtime_spec={"local": local}, target="local")
    launch = local_launch(made, host=host(), devices=["2", "5"], port=9000)
    assert launch.argv[0] == "/opt/engine"
    assert (launch.env["CHIPS"], launch.env["BOTH"]) == ("2,5", "[2,5]")
