"""Laws of the wire form, with strategies written by hand: those that hypothesis derives ignore our validators."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from hearth.api import ManifestErrors, format_duration, parse_manifests
from hearth.api.base import Model

labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\Z")
service_names = st.from_regex(r"\A[a-z]([-a-z0-9]{0,53}[a-z0-9])?\Z")
texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
counts = st.integers(0, 2**31 - 1)
positive = st.integers(1, 2**31 - 1)
seconds = st.integers(0, 3600).map(format_duration)
spans = st.integers(1, 10**15).map(lambda nanoseconds: f"{nanoseconds}ns")
quantities = st.builds("{}{}".format, st.integers(1, 10**6), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
ports = st.integers(1, 65535) | st.just("http")


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for mappings with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def with_required(
    required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def scalings(draw: st.DrawFn) -> dict[str, Any]:
    scaling = draw(
        some(
            min=st.integers(0, 9),
            max=st.integers(1, 9),
            metric=st.sampled_from(["queueDepth", "kvCacheUtil"]),
            target=positive,
            activationTimeout=spans,
            scaleDownStabilization=seconds,
            drainTimeout=spans,
            scaler=st.sampled_from(["push", "metrics-api"]),
        )
    )
    if scaling.get("min", 0) > scaling.get("max", 1):
        scaling["max"] = scaling["min"]
    return scaling


env = st.lists(
    with_required(
        {"name": texts.filter(lambda name: name.isascii() and "=" not in name)},
        value=st.text(max_size=9).filter(lambda value: value.isprintable()),
    )
    | st.just({"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}),
    max_size=2,
)
probes = some(
    httpGet=with_required({"port": ports}, path=texts, scheme=st.sampled_from(["HTTP", "HTTPS"])),
    periodSeconds=positive,
    failureThreshold=positive,
    initialDelaySeconds=counts,
)
metadata = {
    "labels": st.dictionaries(labels, labels, max_size=2),
    "annotations": st.dictionaries(labels, texts, max_size=2),
}
services = st.fixed_dictionaries(
    {
        "apiVersion": st.just("serving.hearth.dev/v1alpha1"),
        "kind": st.just("LLMService"),
        "metadata": with_required({"name": service_names}, namespace=labels, **metadata),
        "spec": with_required(
            {
                "model": some(
                    catalogRef=texts, source=with_required({"uri": texts}, secretRef=some(name=labels).filter(bool))
                )
            },
            runtime=some(name=labels, selector=some(vendor=st.lists(labels, max_size=2)), argsOverride=st.lists(texts)),
            resources=some(accelerators=positive, fraction=some(memory=quantities, cores=positive), cpu=quantities),
            scaling=scalings(),
            cache=some(strategy=st.sampled_from(["HostPath", "None"]), size=quantities, prewarm=st.booleans()),
            endpoint=some(
                openAICompatible=st.booleans(),
                coldStart=some(mode=st.sampled_from(["keepalive", "reject"]), heartbeatInterval=spans),
                aliases=st.lists(texts, max_size=2),
                gateway=st.sampled_from(["shared", "dedicated"]),
                limits=some(maxHeld=counts, maxRequestBytes=positive),
            ),
            imagePullSecrets=st.lists(st.fixed_dictionaries({"name": labels}), max_size=2),
        ),
    }
)
runtimes = st.fixed_dictionaries(
    {
        "apiVersion": st.just("serving.hearth.dev/v1alpha1"),
        "kind": st.just("InferenceRuntime"),
        "metadata": with_required({"name": labels}, **metadata),
        "spec": with_required(
            {
                "vendor": labels,
                "container": with_required(
                    {"image": texts},
                    command=st.lists(texts, max_size=2),
                    args=st.lists(texts, max_size=2),
                    env=env,
                    port=some(name=st.just("api"), containerPort=st.integers(1, 65535)),
                ),
                "accelerator": with_required(
                    {"resourceName": labels.map(lambda name: f"example.com/{name}")},
                    nodeSelector=st.dictionaries(labels, labels, max_size=2),
                    tolerations=st.lists(some(key=labels, operator=st.sampled_from(["Exists", "Equal"])), max_size=2),
                    scheduler=st.just({"name": "volcano", "queue": "q"}) | some(name=labels),
                    sharing=some(supported=st.booleans(), memory=st.just({"resourceName": "a.b/c", "unit": "256Mi"})),
                    nodeRequirements=st.lists(
                        st.fixed_dictionaries(
                            {"key": labels, "operator": st.just("NotIn"), "values": st.just(["a", "b"])}
                        ),
                        max_size=2,
                    ),
                    dies=positive,
                ),
            },
            priority=st.integers(-9, 9),
            adapter=st.sampled_from(["plugin", "generic"]),
            health=some(readiness=probes, liveness=probes, startup=probes),
            lifecycle=some(terminationGracePeriodSeconds=positive, preStopDrain=st.booleans()),
            metrics=with_required({"queueDepth": texts}, port=ports, running=texts),
            pod=some(
                annotations=st.dictionaries(labels, texts, max_size=2),
                runtimeClassName=labels,
                hostMounts=st.lists(
                    with_required({"hostPath": labels.map(lambda name: f"/{name}")}, readOnly=st.booleans()), max_size=2
                ),
                vendorMounts=st.booleans(),
                sharedMemory=some(enabled=st.booleans(), size=st.just("8Gi")),
                extraLimits=st.just({"hugepages-2Mi": "95000Mi"}),
                containerSecurityContext=st.just({"capabilities": {"add": ["SYS_NICE"]}, "privileged": False}),
                hostIPC=st.booleans(),
                noDeviceEnv=env,
            ),
            local=with_required({"command": st.lists(texts, min_size=1, max_size=3)}, env=env, devices=st.lists(texts)),
        ),
    }
)


def read(manifest: dict[str, Any]) -> Model:
    manifests = parse_manifests(yaml.safe_dump(manifest, default_style='"', allow_unicode=True))
    (item,) = (*manifests.services, *manifests.runtimes)
    return item


def covers(whole: Any, part: Any) -> bool:
    """Whether everything in `part` is in `whole`, amounts and spans aside, which are written anew."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and covers(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(covers, whole, part))
    return whole == part or (isinstance(whole, str) and isinstance(part, str) and part[:1].isdigit())


@given(services | runtimes)
def test_what_is_read_is_written_and_reads_back_the_same(manifest: dict[str, Any]) -> None:
    item = read(manifest)
    kind = type(item)
    assert covers(item.to_wire(), manifest)
    for defaults in (True, False):
        wire = item.to_wire(defaults=defaults)
        assert kind.model_validate(wire, by_alias=True, by_name=False) == item
        assert read(wire) == item
        assert kind.model_validate(wire).to_wire(defaults=defaults) == wire


@given(services | runtimes)
def test_leaving_out_defaults_only_leaves_out(manifest: dict[str, Any]) -> None:
    item = read(manifest)
    short = item.to_wire(defaults=False)
    assert covers(item.to_wire(), short)
    assert short["apiVersion"]
    assert short["kind"] == type(item).__name__


@given(services, st.data())
def test_an_unknown_field_anywhere_is_one_error_at_its_place(manifest: dict[str, Any], data: st.DataObject) -> None:
    paths: list[tuple[str, ...]] = []

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict) and path[-1:] not in (("labels",), ("annotations",)):
            paths.append(path)
            for key, inner in value.items():
                walk(inner, (*path, key))

    walk(manifest, ())
    path = data.draw(st.sampled_from(paths))
    place = manifest
    for step in path:
        place = place[step]
    place["unknownField"] = 1
    try:
        read(manifest)
    except ManifestErrors as errors:
        (error,) = errors.errors
        assert error.field == ".".join((*path, "unknownField"))
    else:
        raise AssertionError("the unknown field went unseen")
