"""The plugins of this repository keep the laws: the test that an author of a plugin writes."""

from hearth.testing import VendorConformance


class TestFake(VendorConformance):
    vendor = "fake"
