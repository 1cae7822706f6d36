"""The prewarm Job: it downloads the weights ahead of the first request, with the engine's image and no accelerator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from hearth.api import GROUP
from hearth.planning.arguments import flag_values
from hearth.planning.cache import VOLUME
from hearth.planning.labels import PREWARM_LABEL, RUNTIME_LABEL, helper_labels, object_metadata
from hearth.planning.names import prewarm_name
from hearth.planning.plan import Draft

CONTAINER = "prewarm"
RETRIES = 6
TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""On the Job: a digest of its pod template. A Job cannot be changed, so one with another digest has to be replaced."""

_REVISION = "(sys.argv[2:] or [None])[0]"
_DOWNLOAD: Mapping[str, str] = {
    # vLLM leaves out what some publishers keep a second time under original/, and so does this.
    "hf": "import sys; from huggingface_hub import snapshot_download; "
    f"print(snapshot_download(sys.argv[1], revision={_REVISION}, ignore_patterns=['original/*']))",
    "modelscope": "import sys; from modelscope import snapshot_download; "
    f"print(snapshot_download(sys.argv[1], revision={_REVISION}))",
}
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""An engine that must not download is a good reason to prewarm, and no reason for the Job not to."""

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_IDENTITY = ("runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions")
_FILES = ("fsGroup", "fsGroupChangePolicy", "supplementalGroups")


def prewarm_job(draft: Draft) -> Mapping[str, Any] | None:
    """Return the Job, or None where there is nothing to download or nowhere to keep it.

    It has no `ttlSecondsAfterFinished`: the finished Job is what says that the download is done, and one that
    disappears would be created, and run, again.
    """
    service = draft.service
    kept = any(volume["name"] == VOLUME for volume in draft.pod["spec"].get("volumes", ()))
    if not (service.spec.cache.prewarm and draft.model.downloads and kept):
        return None
    template = _template(draft)
    digest = sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **object_metadata(service, draft.runtime, prewarm_name(service)),
            "annotations": {TEMPLATE_ANNOTATION: digest},
        },
        "spec": {
            "backoffLimit": RETRIES,
            # A drained node is not the download's fault.
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": template,
        },
    }


def with_nodes(job: Mapping[str, Any], hostnames: Sequence[str]) -> Mapping[str, Any]:
    """Return a Job whose pod also has to be on one of the nodes with these values of the label kubernetes.io/hostname.

    The digest stays that of the plan: nodes that come and go are no reason to download again.
    """
    template = job["spec"]["template"]
    affinity = template["spec"].get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    required = node_affinity.get(_REQUIRED) or {}
    wanted: Sequence[Mapping[str, Any]] = required.get("nodeSelectorTerms") or ({},)
    place = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(hostnames)}
    # Of the terms one has to hold, and of each all expressions.
    terms = [{**term, "matchExpressions": [*term.get("matchExpressions", ()), place]} for term in wanted]
    required = {**required, "nodeSelectorTerms": terms}
    spec = {**template["spec"], "affinity": {**affinity, "nodeAffinity": {**node_affinity, _REQUIRED: required}}}
    return {**job, "spec": {**job["spec"], "template": {**template, "spec": spec}}}


def _template(draft: Draft) -> Mapping[str, Any]:
    labels = helper_labels(draft.service.metadata.name, PREWARM_LABEL, draft.service.metadata.name)
    return {
        "metadata": {"labels": {**labels, RUNTIME_LABEL: draft.runtime.metadata.name}},
        "spec": _pod(draft),
    }


def _pod(draft: Draft) -> Mapping[str, Any]:
    """Return the pod, which runs where backends may, as the same user, and with none of their privileges.

    A pod cannot require devices without allocating them, so the operator names the nodes that have them (`with_nodes`).
    """
    serving = draft.pod["spec"]
    pod = {
        name: serving[name]
        for name in ("nodeSelector", "affinity", "tolerations", "imagePullSecrets")
        if name in serving
    }
    return {
        "restartPolicy": "Never",  # pods that failed stay, and their logs with them
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            **_some(serving.get("securityContext", {}), (*_IDENTITY, *_FILES)),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **pod,
        "containers": [_container(draft)],
        "volumes": [volume for volume in serving["volumes"] if volume["name"] == VOLUME],
    }


def _container(draft: Draft) -> Mapping[str, Any]:
    serving = draft.serving
    return {
        "name": CONTAINER,
        "image": serving["image"],
        "command": ["python3", "-c", _DOWNLOAD[draft.model.scheme]],
        "args": [draft.model.path, *flag_values(serving.get("args", ()), "--revision")[:1]],
        "env": _environment(draft),
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            **_some(serving.get("securityContext", {}), _IDENTITY),
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [mount for mount in serving["volumeMounts"] if mount["name"] == VOLUME],
    }


def _environment(draft: Draft) -> list[Mapping[str, Any]]:
    """Return the engine's environment, because it leads to the hub (token, mirror, proxy) and to the cache.

    Then what keeps devices away: the image's container runtime may give every device to a container that asks for
    none, and torch would load a driver that is not there.
    """
    kept = {
        variable["name"]: variable
        for variable in draft.serving.get("env", ())
        if variable["name"] not in _OFFLINE and "resourceFieldRef" not in variable.get("valueFrom", {})
    }
    kept |= {variable.name: variable.to_wire() for variable in draft.no_device_env}
    kept["TORCH_DEVICE_BACKEND_AUTOLOAD"] = {"name": "TORCH_DEVICE_BACKEND_AUTOLOAD", "value": "0"}
    return list(kept.values())


def _some(context: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: context[name] for name in names if name in context}
