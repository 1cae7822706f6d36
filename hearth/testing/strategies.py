"""Hypothesis strategies for valid services, runtimes and hook inputs.

Written by hand: strategies derived from types do not know the patterns and the rules between fields, and mostly make
manifests that the API refuses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import Target
from hearth.plugins import InventoryOutput, RenderContext
from hearth.testing.case import Case

DEVICE_IDS = tuple(str(number) for number in range(8))
"""The ids that devices have unless an author says otherwise."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = _LETTERS + "0123456789"
_ARGS = ("--max-model-len=8192", "--enforce-eager", "--port", "9000", "-tp=2", "--seed=0")
_URIS: dict[Target, tuple[str, ...]] = {
    "cluster": ("hf://acme/tiny", "modelscope://acme/tiny", "pvc://weights", "pvc://weights/tiny/v2"),
    "local": ("hf://acme/tiny", "modelscope://acme/tiny", "file:///models/tiny"),
}


def service_names() -> st.SearchStrategy[str]:
    """Names of LLMServices: RFC 1035 labels, some of them as long as allowed."""
    short = st.builds(str.__add__, st.sampled_from(_LETTERS), st.text(_WORDS, max_size=8))
    return st.one_of(short, st.sampled_from(("m" * 55, "qwen3-8b", "a-1")))


def label_values() -> st.SearchStrategy[str]:
    """Values of Kubernetes labels, the empty one among them."""
    return st.one_of(st.text(_WORDS, max_size=6), st.sampled_from(("", "A.b_c-d", "v" * 63)))


def label_keys() -> st.SearchStrategy[str]:
    """Keys of labels and annotations that belong neither to Kubernetes nor to Hearth."""
    return st.sampled_from(("team", "example.com/tier", "example.com/a.b_c", "node.example.com/pool"))


def env_names() -> st.SearchStrategy[str]:
    """Names of environment variables."""
    return st.sampled_from(("LOG_LEVEL", "HF_HUB_OFFLINE", "_x", "VLLM_LOGGING_LEVEL"))


@st.composite
def services(
    draw: st.DrawFn, *, runtime: str | None = None, target: Target = "cluster", fractions: bool = False
) -> LLMService:
    """Return a valid service that asks for `runtime`; with `fractions` some ask for a part of an accelerator."""
    wire = draw(_SERVICES[target])
    fraction = draw(_FRACTIONS) if fractions else None
    if fraction:
        wire["spec"]["resources"] |= {"accelerators": 1, "fraction": fraction}
    if runtime is not None:
        wire["spec"]["runtime"]["name"] = runtime
    return LLMService.model_validate(wire)


@st.composite
def runtimes(draw: st.DrawFn, vendor: str, *, base: Sequence[InferenceRuntime] = ()) -> InferenceRuntime:
    """Return a valid runtime of the vendor: one of `base` (or a small one) as users would change it."""
    wire = draw(st.sampled_from(base)).to_wire() if base else small_runtime(vendor)
    changes = draw(_CHANGES)
    if changes["port"]:
        # The port under another name, wherever it is referred to.
        name = json.dumps(wire["spec"]["container"]["port"]["name"])
        wire = json.loads(json.dumps(wire).replace(f": {name}", ': "api"'))
    spec = wire["spec"]
    container, accelerator = spec["container"], spec["accelerator"]
    container["args"] += changes["args"]
    known = {variable["name"] for variable in container["env"]}
    container["env"] += [{"name": name, "value": value} for name, value in changes["env"].items() if name not in known]
    accelerator["nodeSelector"] |= changes["nodeSelector"]
    accelerator["tolerations"] += changes["tolerations"]
    spec["pod"] |= changes["pod"]
    port = container["port"]["containerPort"]
    if changes["startup"]:
        spec["health"]["startup"] = {"httpGet": {"path": "/ready", "port": port}}
    if changes["liveness"]:
        spec["health"]["liveness"] = {"tcpSocket": {"port": port}, "periodSeconds": 30}
    spec["lifecycle"]["preStopDrain"] = changes["drain"]
    return InferenceRuntime.model_validate(wire)


@st.composite
def cases(
    draw: st.DrawFn,
    vendor: str,
    *,
    base: Sequence[InferenceRuntime] = (),
    device_ids: Sequence[str] = DEVICE_IDS,
    targets: Sequence[Target] = ("cluster", "local"),
    fractions: bool = False,
) -> Case:
    """Return a service, the runtime of the vendor that it names, a target, and as many devices as one replica needs."""
    target = draw(st.sampled_from(targets))
    sharing = [runtime for runtime in base if runtime.spec.accelerator.sharing.supported]
    if fractions and target == "cluster" and sharing and draw(st.booleans()):
        base = sharing  # there are few of them, and fractions are where most can go wrong
    runtime = draw(runtimes(vendor, base=base))
    shares = fractions and target == "cluster" and runtime.spec.accelerator.sharing.supported
    service = draw(services(runtime=runtime.metadata.name, target=target, fractions=shares))
    return Case(service, runtime, target, draw(devices(device_ids)))


def contexts(vendor: str, *, base: Sequence[InferenceRuntime] = ()) -> st.SearchStrategy[RenderContext]:
    """Return what hooks are told, for tests of your own."""
    return cases(vendor, base=base).map(lambda case: case.context)


@st.composite
def devices(draw: st.DrawFn, ids: Sequence[str] = DEVICE_IDS) -> tuple[str, ...]:
    """Return some devices of a machine, in any order; at least one."""
    return tuple(draw(st.lists(st.sampled_from(ids), unique=True, min_size=1, max_size=min(4, len(ids)))))


def inventories(environment: Sequence[str] = ()) -> st.SearchStrategy[InventoryOutput]:
    """Return what a host may read on a machine: any text, and any value for the variables that were asked for."""
    values = st.one_of(st.just(""), st.sampled_from(("0", "2", "-1", "0,1", "all", "x")), st.text(max_size=8))
    lines = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(("0, Chip, 16384 MiB", "|", "N/A"))), max_size=4)
    variables = st.fixed_dictionaries({}, optional=dict.fromkeys(environment, values))
    return st.builds(InventoryOutput, stdout=lines.map("\n".join), environment=variables)


def small_runtime(vendor: str) -> dict[str, Any]:
    """Return the wire form of a runtime for vendors that ship none."""
    spec = {
        "vendor": vendor,
        "container": {
            "image": "example.com/engine:1",
            "args": ["--model={{ .Model.Path }}", "--served-model-name={{ .Service.Name }}"],
        },
        "accelerator": {"resourceName": f"{vendor}.example.com/chip"},
    }
    return InferenceRuntime.model_validate({"metadata": {"name": f"vllm-{vendor}"}, "spec": spec}).to_wire()


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


# Made once: hypothesis takes longer to make a strategy than to draw from it.
_LABELS = st.dictionaries(label_keys(), label_values(), max_size=2)
_SERVICES: dict[Target, st.SearchStrategy[dict[str, Any]]] = {
    target: st.fixed_dictionaries(
        {
            "metadata": st.fixed_dictionaries(
                {"name": service_names(), "namespace": st.sampled_from(("default", "ai"))},
                optional={"labels": _LABELS, "annotations": _LABELS},
            ),
            "spec": st.fixed_dictionaries(
                {
                    "model": st.fixed_dictionaries(
                        {"source": st.fixed_dictionaries({"uri": st.sampled_from(_URIS[target])})}
                    ),
                    "resources": st.fixed_dictionaries(
                        {"accelerators": st.sampled_from((1, 2, 3, 4, 8))},
                        optional={"cpu": st.sampled_from(("500m", "4")), "memory": st.sampled_from(("512Mi", "24Gi"))},
                    ),
                    "runtime": _some(argsOverride=st.lists(st.sampled_from(_ARGS), max_size=2)),
                },
                optional={
                    "scaling": _some(drainTimeout=st.sampled_from(("0s", "1500ms", "10m")), max=st.integers(1, 4)),
                    "cache": _some(strategy=st.sampled_from(("NodeLocalPVC", "None"))),
                },
            ),
        }
    )
    for target in _URIS
}
_FRACTIONS = _some(memory=st.sampled_from(("1Gi", "16Gi")), cores=st.sampled_from((1, 30, 100)))
_CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "args": st.lists(st.sampled_from(_ARGS[:2]), max_size=1),
        "env": st.dictionaries(env_names(), st.sampled_from(("", "1", "a b")), max_size=2),
        "nodeSelector": _LABELS,
        "tolerations": st.sampled_from(
            ([], [{"key": "example.com/dedicated", "operator": "Exists", "effect": "NoSchedule"}])
        ),
        "pod": _some(
            annotations=_LABELS,
            labels=_LABELS,
            hostMounts=st.just([{"hostPath": "/srv/models", "mountPath": "/srv/models"}]),
            securityContext=st.just({"fsGroup": 1000}),
            sharedMemory=st.sampled_from(({"enabled": False}, {"size": "1Gi"})),
        ),
        "port": st.booleans(),
        "startup": st.booleans(),
        "liveness": st.booleans(),
        "drain": st.booleans(),
    }
)
