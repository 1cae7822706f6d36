"""The plugins of this repository keep the laws: the test that an author of a plugin writes."""

from __future__ import annotations

from hearth.testing import VendorConformance


class Brief(VendorConformance):
    examples = 8  # the suite is quick; `hearth plugins check` looks longer


class TestFake(Brief):
    vendor = "fake"


class TestNvidia(Brief):
    vendor = "nvidia"
    device_ids = ("0", "1", "2", "GPU-8e1f3c9a-0000-4000-8000-000000000003", "MIG-8e1f3c9a-0000-4000-8000-000000000004")


class TestAscend(Brief):
    vendor = "ascend"
