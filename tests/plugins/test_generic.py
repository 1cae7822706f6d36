"""Generic adapter: runtimes whose data is enough."""

from __future__ import annotations

import pytest

from hearth.plugins import LocalLaunch, PluginRejects, VendorHost
from tests.plugins.support import context


def test_the_generic_adapter_needs_no_plugin() -> None:
    local = {
        "command": ["engine", "serve"],
        "env": [{"name": "MODE", "value": "cpu"}],
        "devices": ["0"],
        "visibleDevicesEnv": "CHIPS",
    }
    ctx = context("cpu", adapter="generic", local=local)
    one = VendorHost.of({})
    assert one.info(ctx.runtime).name == "cpu"
    assert one.pod(ctx) is None
    assert one.local_command(ctx, ["0"]) == LocalLaunch(argv=("engine", "serve"), env={"MODE": "cpu", "CHIPS": "0"})
    assert one.local_command(context("cpu", adapter="generic"), ["0"]) is None


def test_the_generic_adapter_takes_literal_variables_only() -> None:
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    ctx = context("cpu", adapter="generic", local={"command": ["engine"], "env": [secret]})
    with pytest.raises(PluginRejects, match=r"spec.local.env 'TOKEN' has no literal value"):
        VendorHost.of({}).local_command(ctx, [])
