"""Hypothesis strategies for valid services, runtimes and hook inputs.

Written by hand: strategies derived from types do not know the patterns and the rules between fields, and mostly make
manifests that the API refuses.
"""

from __future__ import annotations

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
    """A valid service that asks for `runtime`; with `fractions` some ask for a part of an accelerator."""
    resources: dict[str, Any] = {"accelerators": draw(st.sampled_from((1, 1, 2, 3, 4, 8)))}
    resources |= draw(_some(cpu=st.sampled_from(("500m", "4")), memory=st.sampled_from(("512Mi", "24Gi"))))
    if fractions and draw(st.booleans()):
        amounts = _some(memory=st.sampled_from(("1Gi", "16Gi")), cores=st.sampled_from((1, 30, 100)))
        resources |= {"accelerators": 1, "fraction": draw(amounts.filter(bool))}
    spec: dict[str, Any] = {
        "model": {"source": {"uri": draw(st.sampled_from(_URIS[target]))}},
        "resources": resources,
        "runtime": draw(_some(argsOverride=st.lists(st.sampled_from(_ARGS), max_size=2))),
        "scaling": draw(_some(drainTimeout=st.sampled_from(("0s", "1500ms", "10m")), max=st.integers(1, 4))),
        "cache": draw(_some(strategy=st.sampled_from(("NodeLocalPVC", "None")))),
    }
    if runtime is not None:
        spec["runtime"]["name"] = runtime
    metadata = {"name": draw(service_names()), "namespace": draw(st.sampled_from(("default", "ai")))}
    metadata |= draw(_some(labels=_labels(), annotations=_labels()))
    return LLMService.model_validate({"metadata": metadata, "spec": spec})


@st.composite
def runtimes(draw: st.DrawFn, vendor: str, *, base: Sequence[InferenceRuntime] = ()) -> InferenceRuntime:
    """A valid runtime of the vendor: one of `base` (or a small one) as users would change it."""
    wire = draw(st.sampled_from(base)).to_wire() if base else small_runtime(vendor)
    spec = wire["spec"]
    container, accelerator = spec["container"], spec["accelerator"]
    if draw(st.booleans()):
        return InferenceRuntime.model_validate(wire)
    container["args"] += draw(st.lists(st.sampled_from(_ARGS[:2]), max_size=1))
    known = {variable["name"] for variable in container["env"]}
    added = draw(st.dictionaries(env_names(), st.sampled_from(("", "1", "a b")), max_size=2))
    container["env"] += [{"name": name, "value": value} for name, value in added.items() if name not in known]
    accelerator["nodeSelector"] |= draw(_labels())
    if draw(st.booleans()):
        accelerator["tolerations"] += [{"key": "example.com/dedicated", "operator": "Exists", "effect": "NoSchedule"}]
    pod = spec.setdefault("pod", {})
    pod |= draw(
        _some(
            annotations=_labels(),
            labels=_labels(),
            hostMounts=st.just([{"hostPath": "/srv/models", "mountPath": "/srv/models"}]),
            securityContext=st.just({"fsGroup": 1000}),
            sharedMemory=st.sampled_from(({"enabled": False}, {"size": "1Gi"})),
        )
    )
    spec["health"] |= draw(
        _some(
            startup=st.just({"httpGet": {"path": "/ready", "port": container["port"]["containerPort"]}}),
            liveness=st.just({"tcpSocket": {"port": container["port"]["containerPort"]}, "periodSeconds": 30}),
        )
    )
    spec["lifecycle"]["preStopDrain"] = draw(st.booleans())
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
    """A service, the runtime of the vendor that it names, a target, and as many devices as one replica needs."""
    target = draw(st.sampled_from(targets))
    runtime = draw(runtimes(vendor, base=base))
    service = draw(services(runtime=runtime.metadata.name, target=target, fractions=fractions))
    return Case(service, runtime, target, draw(devices(device_ids)))


def contexts(vendor: str, *, base: Sequence[InferenceRuntime] = ()) -> st.SearchStrategy[RenderContext]:
    """What hooks are told, for tests of your own."""
    return cases(vendor, base=base).map(lambda case: case.context)


@st.composite
def devices(draw: st.DrawFn, ids: Sequence[str] = DEVICE_IDS) -> tuple[str, ...]:
    """Some devices of a machine, in any order; at least one."""
    return tuple(draw(st.lists(st.sampled_from(ids), unique=True, min_size=1, max_size=min(4, len(ids)))))


def inventories(environment: Sequence[str] = ()) -> st.SearchStrategy[InventoryOutput]:
    """What a host may read on a machine: any text, and any value for the variables that were asked for."""
    values = st.one_of(st.just(""), st.sampled_from(("0", "2", "-1", "0,1", "all", "x")), st.text(max_size=8))
    lines = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(("0, Chip, 16384 MiB", "|", "N/A"))), max_size=4)
    variables = st.fixed_dictionaries({}, optional=dict.fromkeys(environment, values))
    return st.builds(InventoryOutput, stdout=lines.map("\n".join), environment=variables)


def _labels() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(label_keys(), label_values(), max_size=2)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def small_runtime(vendor: str) -> dict[str, Any]:
    """The wire form of a runtime for vendors that ship none."""
    spec = {
        "vendor": vendor,
        "container": {
            "image": "example.com/engine:1",
            "args": ["--model={{ .Model.Path }}", "--served-model-name={{ .Service.Name }}"],
        },
        "accelerator": {"resourceName": f"{vendor}.example.com/chip"},
    }
    return InferenceRuntime.model_validate({"metadata": {"name": f"vllm-{vendor}"}, "spec": spec}).to_wire()
