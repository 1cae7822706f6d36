"""Programs: the commands and remedies that their troubles name."""

from __future__ import annotations

from hearth.operator.diagnosis.program import engine, gateway_program, prewarmer
from hearth.operator.objects import Deployment, read
from tests.operator.observations import gateway, made


def test_logs_of_the_run_before_and_of_the_latest_one() -> None:
    found = engine(made())
    assert found.logs() == "kubectl logs -n ai deployment/tiny -c serving"
    assert found.logs(previous=True) == "kubectl logs -n ai deployment/tiny -c serving --previous"


def test_logs_of_a_job_have_no_run_before() -> None:
    """Kubernetes creates another pod for it, whose container is the first of its pod."""
    assert prewarmer(made()).logs(previous=True) == "kubectl logs -n ai job/tiny-prewarm"


def test_a_pod_with_one_container_needs_no_name_of_it() -> None:
    found = gateway_program(read(gateway(), Deployment))
    assert found.logs(previous=True) == "kubectl logs -n ai deployment/hearth-gateway --previous"


def test_more_memory_is_a_higher_limit_or_a_first_one() -> None:
    limited = engine(made({"resources": {"memory": "64Mi"}}))
    assert (limited.memory, limited.more_memory) == ("64Mi", "raise spec.resources.memory")
    assert engine(made()).more_memory.startswith("set spec.resources.memory")
