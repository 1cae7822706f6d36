"""KEDA: whether it scales a service, and what keeps it from that."""

from __future__ import annotations

from collections.abc import Mapping

from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact, without_own_port
from hearth.operator.objects import ScaledObject

_SCALE_IN = "autoscaling.keda.sh/paused-scale-in"
_FORCED = "autoscaling.keda.sh/force-activation"
_PAUSES: Mapping[str, str] = {
    "autoscaling.keda.sh/paused": "is neither woken nor scaled to zero",
    "autoscaling.keda.sh/paused-replicas": "is kept at a fixed number of replicas",
    "autoscaling.keda.sh/paused-scale-out": "is not scaled out",
    _SCALE_IN: "is not scaled in, nor to zero",
    _FORCED: "is kept awake without demand",
}
_FALSE = ("false", "False", "FALSE", "0", "f", "F")


def scaler_trouble(observed: Observed) -> Diagnosis | None:
    """Say why the number of replicas does not follow the demand; None when it does."""
    if not observed.keda:
        return Diagnosis(
            Reason.KEDA_NOT_INSTALLED,
            "KEDA is not installed, so the service is neither woken nor scaled to zero; install KEDA 2.20.2 or later, and "
            "the operator creates the ScaledObject",
            "broken",
            "the cluster's autoscaler is not installed",
        )
    scaled = observed.scaled_object
    if scaled is None:
        return Diagnosis(Reason.SCALED_OBJECT_PENDING, "the ScaledObject of the service is being created", "waiting")
    pause = _pause(scaled.metadata.annotations)
    if pause is not None:
        name, namespace = observed.service.metadata.name, observed.service.metadata.namespace
        return Diagnosis(
            Reason.SCALED_OBJECT_PAUSED,
            f"the ScaledObject has the annotation {pause}: the service {_PAUSES[pause]}; to remove it: "
            f"kubectl annotate scaledobject -n {namespace} {name} {pause}-",
            "broken",
            "autoscaling of the model is paused",
        )
    return _scaler_condition(scaled)


def _pause(annotations: Mapping[str, str]) -> str | None:
    """Return the annotation that changes how KEDA scales.

    KEDA takes whatever is not a boolean for true, except at paused-replicas, where any number pauses.
    """
    return next(
        (
            name
            for name in _PAUSES
            if name in annotations and (name.endswith("-replicas") or annotations[name] not in _FALSE)
        ),
        None,
    )


def waking_trouble(observed: Observed) -> Diagnosis | None:
    """Say why a request would not wake a service that is scaled to zero; None when it would.

    Replicas that may not be taken away are no reason.
    """
    trouble = scaler_trouble(observed)
    if trouble is None or trouble.reason != Reason.SCALED_OBJECT_PAUSED:
        return trouble
    annotations = observed.scaled_object.metadata.annotations if observed.scaled_object is not None else {}
    return None if _pause(annotations) in (_SCALE_IN, _FORCED) else trouble


def _scaler_condition(scaled: ScaledObject) -> Diagnosis | None:
    ready = scaled.ready
    if ready.is_true:
        return None
    if not ready.is_false and not ready.reason:
        return Diagnosis(
            Reason.SCALED_OBJECT_PENDING,
            "KEDA has not reconciled the ScaledObject yet; if that lasts, check KEDA's operator "
            "(kubectl get pods -A -l app=keda-operator)",
            "waiting",
        )
    words = redact(without_own_port(ready.message or ready.reason or "no reason given"))
    known = bool(scaled.status.hpa_name or scaled.status.was_active)
    return Diagnosis(
        Reason.SCALED_OBJECT_NOT_READY,
        f"KEDA cannot scale the service: {words}; KEDA retries, and `kubectl describe scaledobject` and the log of KEDA's "
        "operator have the details",
        "broken" if known else "waiting",
        "the cluster's autoscaler cannot scale the model at the moment" if known else None,
    )
