"""The plugins of this repository keep the laws: the test that an author of a plugin writes."""

from __future__ import annotations

from hearth.testing import VendorConformance
from tools.distributions import plugins


class Brief(VendorConformance):
    examples = 8  # the suite is quick; `hearth plugins check` looks longer


class TestNvidia(Brief):
    vendor = "nvidia"
    device_ids = ("0", "1", "2", "GPU-8e1f3c9a-0000-4000-8000-000000000003", "MIG-8e1f3c9a-0000-4000-8000-000000000004")


for _vendor in sorted(key for plugin in plugins().values() for key in plugin.project["entry-points"]["hearth.vendors"]):
    # A plugin that needs no more than its key needs no class here.
    globals().setdefault(f"Test{_vendor.title()}", type(f"Test{_vendor.title()}", (Brief,), {"vendor": _vendor}))
