"""The pods of every packaged runtime and of the vendors that are data only, kept byte for byte.

HEARTH_UPDATE_GOLDEN=1 rewrites them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hearth.api import InferenceRuntime, LLMService, load_manifests
from hearth.planning import Plan, PlanningError, Target, local_launch, make_plan
from hearth.plugins import VendorHost

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "vendors").glob("*.yaml"))
HOST = VendorHost.load(environ={"HEARTH_PLUGINS": "nvidia,ascend"})
PACKAGED = {packaged.manifest.metadata.name: packaged.manifest for packaged in HOST.runtimes()}
DATA_ONLY = {
    runtime.metadata.name: runtime for runtime in load_manifests(EXAMPLES).runtimes if runtime.spec.adapter == "generic"
}
RUNTIMES = {**PACKAGED, **DATA_ONLY}

# What a fraction needs, for the runtimes that share their accelerators.
FRACTIONS: dict[str, dict[str, Any]] = {
    "vllm-nvidia-hami": {"accelerators": 2, "fraction": {"memory": "12Gi", "cores": 40}},
    "vllm-ascend-910b3-hami": {"fraction": {"memory": "20Gi"}},
    "vllm-cambricon": {"fraction": {"memory": "8Gi", "cores": 30}},
    "vllm-hygon": {"fraction": {"memory": "8Gi", "cores": 30}},
    "vllm-metax": {"fraction": {"memory": "8Gi", "cores": 30}},
}


def plan(runtime: InferenceRuntime, resources: dict[str, Any], target: Target = "cluster") -> Plan:
    service = LLMService.model_validate(
        {
            "metadata": {"name": "tiny", "namespace": "ai"},
            "spec": {
                "model": {"source": {"uri": "hf://acme/tiny"}},
                "runtime": {"name": runtime.metadata.name},
                "resources": {"memory": "64Gi", **resources},
            },
        }
    )
    return make_plan(service, runtimes=[runtime], host=HOST, target=target)


def written(made: Plan) -> str:
    kept = {
        "devices": made.devices,
        "noDeviceEnv": [variable.to_wire() for variable in made.no_device_env],
        "warnings": list(made.warnings),
        "pod": made.pod,
    }
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120)


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_whole_accelerators(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"vendors/{name}.whole.yaml", written(plan(RUNTIMES[name], {"accelerators": 2})))


@pytest.mark.parametrize("name", sorted(FRACTIONS))
def test_fractions(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"vendors/{name}.fraction.yaml", written(plan(RUNTIMES[name], FRACTIONS[name])))


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_one_machine(name: str, golden: Callable[[str, str], None]) -> None:
    made = plan(RUNTIMES[name], {}, "local")
    launch = local_launch(made, host=HOST, devices=[str(3 + number) for number in range(made.devices)], port=9000)
    kept = {"argv": list(launch.argv), "env": dict(launch.env)}
    golden(f"vendors/{name}.local.yaml", yaml.safe_dump(kept, sort_keys=False, width=120))


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_what_shares_has_a_fraction_that_is_kept(name: str) -> None:
    assert RUNTIMES[name].spec.accelerator.sharing.supported == (name in FRACTIONS)


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_no_pod_with_devices_says_which(name: str) -> None:
    """The device plugin does; a variable of ours would win over its choice."""
    names = {variable["name"] for variable in plan(RUNTIMES[name], {}).serving["env"]}
    assert not {variable for variable in names if variable.endswith("VISIBLE_DEVICES")}


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_every_runtime_is_honest_about_its_support(name: str) -> None:
    support = RUNTIMES[name].metadata.annotations["serving.hearth.dev/support"]
    assert support in ("validated", "documented", "unverified")


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_a_runtime_of_the_user_comes_before_packaged_ones(name: str) -> None:
    assert PACKAGED[name].spec.priority < 0


def test_no_two_packaged_runtimes_of_a_vendor_tie() -> None:
    for vendor in ("nvidia", "ascend"):
        priorities = [runtime.spec.priority for runtime in PACKAGED.values() if runtime.spec.vendor == vendor]
        assert len(set(priorities)) == len(priorities)


def test_hugepages_need_memory() -> None:
    runtime = DATA_ONLY["vllm-gaudi"]
    with pytest.raises(PlanningError, match="hugepages-2Mi, which Kubernetes refuses without memory or cpu"):
        plan(runtime, {"memory": None})


QWEN = load_manifests([ROOT / "examples" / "qwen3-8b.yaml"]).services[0]


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [("nvidia,ascend", "vllm-nvidia"), ("nvidia", "vllm-nvidia"), ("ascend", "vllm-ascend-910b")],
)
def test_the_first_manifest_that_people_see_picks_each_vendor_in_turn(installed: str, chosen: str) -> None:
    host = VendorHost.load(environ={"HEARTH_PLUGINS": installed})
    runtimes = [packaged.manifest for packaged in host.runtimes()]
    for target in ("cluster", "local"):
        made = make_plan(QWEN, runtimes=runtimes, host=host, target=target)  # type: ignore[arg-type]
        assert made.runtime.metadata.name == chosen
        assert not [warning for warning in made.warnings if "runtime" in warning]


def test_without_either_the_message_says_what_to_install() -> None:
    host = VendorHost.load(candidates=[], environ={})
    with pytest.raises(PlanningError) as caught:
        make_plan(QWEN, runtimes=[], host=host, target="cluster")
    assert caught.value.reason == "NoRuntime"
    assert caught.value.remedy.startswith("pip install hearth-nvidia or hearth-ascend")


def test_a_tie_names_the_tied_and_asks_to_pin() -> None:
    own = [
        InferenceRuntime.model_validate(
            {
                "metadata": {"name": name},
                "spec": {
                    "vendor": "nvidia",
                    "container": {"image": "e"},
                    "accelerator": {"resourceName": "nvidia.com/gpu"},
                },
            }
        )
        for name in ("mine", "yours")
    ]
    with pytest.raises(
        PlanningError, match=r"mine, yours share the highest priority 0; pin one with spec\.runtime\.name"
    ):
        make_plan(QWEN, runtimes=[*PACKAGED.values(), *own], host=HOST, target="cluster")
    only = make_plan(QWEN, runtimes=[*PACKAGED.values(), own[0]], host=HOST, target="cluster")
    assert only.runtime.metadata.name == "mine"
