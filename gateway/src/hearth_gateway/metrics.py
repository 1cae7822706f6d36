"""Metrics of a gateway in Prometheus' text format.

Every stream waits while this is rendered, so the series of services are written as text: a tenth of the time of a metrics library.
A series that alerts or dashboards query has its zero from the beginning, since a rate over one that begins at 1 misses the first
event. Only the histogram of waits, more lines than all else together, begins when a service is first activated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from hearth_gateway.policy.service import WAIT_BUCKETS, Counters, Service

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_ACTIVATION_EVENTS = ("given_up", "ready", "started")
_WATCHED_REASONS = ("activation_timeout", "queue_full")
_BOUNDS = (*map(str, WAIT_BUCKETS), "+Inf")

Samples = Iterable[tuple[str, float]]  # labels and value


def render(
    services: Iterable[Service],
    *,
    connections: int = 0,
    unrouted: Mapping[str, int] = MappingProxyType({}),
    total: Callable[[str], int] | None = None,
    collectors: Sequence[Callable[[], Iterable[Metric]]] = (),
) -> bytes:
    """Return the exposition of this moment.

    `unrouted`: requests refused before their service was known, by reason; `total`: the demand of all replicas, where there are
    others; `collectors`: sources of more metrics.
    """
    labeled = [(_labels(service), service) for service in services]
    text = [_family("connections", "gauge", "Open client connections.", [("", connections)])]
    text += _gauges(labeled)
    if total is not None:
        demand = [(labels, total(service.name)) for labels, service in labeled]
        text.append(_family("total_demand", "gauge", "What KEDA acts on: demand of all replicas.", demand))
    text += _counters(labeled)
    refused = [(f'reason="{reason}"', count) for reason, count in sorted(unrouted.items())]
    text.append(_family("refused_total", "counter", "Requests that no service was found for.", refused))
    text.append(_waits(labeled))
    return "".join(text).encode() + _collected(collectors)


def _labels(service: Service) -> str:
    return f'namespace="{_escaped(service.config.namespace)}",service="{_escaped(service.config.name)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _family(name: str, kind: str, text: str, samples: Samples) -> str:
    name = f"hearth_gateway_{name}"
    lines = [f"# HELP {name} {text}\n# TYPE {name} {kind}\n"]
    lines += [f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n" for labels, value in samples]
    return "".join(lines)


def _gauges(services: Sequence[tuple[str, Service]]) -> Iterable[str]:
    stats = [(labels, service.stats(), service.config.limits) for labels, service in services]
    yield _family("pending", "gauge", "Requests held for a backend.", [(at, now.held) for at, now, _ in stats])
    yield _family("pending_bytes", "gauge", "Bytes of held requests.", [(at, now.held_bytes) for at, now, _ in stats])
    limits = [(at, limits.max_held) for at, _, limits in stats]
    yield _family("pending_limit", "gauge", "Requests that may be held at once.", limits)
    limits = [(at, limits.max_held_bytes) for at, _, limits in stats]
    yield _family("pending_bytes_limit", "gauge", "Bytes of requests that may be held at once.", limits)
    yield _family("in_flight", "gauge", "Requests at a backend.", [(at, now.in_flight) for at, now, _ in stats])
    demand = [(at, now.demand) for at, now, _ in stats]
    yield _family("demand", "gauge", "What a scaler acts on: held, in flight, leased.", demand)
    usable = [(at, now.usable) for at, now, _ in stats]
    yield _family("usable_backends", "gauge", "Backends that requests may be sent to.", usable)


def _counters(services: Sequence[tuple[str, Service]]) -> Iterable[str]:
    requests: list[tuple[str, float]] = []
    rejections: list[tuple[str, float]] = []
    activations: list[tuple[str, float]] = []
    replays: list[tuple[str, float]] = []
    for labels, service in services:
        counters = service.counters
        requests += [(f'{labels},code="{code}"', count) for code, count in sorted(counters.codes.items())]
        reasons = sorted({*_WATCHED_REASONS, *counters.rejections})
        rejections += [(f'{labels},reason="{reason}"', counters.rejections.get(reason, 0)) for reason in reasons]
        begun = counters.activations
        activations += [(f'{labels},event="{event}"', begun.get(event, 0)) for event in _ACTIVATION_EVENTS]
        replays.append((labels, counters.replays))
    yield _family("requests_total", "counter", "Ended requests; 499: the client left.", requests)
    yield _family("rejections_total", "counter", "Requests that were refused.", rejections)
    yield _family("activation_events_total", "counter", "Activations started, ready, given up.", activations)
    yield _family("replays_total", "counter", "Requests sent again before their first byte.", replays)


def _waits(services: Sequence[tuple[str, Service]]) -> str:
    name = "activation_wait_seconds"
    text = [_family(name, "histogram", "How long held requests waited until release.", ())]
    # From the first activation on: its zeros are scraped before the first wait is counted.
    text += [_histogram(name, at, each.counters) for at, each in services if each.counters.activations]
    return "".join(text)


def _histogram(name: str, labels: str, counters: Counters) -> str:
    total, totals = 0, []
    for count in counters.wait_buckets:
        total += count
        totals.append(total)
    totals.append(counters.wait_count)
    name = f"hearth_gateway_{name}"
    lines = [f'{name}_bucket{{{labels},le="{bound}"}} {count}\n' for bound, count in zip(_BOUNDS, totals, strict=True)]
    return (
        f"{''.join(lines)}{name}_count{{{labels}}} {counters.wait_count}\n{name}_sum{{{labels}}} {counters.wait_sum}\n"
    )


def _collected(collectors: Sequence[Callable[[], Iterable[Metric]]]) -> bytes:
    if not collectors:
        return b""
    from prometheus_client import CollectorRegistry, generate_latest  # loaded already where there are collectors

    registry = CollectorRegistry()
    registry.register(_Collector(collectors))
    return generate_latest(registry)


class _Collector:
    def __init__(self, collectors: Sequence[Callable[[], Iterable[Metric]]]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterable[Metric]:
        return chain.from_iterable(collect() for collect in self._collectors)
