"""The fake vendor with one fault each: for every law of the plugin contract a plugin that breaks it, and no other.

They prove that the conformance kit (`hearth.testing`) catches what it says. Nothing here is an example to follow.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import hearth_fake
from hearth.api import EnvVar, Toleration
from hearth.plugins import (
    AcceleratorRequest,
    LocalLaunch,
    PodAdaptation,
    RenderContext,
    RuntimeManifest,
    VendorInfo,
    hookimpl,
)


class _Fake:
    """The good plugin as an object, so that a variant replaces one hook."""

    __name__ = hearth_fake.__name__  # the package whose files `hearth_runtimes` may read

    hearth_vendor = staticmethod(hearth_fake.hearth_vendor)
    hearth_runtimes = staticmethod(hearth_fake.hearth_runtimes)
    hearth_local_inventory = staticmethod(hearth_fake.hearth_local_inventory)
    hearth_local_devices = staticmethod(hearth_fake.hearth_local_devices)
    hearth_local_command = staticmethod(hearth_fake.hearth_local_command)


class _Chance(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        return [EnvVar(name="FAKE_SEED", value=str(random.random()))]


class _SetOrder(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        return [EnvVar(name=name, value="1") for name in {"FAKE_A", "FAKE_B", "FAKE_C", "FAKE_D", "FAKE_E"}]


class _Mutation(_Fake):
    @hookimpl
    def hearth_env(self, ctx: RenderContext) -> Sequence[EnvVar]:
        ctx.service.metadata.labels["fake.example.com/seen"] = "yes"
        return []


class _Environment(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        return [EnvVar(name="FAKE_HOME", value=os.environ.get("FAKE_HOME_OF_NOBODY", "/opt/fake"))]


class _File(_Fake):
    @hookimpl
    def hearth_pod(self) -> PodAdaptation | None:
        return PodAdaptation(host_ipc=True) if Path("/dev/fake-of-nobody").exists() else None


class _Network(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        with socket.socket() as connection:
            return [EnvVar(name="FAKE_FAMILY", value=connection.family.name)]


class _Process(_Fake):
    @hookimpl
    def hearth_local_command(self, ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch:
        subprocess.run([sys.executable, "-c", ""], check=True)
        return _launch(devices)


class _Clock(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        return [EnvVar(name="FAKE_CENTURY", value=str(int(time.time() // 3_155_760_000)))]


class _Subtraction(_Fake):
    @hookimpl
    def hearth_pod(self) -> PodAdaptation:
        return PodAdaptation(pod_security={"seccompProfile": None})


class _Reserved(_Fake):
    @hookimpl
    def hearth_pod(self) -> PodAdaptation:
        return PodAdaptation(annotations={"serving.hearth.dev/owner": "fake"})


class _Twice(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        return [EnvVar(name="FAKE_MODE", value="a"), EnvVar(name="FAKE_MODE", value="b")]


class _Invalid(_Fake):
    @hookimpl
    def hearth_pod(self) -> PodAdaptation:
        return PodAdaptation(labels={"fake.example.com/chip": "not the value of a label"})


class _Growth(_Fake):
    @hookimpl
    def hearth_accelerator(self, ctx: RenderContext) -> AcceleratorRequest:
        accelerator = ctx.runtime.spec.accelerator
        key = f"fake.example.com/taint-{len(accelerator.tolerations)}"
        count = ctx.service.spec.resources.accelerators * accelerator.dies
        return AcceleratorRequest({accelerator.resource_name: count}, tolerations=(Toleration(key=key),))


class _Nosy(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        others = sum(name.startswith("hearth_neighbour") for name in sys.modules)
        return [EnvVar(name="FAKE_NEIGHBOURS", value="some" if others else "none")]


class _Early(_Fake):
    first = True

    @hookimpl
    def hearth_vendor(self) -> VendorInfo:
        self.first = not any(name.startswith("hearth_neighbour") for name in sys.modules)
        return hearth_fake.hearth_vendor()

    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        return [EnvVar(name="FAKE_FIRST", value=str(self.first))]


class _Raising(_Fake):
    @hookimpl
    def hearth_env(self, ctx: RenderContext) -> Sequence[EnvVar]:
        if ctx.service.spec.resources.accelerators > 2:
            raise KeyError("topology")
        return []


class _Hanging(_Fake):
    @hookimpl
    def hearth_env(self) -> Sequence[EnvVar]:
        threading.Event().wait()
        return []


class _Infinite(_Fake):
    @hookimpl
    def hearth_pod(self) -> PodAdaptation:
        return PodAdaptation(container_security={"fakeLimit": float("inf")})


class _OneIsEnough(_Fake):
    @hookimpl
    def hearth_accelerator(self, ctx: RenderContext) -> AcceleratorRequest:
        return AcceleratorRequest({ctx.runtime.spec.accelerator.resource_name: 1}, devices=1)


class _Misnamed(_Fake):
    @hookimpl
    def hearth_runtimes(self) -> Iterable[RuntimeManifest]:
        return [replace(manifest, name=f"{manifest.name}-2") for manifest in hearth_fake.hearth_runtimes()]


class _Greedy(_Fake):
    @hookimpl
    def hearth_local_command(self, ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch:
        return _launch([str(number) for number in range(8)])


class _Selector(_Fake):
    @hookimpl
    def hearth_pod(self) -> PodAdaptation:
        return PodAdaptation(labels={"serving.hearth.dev/llmservice": "fake"})


def _launch(devices: Sequence[str]) -> LocalLaunch:
    return LocalLaunch((sys.executable, "-m", "vllm_stub"), env={hearth_fake.VISIBLE_DEVICES: ",".join(devices)})


determinism_chance = _Chance()
determinism_set_order = _SetOrder()
no_mutation = _Mutation()
no_access_environment = _Environment()
no_access_file = _File()
no_access_network = _Network()
no_access_process = _Process()
no_access_clock = _Clock()
additive = _Subtraction()
no_clobber = _Reserved()
unique_keys = _Twice()
validity = _Invalid()
merge_idempotence = _Growth()
vendor_isolation = _Nosy()
order_independence = _Early()
totality_raises = _Raising()
totality_hangs = _Hanging()
json_round_trip = _Infinite()
metamorphic = _OneIsEnough()
packaged_runtimes = _Misnamed()
local_launch = _Greedy()
selector_labels = _Selector()
