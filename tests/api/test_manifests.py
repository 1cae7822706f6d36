from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hearth.api import HearthError, InferenceRuntime, ManifestErrors, Manifests, load_manifests, parse_manifests
from hearth.api.documents import LARGEST_FILE
from tests.support.manifests import runtime, service

EXAMPLES = Path(__file__).parents[2] / "examples"

SERVICE = service("qwen", model={"source": {"uri": "hf://Qwen/Qwen3-8B"}})
RUNTIME = runtime(
    "vllm",
    vendor="nvidia",
    container={"image": "vllm/vllm-openai:v0.33.0"},
    accelerator={"resourceName": "nvidia.com/gpu"},
)
BARE = "apiVersion: serving.hearth.dev/v1alpha1\nkind: LLMService\nmetadata: {name: qwen}\n"


def with_field(manifest: dict[str, Any], path: str, text: str) -> str:
    """Return the manifest with the YAML `text` at `path`, which stands in the last line."""
    steps = path.split(".")
    whole: dict[str, Any] = yaml.safe_load(yaml.safe_dump(manifest))
    place = whole
    for step in steps[:-1]:
        place = place.setdefault(step, {})
    place[steps[-1]] = "PLACEHOLDER"
    lines = yaml.safe_dump(whole, sort_keys=False).splitlines()
    number = next(n for n, line in enumerate(lines) if "PLACEHOLDER" in line)
    lines[number] = lines[number].replace("PLACEHOLDER", text)
    return "\n".join(lines)


def errors_of(text: str) -> list[str]:
    with pytest.raises(ManifestErrors) as caught:
        parse_manifests(text, file="x.yaml")
    return [re.sub(r"^x\.yaml:\d+: ", "", str(error)) for error in caught.value.errors]


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory


SERVICE_FAULTS = [
    (
        "spec.model.source.uri",
        f"hf://{'a' * 2044}",
        f"spec.model.source.uri: 'hf://{'a' * 72}...' has 2049 characters and the limit is 2048; shorten it",
    ),
    # scalars that YAML reads as something else
    ("metadata.name", "no", 'metadata.name: no is read as a boolean, not as text; put it in quotes: "no"'),
    ("metadata.labels", "{team: 7}", 'metadata.labels.team: 7 is read as a number, not as text; put it in quotes: "7"'),
    (
        "metadata.labels",
        "{team: }",
        'metadata.labels.team: there is nothing where text belongs; write text, or "" for none',
    ),
    (
        "spec.runtime.argsOverride",
        "[1.10]",
        'spec.runtime.argsOverride[0]: 1.10 is read as a number, not as text; put it in quotes: "1.10"',
    ),
    (
        "spec.runtime.argsOverride",
        "[~]",
        'spec.runtime.argsOverride[0]: ~ is read as null, not as text; put it in quotes: "~"',
    ),
    ("spec.cache.strategy", "on", 'spec.cache.strategy: on is read as a boolean, not as text; put it in quotes: "on"'),
    # the wrong shape
    (
        "spec.scaling",
        "3",
        "spec.scaling: 3 is a number where a mapping belongs; write one with min, max, metric, target, "
        "activationTimeout, scaleDownStabilization, drainTimeout, scaler",
    ),
    (
        "spec.scaling",
        "[]",
        "spec.scaling: there is a list where a mapping belongs; write one with min, max, metric, "
        "target, activationTimeout, scaleDownStabilization, drainTimeout, scaler",
    ),
    ("spec.runtime.argsOverride", "--a", "spec.runtime.argsOverride: '--a' is text where a list belongs; write [--a]"),
    (
        "spec.runtime.argsOverride",
        "{a: b}",
        "spec.runtime.argsOverride: there is a mapping where a list belongs; start each item with '- '",
    ),
    ("spec.model.source.uri", "{a: b}", "spec.model.source.uri: there is a mapping where text belongs; write text"),
    ("metadata.labels", "x", "metadata.labels: 'x' is text where a mapping belongs; write a mapping"),
    (
        "spec.imagePullSecrets",
        "[pull]",
        "spec.imagePullSecrets[0]: 'pull' is text where a mapping belongs; write one with name",
    ),
    (
        "spec.cache.prewarm",
        "'true'",
        "spec.cache.prewarm: 'true' is a boolean in quotes; write true without the quotes",
    ),
    ("spec.cache.prewarm", "1", "spec.cache.prewarm: 1 is a number where true or false belongs; write true or false"),
    # whole numbers and their bounds
    ("spec.scaling.min", "'1'", "spec.scaling.min: '1' is a number in quotes; write 1 without the quotes"),
    ("spec.scaling.min", "1.5", "spec.scaling.min: 1.5 is a number where a whole number belongs; write a whole number"),
    (
        "spec.scaling.min",
        "yes",
        "spec.scaling.min: yes is a boolean where a whole number belongs; write a whole number",
    ),
    ("spec.scaling.min", "-1", "spec.scaling.min: -1 is smaller than 0; write 0 or more"),
    ("spec.scaling.max", "0", "spec.scaling.max: 0 is smaller than 1; write 1 or more"),
    (
        "spec.scaling.max",
        "3000000000",
        "spec.scaling.max: 3000000000 is larger than 2147483647; write 2147483647 or less",
    ),
    ("spec.scaling.target", "0", "spec.scaling.target: 0 is smaller than 1; write 1 or more"),
    ("spec.resources.accelerators", "0", "spec.resources.accelerators: 0 is smaller than 1; write 1 or more"),
    ("spec.scaling", "{min: 3}", "spec.scaling.min: 3 is larger than spec.scaling.max: 1; lower min or raise max"),
    (
        "spec.scaling",
        "{min: 3, max: 2}",
        "spec.scaling.min: 3 is larger than spec.scaling.max: 2; lower min or raise max",
    ),
    # enums
    (
        "spec.scaling.metric",
        "queueLength",
        "spec.scaling.metric: 'queueLength' is not one of queueDepth, kvCacheUtil; did you mean queueDepth?",
    ),
    (
        "spec.cache.strategy",
        "Nowhere",
        "spec.cache.strategy: 'Nowhere' is not one of NodeLocalPVC, HostPath, SharedPVC, "
        "BakedImage, None; write one of them",
    ),
    (
        "spec.endpoint.coldStart.mode",
        "keep-alive",
        "spec.endpoint.coldStart.mode: 'keep-alive' is not one of keepalive, reject; did you mean keepalive?",
    ),
    (
        "apiVersion",
        "serving.hearth.dev/v1",
        "apiVersion: 'serving.hearth.dev/v1' is not serving.hearth.dev/v1alpha1; write serving.hearth.dev/v1alpha1",
    ),
    # durations
    (
        "spec.scaling.drainTimeout",
        "10",
        "spec.scaling.drainTimeout: 10 has no unit; write 10s for seconds, or a form such as 1m30s or 500ms",
    ),
    (
        "spec.scaling.drainTimeout",
        "'10'",
        "spec.scaling.drainTimeout: '10' is not a duration; write a number with a unit, such as 10s, 1m30s or 500ms",
    ),
    (
        "spec.scaling.drainTimeout",
        "on",
        "spec.scaling.drainTimeout: true is not a duration; write a number with a unit, such as 10s, 1m30s or 500ms",
    ),
    ("spec.scaling.drainTimeout", "-1s", "spec.scaling.drainTimeout: -1s is negative; write 0s or more"),
    (
        "spec.scaling.activationTimeout",
        "300y",
        "spec.scaling.activationTimeout: '300y' is not a duration; "
        "write a number with a unit, such as 10s, 1m30s or 500ms",
    ),
    (
        "spec.scaling.activationTimeout",
        "9999999h",
        "spec.scaling.activationTimeout: '9999999h' is too long a duration; the limit is about 292 years",
    ),
    (
        "spec.scaling.scaleDownStabilization",
        "2h",
        "spec.scaling.scaleDownStabilization: 2h0m0s is outside 0s to 1h; write whole seconds in that range",
    ),
    (
        "spec.scaling.scaleDownStabilization",
        "1500ms",
        "spec.scaling.scaleDownStabilization: 1.5s is not a whole number of seconds; write 2s",
    ),
    (
        "spec.endpoint.coldStart.heartbeatInterval",
        "0s",
        "spec.endpoint.coldStart.heartbeatInterval: 0s is not above 0s; "
        "write the time between two heartbeats, such as 10s",
    ),
    # quantities
    (
        "spec.cache.size",
        "50GB",
        "spec.cache.size: '50GB' is not a quantity; write a number with a Kubernetes suffix, such as 500m, 2 or 16Gi",
    ),
    (
        "spec.cache.size",
        "0",
        "spec.cache.size: 0 is not a positive quantity; write an amount above 0 or leave the field out",
    ),
    (
        "spec.cache.size",
        "[1]",
        "spec.cache.size: a list is not a quantity; write a number with a Kubernetes suffix, such as 500m, 2 or 16Gi",
    ),
    ("spec.cache.size", "99Ei", "spec.cache.size: '99Ei' is too large a quantity; write at most 9223372036854775807"),
    ("spec.resources.cpu", "0.5", 'spec.resources.cpu: 0.5 is a number with a fraction; put it in quotes: "0.5"'),
    (
        "spec.resources.memory",
        "-1Gi",
        "spec.resources.memory: -1Gi is not a positive quantity; write an amount above 0 or leave the field out",
    ),
    # names
    (
        "metadata.name",
        "Qwen2.5_7B",
        "metadata.name: 'Qwen2.5_7B' is not a valid Kubernetes Service name"
        "; use at most 55 lowercase letters, digits and '-', first a letter, last not '-', such as 'qwen2-5-7b'; "
        "requests can use any other name listed in spec.endpoint.aliases",
    ),
    (
        "metadata.name",
        "3b",
        "metadata.name: '3b' is not a valid Kubernetes Service name; use at most "
        "55 lowercase letters, digits and '-', first a letter, last not '-', such as 'm-3b'; "
        "requests can use any other name listed in spec.endpoint.aliases",
    ),
    (
        "metadata.name",
        "q" * 56,
        f"metadata.name: '{'q' * 56}' has 56 characters and the limit is 55, because the "
        "Kubernetes Services named after it may have 63; shorten it",
    ),
    (
        "metadata.namespace",
        "a.b",
        "metadata.namespace: 'a.b' is not a valid name; use at most 63 lowercase letters, digits "
        "and '-', first and last not '-', such as 'a-b'",
    ),
    (
        "metadata.namespace",
        "n" * 64,
        f"metadata.namespace: '{'n' * 64}' has 64 characters and the limit is 63; shorten it",
    ),
    (
        "metadata.labels",
        "{'a b': x}",
        "metadata.labels['a b']: 'a b' is not the key of a label or annotation; use at most 63 "
        "letters, digits, '-', '_' and '.', after a domain and '/' if there is one",
    ),
    (
        "metadata.labels",
        "{example.com/team: 'a b'}",
        "metadata.labels['example.com/team']: 'a b' is not the value of a "
        "label; use at most 63 letters, digits, '-', '_' and '.', first and last a letter or digit",
    ),
    (
        "spec.runtime.selector.vendor",
        "[NVIDIA]",
        "spec.runtime.selector.vendor[0]: 'NVIDIA' is not a valid name; use at "
        "most 63 lowercase letters, digits and '-', first and last not '-', such as 'nvidia'",
    ),
    ("spec.model.source.uri", "''", "spec.model.source.uri: it is empty; write a value or leave the field out"),
    ("spec.model.source.uri", "' '", "spec.model.source.uri: it is empty; write a value or leave the field out"),
    # missing and unknown fields
    (
        "metadata",
        "{}",
        "metadata.name: it is missing; add name (name of the service: the model name that clients send, and "
        "the name of its Kubernetes Service)",
    ),
    ("metadata", "", "metadata: it is missing; add metadata (name, namespace, labels)"),
    ("spec", "{}", "spec.model: it is missing; add model (the model to serve)"),
    ("spec.scaling.mim", "1", "spec.scaling.mim: no such field in spec.scaling; did you mean min?"),
    (
        "spec.scaling.drain_timeout",
        "1s",
        "spec.scaling.drain_timeout: no such field in spec.scaling; did you mean drainTimeout?",
    ),
    (
        "spec.endpoint.openaiCompatible",
        "true",
        "spec.endpoint.openaiCompatible: no such field in spec.endpoint; did you mean openAICompatible?",
    ),
    (
        "spec.minimum",
        "1",
        "spec.minimum: no such field in spec; remove it; the fields are model, runtime, resources, scaling, "
        "cache, endpoint, imagePullSecrets",
    ),
    ("spec.coldStart", "{}", "spec.coldStart: no such field in spec; did you mean spec.endpoint.coldStart?"),
    ("spec.model.uri", "x", "spec.model.uri: no such field in spec.model; did you mean spec.model.source.uri?"),
    ("scaling", "{}", "scaling: no such field in LLMService; did you mean spec.scaling?"),
    ("metadata.nmae", "x", "metadata.nmae: no such field in metadata; did you mean name?"),
    # limits of the gateway
    ("spec.endpoint.limits.maxHeld", "-1", "spec.endpoint.limits.maxHeld: -1 is smaller than 0; write 0 or more"),
    ("spec.endpoint.gateway", "own", "spec.endpoint.gateway: 'own' is not one of shared, dedicated; write one of them"),
]

RUNTIME_FAULTS = [
    (
        "spec.accelerator.nodeRequirements",
        f"[{'{key: a, operator: Exists}, ' * 65}]",
        "spec.accelerator.nodeRequirements: the list has 65 items and the limit is 64; shorten it",
    ),
    (
        "metadata.name",
        "a_b",
        "metadata.name: 'a_b' is not a valid name; use at most 63 lowercase letters, digits, '-' and "
        "'.', first and last a letter or digit, such as 'a-b'",
    ),
    ("spec.family", "sglang", "spec.family: 'sglang' is not vllm; write vllm"),
    (
        "spec.container",
        "{}",
        "spec.container.image: it is missing; add image (image of the engine; `{{ .Image.Registry }}` is the registry of "
        "Hearth's own images)",
    ),
    (
        "spec.accelerator",
        "{}",
        "spec.accelerator.resourceName: it is missing; add resourceName (extended resource that the "
        "device plugin advertises)",
    ),
    (
        "spec.accelerator.resourceName",
        "gpu",
        "spec.accelerator.resourceName: 'gpu' is not the name of an extended resource; "
        "write it with its domain, as the device plugin advertises it, such as nvidia.com/gpu",
    ),
    (
        "spec.accelerator.scheduler",
        "{queue: q}",
        "spec.accelerator.scheduler.queue: 'q' is a queue, and scheduler 'default' "
        "has none; set scheduler.name: volcano or remove the queue",
    ),
    (
        "spec.accelerator.scheduler",
        "{name: kai, queue: q}",
        "spec.accelerator.scheduler.queue: 'q' is a queue, and scheduler "
        "'kai' has none; set scheduler.name: volcano or remove the queue",
    ),
    (
        "spec.container.port.containerPort",
        "70000",
        "spec.container.port.containerPort: 70000 is larger than 65535; write 65535 or less",
    ),
    (
        "spec.container.port.name",
        "a--b",
        "spec.container.port.name: 'a--b' is not a port name; use letters, digits and single '-', at least one letter",
    ),
    (
        "spec.container.port.name",
        "much-too-long-a-name",
        "spec.container.port.name: 'much-too-long-a-name' has 20 characters and the limit is 15; shorten it",
    ),
    (
        "spec.container.env",
        "[{name: A=B}]",
        "spec.container.env[0].name: 'A=B' is not the name of an environment variable; "
        "use printable ASCII characters other than '='",
    ),
    (
        "spec.container.env",
        "[{name: A, value: 1}]",
        'spec.container.env[0].value: 1 is read as a number, not as text; put it in quotes: "1"',
    ),
    (
        "spec.container.env",
        "[{name: A, value: x, valueFrom: {}}]",
        "spec.container.env[0].valueFrom: it is given beside a value; keep either value or valueFrom",
    ),
    (
        "spec.container.env",
        "[{value: x}]",
        "spec.container.env[0].name: it is missing; add name (name of the variable)",
    ),
    (
        "spec.health.readiness",
        "{httpGet: {port: 8000}, exec: {command: [a]}}",
        "spec.health.readiness.exec: it is given beside httpGet; a probe checks in one way; keep one of them",
    ),
    (
        "spec.health.readiness",
        "{httpGet: {port: '8000'}}",
        "spec.health.readiness.httpGet.port: '8000' is a port number in quotes; write 8000 without the quotes",
    ),
    (
        "spec.health.readiness",
        "{httpGet: {port: 0}}",
        "spec.health.readiness.httpGet.port: 0 is not a port number; use 1 to 65535",
    ),
    (
        "spec.health.readiness",
        "{httpGet: {port: on}}",
        "spec.health.readiness.httpGet.port: true is not a port; write a port "
        "number, or the name of a container port such as http",
    ),
    (
        "spec.health.readiness",
        "{httpGet: {path: /health}}",
        "spec.health.readiness.httpGet.port: it is missing; add port (port number or name)",
    ),
    (
        "spec.health.readiness",
        "{periodSeconds: 0}",
        "spec.health.readiness.periodSeconds: 0 is smaller than 1; write 1 or more",
    ),
    (
        "spec.lifecycle.terminationGracePeriodSeconds",
        "0",
        "spec.lifecycle.terminationGracePeriodSeconds: 0 is smaller than 1; write 1 or more",
    ),
    (
        "spec.metrics",
        "{path: /metrics}",
        "spec.metrics.queueDepth: it is missing; add queueDepth (metric of the requests that wait in the engine)",
    ),
    ("spec.local", "{command: []}", "spec.local.command: the list is empty; list at least one"),
    (
        "spec.local",
        "{}",
        "spec.local.command: it is missing; add command (command in place of the image's entrypoint; the "
        "container's args follow it)",
    ),
    (
        "spec.pod.hostMounts",
        "[{hostPath: driver}]",
        "spec.pod.hostMounts[0].hostPath: 'driver' is not an absolute path; begin it with '/' and leave out '..'",
    ),
    (
        "spec.pod.hostMounts",
        "[{hostPath: /driver, mountPath: /a/../b}]",
        "spec.pod.hostMounts[0].mountPath: '/a/../b' is not an absolute path; begin it with '/' and leave out '..'",
    ),
    (
        "spec.pod.extraLimits",
        "{memory: 8Gi}",
        "spec.pod.extraLimits.memory: 'memory' is for the service to say; write it as spec.resources.memory of the "
        "LLMService",
    ),
    (
        "spec.pod.sharedMemory",
        "{size: 0}",
        "spec.pod.sharedMemory.size: 0 is not a size; write an amount above 0, or enabled: false",
    ),
    (
        "spec.accelerator.sharing",
        "{memory: {resourceName: a.b/c, unit: 0}}",
        "spec.accelerator.sharing.memory.unit: 0 is not a unit; write an amount above 0, such as 1Mi",
    ),
    (
        "spec.accelerator.nodeRequirements",
        "[{key: a.b/memory, operator: Gt, values: [40Gi]}]",
        "spec.accelerator.nodeRequirements[0].values: Gt compares with one whole number; write it in quotes, such as "
        '["40000"]',
    ),
    (
        "spec.accelerator.nodeRequirements",
        "[{key: a.b/product, operator: In}]",
        "spec.accelerator.nodeRequirements[0].values: In needs at least one value; list the values of the label",
    ),
    ("spec.image", "x", "spec.image: no such field in spec; did you mean spec.container.image?"),
    ("spec.adapter", "none", "spec.adapter: 'none' is not one of plugin, generic; write one of them"),
]


@pytest.mark.parametrize(("path", "text", "error"), SERVICE_FAULTS)
def test_faults_of_a_service(path: str, text: str, error: str) -> None:
    assert errors_of(with_field(SERVICE, path, text)) == [error]


@pytest.mark.parametrize(("path", "text", "error"), RUNTIME_FAULTS)
def test_faults_of_a_runtime(path: str, text: str, error: str) -> None:
    assert errors_of(with_field(RUNTIME, path, text)) == [error]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: b", "kind: it is missing; write one of the kinds that Hearth knows: InferenceRuntime and LLMService"),
        ("kind: 7", "kind: 7 is not a kind that Hearth knows (these are InferenceRuntime and LLMService); keep objects of "
         "other kinds in other files"),
        ("kind: Deployment", "kind: 'Deployment' is not a kind that Hearth knows (these are InferenceRuntime and "
         "LLMService); keep objects of other kinds in other files"),
        ("kind: LlmService", "kind: 'LlmService' is not a kind that Hearth knows (these are InferenceRuntime and "
         "LLMService); did you mean LLMService?"),
        ("just text", "the document is text, not a mapping; start it with apiVersion and kind"),
        ("[1]", "the document is a list, not a mapping; start it with apiVersion and kind"),
        ("kind: LLMService\nmetadata: {name: a}\nspec: {model: {}}",
         "apiVersion: it is missing; add apiVersion: serving.hearth.dev/v1alpha1"),
        ("# nothing\n---\n", "no object is in it; write an InferenceRuntime or an LLMService"),
        ("a: [", "the [ or { that opens here is not closed; add the missing ']' or '}'"),
    ],
)  # fmt: skip
def test_faults_of_a_document(text: str, error: str) -> None:
    assert [line.removeprefix("x.yaml: ") for line in errors_of(text)] == [error]


def test_every_error_has_its_place() -> None:
    text = BARE + "spec:\n  model: {}\n  scaling:\n    min: 3\n    metric:\n      queue\n  max: 3\n"
    with pytest.raises(ManifestErrors) as caught:
        parse_manifests("---\n---\n" + text, file="x.yaml")
    places = [(e.file, e.document, e.line, e.column, e.field, e.value) for e in caught.value.errors]
    assert places == [
        ("x.yaml", 2, 9, 5, "spec.scaling.min", 3),
        ("x.yaml", 2, 10, 5, "spec.scaling.metric", "queue"),
        ("x.yaml", 2, 12, 3, "spec.max", 3),
    ]
    assert str(caught.value).splitlines()[0] == (
        "x.yaml:9: spec.scaling.min: 3 is larger than spec.scaling.max: 1; lower min or raise max"
    )


def test_errors_are_those_of_hearth() -> None:
    with pytest.raises(HearthError, match=r"^x.yaml:1: kind: "):
        parse_manifests("kind: Pod", file="x.yaml")


def test_no_error_talks_about_the_library() -> None:
    texts = [with_field(SERVICE, path, text) for path, text, _ in SERVICE_FAULTS]
    texts += [with_field(RUNTIME, path, text) for path, text, _ in RUNTIME_FAULTS]
    for text in texts:
        for error in errors_of(text):
            assert not re.search(
                r"pydantic|https?:|validat|input|dict|tuple|\bstr\b|\bint\b|bool\b|None\b(?!; write one)", error
            )


def test_every_error_of_every_file_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=with_field(SERVICE, "spec.scaling.min", "3") + "\n---\n" + with_field(RUNTIME, "spec.family", "x"),
        b="a: [",
        c=with_field(SERVICE, "metadata.name", "other"),
        d="kind: Pod",
    )
    with pytest.raises(ManifestErrors) as caught:
        load_manifests([tmp_path / f"{name}.yaml" for name in "badc"])
    assert [(Path(e.file).name, e.document, e.field) for e in caught.value.errors] == [
        ("b.yaml", 1, ""),
        ("a.yaml", 1, "spec.scaling.min"),
        ("a.yaml", 2, "spec.family"),
        ("d.yaml", 1, "kind"),
    ]


def test_the_example_parses_unchanged() -> None:
    manifests = load_manifests([EXAMPLES / "qwen3-8b.yaml"])
    (service,) = manifests.services
    assert (service.metadata.name, service.metadata.namespace) == ("qwen3-8b", "ai")
    assert service.spec.model.source
    assert service.spec.model.source.uri == "modelscope://Qwen/Qwen3-8B-Instruct"
    assert service.spec.runtime.selector.vendor == ("nvidia", "ascend")
    assert service.spec.resources.accelerators == 1
    scaling = service.spec.scaling
    assert (scaling.min, scaling.max, scaling.metric, scaling.target) == (0, 3, "queueDepth", 10)
    assert scaling.activation_timeout.seconds == 300


def test_files_directories_and_standard_input(tmp_path: Path) -> None:
    directory = write(tmp_path / "", a=yaml.safe_dump(SERVICE))
    (directory / "b.yml").write_text(yaml.safe_dump(RUNTIME))
    (directory / "notes.txt").write_text("a: [")
    (directory / "sub.yaml").mkdir()
    stdin = io.BytesIO(yaml.safe_dump({**SERVICE, "metadata": {"name": "third"}}).encode())
    manifests = load_manifests([directory, "-", directory / "a.yaml", "-"], stdin=stdin)
    assert [service.metadata.name for service in manifests.services] == ["qwen", "third"]
    assert [runtime.metadata.name for runtime in manifests.runtimes] == ["vllm"]
    assert manifests.files == (str(directory / "a.yaml"), str(directory / "b.yml"), "<stdin>")
    assert str(manifests.origin(manifests.services[1])) == "<stdin>:1"
    assert isinstance(manifests.runtimes[0], InferenceRuntime)
    assert str(manifests.origin(manifests.runtimes[0])) == f"{directory / 'b.yml'}:1"


def one_file_error(paths: list[str | os.PathLike[str]]) -> str:
    with pytest.raises(ManifestErrors) as caught:
        load_manifests(paths)
    assert len(caught.value.errors) == 1
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    good = write(tmp_path, good=yaml.safe_dump(SERVICE)) / "good.yaml"
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "big").write_bytes(b"#" * (LARGEST_FILE + 1))
    (tmp_path / "latin").write_bytes(b"a: b\nc: \xe9\n")
    assert one_file_error([good, tmp_path / "no"]) == f"{tmp_path / 'no'}: there is no such file; check the path"
    assert one_file_error([good, empty]) == (
        f"{empty}: no *.yaml or *.yml file is in this directory; name the file or another directory"
    )
    assert one_file_error([tmp_path / "big", good]) == (
        f"{tmp_path / 'big'}: it is larger than 1 MiB; split it into several files"
    )
    assert one_file_error([tmp_path / "latin"]) == (
        f"{tmp_path / 'latin'}:2: byte 0xe9 is not UTF-8; save the file as UTF-8"
    )
    assert one_file_error([good / "below"]).endswith("it cannot be read (Not a directory); check its permissions")


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(SERVICE).replace("\n", "\r\n").encode())
    assert len(load_manifests([tmp_path]).services) == 1


def test_duplicates_name_both_places(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=yaml.safe_dump(SERVICE) + "---\n" + yaml.safe_dump(RUNTIME),
        b="# a comment\n" + yaml.safe_dump({**SERVICE, "metadata": {"name": "qwen", "namespace": "default"}}),
        c=yaml.safe_dump({**SERVICE, "metadata": {"name": "qwen", "namespace": "ai"}}),
        d=yaml.safe_dump({**RUNTIME, "metadata": {"name": "vllm", "namespace": "ai"}}),
    )
    with pytest.raises(ManifestErrors) as caught:
        load_manifests([tmp_path])
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/b.yaml:5: metadata.name: LLMService default/qwen is defined already at {tmp_path}/a.yaml:1; "
        "remove or rename one of them",
        f"{tmp_path}/d.yaml:4: metadata.name: InferenceRuntime vllm is defined already at {tmp_path}/a.yaml:10; "
        "remove or rename one of them",
    ]


def test_lists_are_read_item_by_item() -> None:
    items = [SERVICE, {**RUNTIME, "metadata": {}}]
    with pytest.raises(ManifestErrors) as caught:
        parse_manifests(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    assert [error.field for error in caught.value.errors] == ["items[1].metadata.name"]
    assert len(parse_manifests(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items[:1]})).services) == 1


def test_null_is_absent() -> None:
    service = parse_manifests(BARE + "spec:\n  model: {}\n  scaling:\n  cache: {strategy: }\n").services[0]
    assert service.spec.scaling.max == 1
    assert service.spec.cache.strategy == "NodeLocalPVC"


def test_what_a_server_returned_can_be_read_again() -> None:
    text = (
        BARE.replace("{name: qwen}", "{name: qwen, uid: x, generation: 2, creationTimestamp: 2026-11-23T10:00:00Z,"
        " managedFields: [{manager: kubectl, fieldsV1: {'f:spec': {}}}], resourceVersion: '7'}")
        + "spec: {model: {}}\nstatus: {phase: Ready, replicas: 1, endpointURL: 'http://qwen.ai.svc/v1', conditions: "
        "[{type: Ready, status: 'True', observedGeneration: 2, lastTransitionTime: 2026-11-23T10:00:00Z, reason: Ready}]}\n"
    )  # fmt: skip
    service = parse_manifests(text).services[0]
    assert service.metadata.creation_timestamp == "2026-11-23T10:00:00Z"
    assert service.status
    assert service.status.endpoint_url == "http://qwen.ai.svc/v1"


def test_no_manifests_is_a_result_of_its_own() -> None:
    assert Manifests((), ()).origins == {}
    with pytest.raises(ManifestErrors, match="no object is in it"):
        parse_manifests("")
