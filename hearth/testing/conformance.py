"""Conformance of a plugin as a test class for its own repository."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from hearth.plugins import InventoryOutput
from hearth.testing.law import Law
from hearth.testing.laws import LAWS, check_law
from hearth.testing.search import EXAMPLES, Search
from hearth.testing.strategies import DEVICE_IDS
from hearth.testing.subject import HOOK_TIMEOUT, Subject


class VendorConformance:
    """The sixteen laws as tests: subclass it with the vendor's key, and pytest has a test for each.

        from hearth.testing import VendorConformance

        class TestAcme(VendorConformance):
            vendor = "acme"

    The distribution must be installed (`pip install -e .`).
    """

    vendor: ClassVar[str]
    """The vendor's key, which is the name of its entry point."""

    plugin: ClassVar[str | None] = None
    """`module` or `module:object`, for a plugin that has no entry point."""

    device_ids: ClassVar[Sequence[str]] = DEVICE_IDS
    """Ids that the vendor's devices may have on one machine."""

    inventories: ClassVar[Sequence[InventoryOutput]] = ()
    """Recorded outputs of machines with devices, for `hearth_local_devices`."""

    examples: ClassVar[int] = EXAMPLES
    """Inputs for each law. They are the same in every run."""

    hook_timeout: ClassVar[float] = HOOK_TIMEOUT
    """Seconds that one call of a hook may take."""


_SUBJECTS: dict[type[VendorConformance], Subject] = {}


def _subject(tests: type[VendorConformance]) -> Subject:
    if tests not in _SUBJECTS:
        _SUBJECTS[tests] = Subject.load(
            tests.vendor,
            reference=tests.plugin,
            device_ids=tests.device_ids,
            inventories=tests.inventories,
            hook_timeout=tests.hook_timeout,
        )
    return _SUBJECTS[tests]


def _test(law: Law) -> Callable[[VendorConformance], None]:
    def test(self: VendorConformance) -> None:
        __tracebackhide__ = True
        check_law(law, _subject(type(self)), Search(self.examples))

    test.__doc__ = law.title
    test.__name__ = f"test_law_{law.number:02}_{law.name}"
    return test


for _law in LAWS:
    setattr(VendorConformance, f"test_law_{_law.number:02}_{_law.name}", _test(_law))
