"""Whether an API server could take rendered objects, and whether they fit each other: checks without a cluster.

`check` is given all objects of a namespace. What only a server knows (schemas of every field) is left to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from hearth.api import parse_quantity
from hearth.planning import KINDS
from hearth_gateway import parse_services

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
PORT = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")

Object = Mapping[str, Any]


def check(objects: Sequence[Object]) -> None:
    """Check every object, and what they say about each other."""
    by_identity = {(item["kind"], item["metadata"]["name"]): item for item in objects}
    assert len(by_identity) == len(objects), "two objects of one kind have the same name"
    assert len({item["metadata"]["namespace"] for item in objects}) <= 1
    for item in objects:
        _metadata(item)
        assert KINDS[item["kind"]] == item["apiVersion"]
        for key, value in walk(item):
            assert isinstance(key, str)
            assert value is not None, f"{key} is null"
        assert json.loads(json.dumps(item, allow_nan=False)) == item
    for item in of(objects, "Deployment", "Job"):
        _pod(item["spec"]["template"]["spec"], by_identity)
        _labels(item["spec"]["template"]["metadata"]["labels"])
    _selections(objects)
    for kind, function in CHECKS.items():
        for item in of(objects, kind):
            function(item, by_identity)


def walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    yield key, value
    if isinstance(value, Mapping):
        for name, inside in value.items():
            yield from walk(inside, name)
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from walk(inside, key)


def of(objects: Sequence[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def _metadata(item: Object) -> None:
    metadata = item["metadata"]
    name = metadata["name"]
    pattern = SERVICE if item["kind"] == "Service" else SUBDOMAIN
    assert pattern.fullmatch(name), name
    assert len(name) <= 63, name  # 253 for most kinds, but pods, Jobs and HPAs are labelled by these names
    _labels(metadata["labels"])
    for key, value in metadata.get("annotations", {}).items():
        assert KEY.fullmatch(key)
        assert isinstance(value, str)


def _labels(labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        assert KEY.fullmatch(key), key
        assert isinstance(value, str)
        assert len(value) <= 63, value
        assert VALUE.fullmatch(value), value


def _selector(item: Object) -> Mapping[str, str] | None:
    match item["kind"]:
        case "Service":
            selector: Mapping[str, str] = item["spec"]["selector"]
        case "Deployment" | "PodDisruptionBudget":
            selector = item["spec"]["selector"]["matchLabels"]
        case _:
            return None
    return selector


def _selections(objects: Sequence[Object]) -> None:
    """Every selector finds the pods of one workload, by a label of Hearth's own that names a service or a gateway."""
    workloads = of(objects, "Deployment", "Job")
    for item in objects:
        selector = _selector(item)
        if selector is None:
            continue
        _labels(selector)
        assert set(selector) <= {"serving.hearth.dev/llmservice", "serving.hearth.dev/gateway"}, selector
        found = [
            workload
            for workload in workloads
            if selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert len(found) == 1, f"{item['kind']} {item['metadata']['name']} selects {len(found)} workloads"
        if item["kind"] == "Deployment":
            assert found == [item]
        if item["kind"] == "Service":
            ports = {port["name"] for c in found[0]["spec"]["template"]["spec"]["containers"] for port in c["ports"]}
            for port in item["spec"]["ports"]:
                assert PORT.fullmatch(port["name"])
                assert 1 <= port["port"] <= 65535
                assert port["targetPort"] in ports, f"{item['metadata']['name']} leads to no port"


def _pod(pod: Object, by_identity: Mapping[tuple[str, str], Object]) -> None:
    assert pod["enableServiceLinks"] is False
    assert isinstance(pod["automountServiceAccountToken"], bool)
    account = pod.get("serviceAccountName")
    assert account is None or ("ServiceAccount", account) in by_identity
    assert account is not None or pod["automountServiceAccountToken"] is False
    volumes = [volume["name"] for volume in pod.get("volumes", ())]
    assert len(set(volumes)) == len(volumes)
    for volume in pod.get("volumes", ()):
        assert LABEL.fullmatch(volume["name"])
        assert len(volume) == 2
        claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
        assert not claim.endswith("-cache") or ("PersistentVolumeClaim", claim) in by_identity
    if "nodeSelector" in pod:
        _labels(pod["nodeSelector"])
    names = [container["name"] for container in pod["containers"]]
    assert len(set(names)) == len(names)
    used = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
    assert used == set(volumes)
    for container in pod["containers"]:
        _container(container)


def _container(container: Object) -> None:
    assert LABEL.fullmatch(container["name"])
    assert container["image"]
    for field in ("command", "args"):
        assert all(isinstance(word, str) for word in container.get(field, ()))
    env = [variable["name"] for variable in container.get("env", ())]
    assert len(set(env)) == len(env), f"duplicates among {env}"
    for variable in container.get("env", ()):
        assert set(variable) in ({"name", "value"}, {"name", "valueFrom"}, {"name"})
        assert isinstance(variable.get("value", ""), str)
    paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
    assert len(set(paths)) == len(paths)
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    assert len(ports) == len(container.get("ports", ())) == len(set(ports.values()))
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        for handler in ("httpGet", "tcpSocket"):
            port = container.get(kind, {}).get(handler, {}).get("port", 1)
            assert isinstance(port, int) or port in ports, f"{kind} asks at the unknown port {port!r}"
    _resources(container.get("resources", {}))


def _resources(resources: Object) -> None:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for name, amount in [*limits.items(), *requests.items()]:
        assert isinstance(amount, str)
        assert parse_quantity(amount).value > 0
        if "/" in name:
            assert name in limits, f"{name} is requested without a limit"
            assert amount.isdecimal()
    for name, amount in requests.items():
        assert name not in limits or parse_quantity(amount).value <= parse_quantity(limits[name]).value


def _deployment(item: Object, by_identity: Mapping[tuple[str, str], Object]) -> None:
    surge = item["spec"]["strategy"]["rollingUpdate"]
    assert surge["maxSurge"] + surge["maxUnavailable"] > 0
    assert ("replicas" in item["spec"]) == (("ScaledObject", item["metadata"]["name"]) not in by_identity)


def _job(item: Object, _: Mapping[tuple[str, str], Object]) -> None:
    pod = item["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # what a podFailurePolicy needs
    restricted(pod, root=True)
    for container in pod["containers"]:
        for amounts in container["resources"].values():
            assert set(amounts) <= {"cpu", "memory"}, "a download holds an accelerator"


def restricted(pod: Object, *, root: bool = False) -> None:
    """Whether a pod meets the `restricted` Pod Security level, but for the user where `root` is allowed."""
    security = pod["securityContext"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert root or (security["runAsNonRoot"] is True and security["runAsUser"] > 0)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in pod["containers"]:
        inside = container["securityContext"]
        assert inside["allowPrivilegeEscalation"] is False
        assert inside["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in inside
        assert "seccompProfile" not in inside


def _scaled_object(item: Object, by_identity: Mapping[tuple[str, str], Object]) -> None:
    spec, namespace = item["spec"], item["metadata"]["namespace"]
    target = spec["scaleTargetRef"]
    assert (target["kind"], target["name"]) in by_identity
    assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] >= 1
    for field in ("pollingInterval", "cooldownPeriod", "initialCooldownPeriod"):
        assert isinstance(spec.get(field, 0), int)
    autoscaler = spec["advanced"]["horizontalPodAutoscalerConfig"]
    hpa = autoscaler.get("name", f"keda-hpa-{item['metadata']['name']}")
    assert SUBDOMAIN.fullmatch(hpa)
    assert len(hpa) <= 63
    assert 0 <= autoscaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] <= 3600
    [trigger] = spec["triggers"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert int(trigger["metadata"]["targetValue"]) > 0
    if trigger["type"] == "external-push":
        host, _, number = trigger["metadata"]["scalerAddress"].partition(":")
        port = int(number)
    else:
        assert trigger["type"] == "metrics-api"
        url = urlsplit(trigger["metadata"]["url"])
        host, port = url.hostname or "", url.port or 80
    name, _, rest = host.partition(".")
    assert rest == f"{namespace}.svc"
    assert port in [port["port"] for port in by_identity["Service", name]["spec"]["ports"]]


def _role(item: Object, by_identity: Mapping[tuple[str, str], Object]) -> None:
    for rule in item["rules"]:
        assert "*" not in [word for words in rule.values() for word in words]
        assert not set(rule["verbs"]) - {"get", "list", "watch"}
        [resource] = rule["resources"]
        if resource == "namespaces":
            assert rule["resourceNames"] == [item["metadata"]["namespace"]]
        elif resource == "configmaps":
            [name] = rule["resourceNames"]
            assert ("ConfigMap", name) in by_identity


def _role_binding(item: Object, by_identity: Mapping[tuple[str, str], Object]) -> None:
    assert (item["roleRef"]["kind"], item["roleRef"]["name"]) in by_identity
    for subject in item["subjects"]:
        assert (subject["kind"], subject["name"]) in by_identity
        assert subject["namespace"] == item["metadata"]["namespace"]


def _config_map(item: Object, by_identity: Mapping[tuple[str, str], Object]) -> None:
    assert set(item["data"]) <= {"services.json", "notices.json"}
    assert sum(len(text.encode()) for text in item["data"].values()) < 2**20
    services = parse_services(json.loads(item["data"]["services.json"]))
    assert {service.name for service in services} >= set(json.loads(item["data"].get("notices.json", "{}")))
    for service in services:
        assert service.namespace == item["metadata"]["namespace"]
        assert ("Service", service.name) in by_identity
        assert ("Service", f"{service.name}-backend") in by_identity


CHECKS = {
    "Deployment": _deployment,
    "Job": _job,
    "ScaledObject": _scaled_object,
    "Role": _role,
    "RoleBinding": _role_binding,
    "ConfigMap": _config_map,
}
