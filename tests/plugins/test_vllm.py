"""Shared defaults for vLLM: its names of metrics, and the time that a first start takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hearth_ascend
import hearth_nvidia
from hearth.plugins import VendorHost, vllm
from tests.plugins.support import context

RECORDED = (Path(__file__).parents[1] / "stub" / "capture" / "vllm-0.32.0-cpu.metrics.txt").read_text(encoding="utf-8")


def test_every_metric_is_one_that_vllm_exposed() -> None:
    assert set(vllm.METRICS.names.values()) <= set(re.findall(r"^# TYPE (\S+) ", RECORDED, re.M))


def test_a_start_may_take_half_an_hour() -> None:
    startup = vllm.PROBES.startup
    assert startup is not None
    assert startup.period_seconds * startup.failure_threshold == 30 * 60


@pytest.mark.parametrize(("vendor", "plugin"), [("nvidia", hearth_nvidia), ("ascend", hearth_ascend)])
def test_vendors_of_vllm_share_them(vendor: str, plugin: object) -> None:
    host = VendorHost.of({vendor: plugin})
    assert host.metrics(context(vendor)) == vllm.METRICS
    assert host.probes(context(vendor)) == vllm.PROBES
