"""/metrics as Prometheus reads it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hearth_gateway import ServiceConfig
from hearth_gateway.metrics import CONTENT_TYPE, render
from hearth_gateway.policy.service import WAIT_BUCKETS, Service
from tests.gateway.policy.support import Bench, make_endpoint


def scrape(*benches: Bench) -> dict[str, list[Sample]]:
    text = render([bench.service for bench in benches], unrouted={"unknown_path": 3}).decode()
    samples: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples


def values(samples: list[Sample], label: str) -> dict[str, float]:
    for sample in samples:
        assert (sample.labels["service"], sample.labels["namespace"]) == ("m", "default")
    return {sample.labels[label]: sample.value for sample in samples}


def only(samples: list[Sample]) -> float:
    (sample,) = samples
    assert sample.labels == {"service": "m", "namespace": "default"}
    return sample.value


def busy() -> Bench:
    """Two requests held since 7 s, of which one was refused; another released."""
    bench = Bench(timeout=60, maxHeld=3)
    for _ in range(4):
        bench.admit(size=100)
    return bench


def test_names_that_dashboards_use() -> None:
    bench = busy()
    samples = scrape(bench)
    assert only(samples["hearth_gateway_pending"]) == 3
    assert only(samples["hearth_gateway_pending_bytes"]) == 300
    assert only(samples["hearth_gateway_pending_limit"]) == 3
    assert only(samples["hearth_gateway_pending_bytes_limit"]) == 64 * 1024 * 1024
    assert only(samples["hearth_gateway_demand"]) == 3
    assert only(samples["hearth_gateway_in_flight"]) == 0
    assert values(samples["hearth_gateway_rejections_total"], "reason") == {"queue_full": 1, "activation_timeout": 0}
    assert values(samples["hearth_gateway_activation_events_total"], "event") == {
        "started": 1,
        "ready": 0,
        "given_up": 0,
    }
    assert [sample.value for sample in samples["hearth_gateway_refused_total"]] == [3]
    assert samples["hearth_gateway_connections"][0].value == 0

    bench.clock.advance(7)
    bench.ready(9001)
    bench.service.counters.codes[503] = 2
    samples = scrape(bench)
    assert only(samples["hearth_gateway_pending"]) == 0
    assert only(samples["hearth_gateway_demand"]) == only(samples["hearth_gateway_in_flight"]) == 3
    assert only(samples["hearth_gateway_usable_backends"]) == 1
    assert values(samples["hearth_gateway_requests_total"], "code") == {"200": 0, "503": 2}
    assert values(samples["hearth_gateway_activation_events_total"], "event") == {
        "started": 1,
        "ready": 1,
        "given_up": 0,
    }
    assert only(samples["hearth_gateway_activation_wait_seconds_count"]) == 3
    assert only(samples["hearth_gateway_activation_wait_seconds_sum"]) == 21
    assert only(samples["hearth_gateway_replays_total"]) == 0


@pytest.mark.parametrize(("mode", "reason"), [("reject", "cold_start"), ("keepalive", "activation_timeout")])
def test_reasons_of_rejections(mode: str, reason: str) -> None:
    bench = Bench(mode=mode, timeout=5)
    bench.admit()
    bench.clock.advance(5)
    found = values(scrape(bench)["hearth_gateway_rejections_total"], "reason")
    assert found == {"queue_full": 0, "activation_timeout": 0, reason: 1}


def test_demand_of_a_lease_is_one() -> None:
    bench = Bench()
    bench.service.wake()
    samples = scrape(bench)
    assert (only(samples["hearth_gateway_demand"]), only(samples["hearth_gateway_pending"])) == (1, 0)


def test_the_histogram_is_cumulative_and_ends_with_everything() -> None:
    bench = Bench(timeout=5000)
    for seconds in (0.0, 0.25, 7, 2000):
        bench.admit()
        bench.clock.advance(seconds)
        bench.service.set_endpoints([make_endpoint()])
        bench.service.set_endpoints([])
    buckets = values(scrape(bench)["hearth_gateway_activation_wait_seconds_bucket"], "le")
    assert list(buckets) == [*map(str, WAIT_BUCKETS), "+Inf"]
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets["0.25"], buckets["10.0"], buckets["1200.0"], buckets["+Inf"]) == (2, 3, 3, 4)


def test_a_gateway_without_services_is_scraped_too() -> None:
    assert scrape()["hearth_gateway_connections"]
    assert CONTENT_TYPE.startswith(b"text/plain; version=0.0.4")


def test_services_are_told_apart() -> None:
    bench = Bench()
    other = Service(ServiceConfig(name="n", namespace="ai"), bench.clock, on_edge=print, on_cold=print)
    found = {
        (sample.labels["service"], sample.labels["namespace"])
        for family in text_string_to_metric_families(render([bench.service, other]).decode())
        for sample in family.samples
        if "service" in sample.labels
    }
    assert found == {("m", "default"), ("n", "ai")}


def test_a_service_that_was_never_asked_says_what_alerts_need_and_no_more() -> None:
    """A rate over a series that begins at 1 misses the first one, so zeros come before it."""
    bench = Bench()
    samples = scrape(bench)
    assert values(samples["hearth_gateway_requests_total"], "code") == {"200": 0}
    assert values(samples["hearth_gateway_rejections_total"], "reason") == {"queue_full": 0, "activation_timeout": 0}
    events = values(samples["hearth_gateway_activation_events_total"], "event")
    assert events == {"started": 0, "ready": 0, "given_up": 0}
    assert only(samples["hearth_gateway_replays_total"]) == 0
    assert not any("activation_wait" in name for name in samples)
    assert sum(map(len, samples.values())) <= 16
    bench.admit()
    samples = scrape(bench)
    assert set(values(samples["hearth_gateway_activation_wait_seconds_bucket"], "le").values()) == {0}
    assert only(samples["hearth_gateway_activation_wait_seconds_count"]) == 0


def test_the_total_of_all_replicas_is_told_where_there_are_others() -> None:
    bench = busy()
    assert b"hearth_gateway_total_demand" not in render([bench.service])
    total = {"m": 7}.__getitem__
    assert b'hearth_gateway_total_demand{namespace="default",service="m"} 7\n' in render([bench.service], total=total)


def test_names_are_quoted() -> None:
    bench = Bench()
    bench.service.config = ServiceConfig(name='a"b\\c\nd')
    (sample,) = scrape(bench)["hearth_gateway_pending"]
    assert sample.labels["service"] == 'a"b\\c\nd'
