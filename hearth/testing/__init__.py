"""The conformance kit for authors of vendor plugins: `pip install 'hearth-serving[testing]'`, then subclass VendorConformance.

`LAWS` are the sixteen laws of the contract, `strategies` the hypothesis strategies that they are checked with, and
`check_vendor` runs them without pytest, as `hearth plugins check` does.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis  # noqa: F401 - the one dependency that hearth itself does not have
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(
        "hearth.testing needs hypothesis: pip install 'hearth-serving[testing]'", name="hypothesis"
    ) from exc

from hearth.testing import strategies
from hearth.testing.case import Case
from hearth.testing.conformance import VendorConformance
from hearth.testing.law import Law, LawBroken
from hearth.testing.laws import LAWS, check_law
from hearth.testing.report import Report, Verdict, check_vendor
from hearth.testing.search import Search
from hearth.testing.subject import Subject

__all__ = [
    "LAWS",
    "Case",
    "Law",
    "LawBroken",
    "Report",
    "Search",
    "Subject",
    "VendorConformance",
    "Verdict",
    "check_law",
    "check_vendor",
    "strategies",
]
