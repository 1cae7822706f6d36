"""Checks of the sixteen laws of the plugin contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hearth.testing import law as contract
from hearth.testing.law import Law, LawBroken
from hearth.testing.laws import form, isolation, local, meaning, merging, purity, shipping
from hearth.testing.search import Search
from hearth.testing.subject import Subject

_CHECKS: Mapping[Law, Callable[[Subject, Search], None]] = {
    contract.DETERMINISM: purity.determinism,
    contract.NO_MUTATION: purity.no_mutation,
    contract.NO_ACCESS: purity.no_access,
    contract.ADDITIVE: merging.additive,
    contract.NO_CLOBBER: merging.no_clobber,
    contract.UNIQUE_KEYS: merging.unique_keys,
    contract.VALIDITY: form.validity,
    contract.MERGE_IDEMPOTENCE: merging.merge_idempotence,
    contract.VENDOR_ISOLATION: isolation.vendor_isolation,
    contract.ORDER_INDEPENDENCE: isolation.order_independence,
    contract.TOTALITY: purity.totality,
    contract.JSON_ROUND_TRIP: form.json_round_trip,
    contract.METAMORPHIC: meaning.metamorphic,
    contract.PACKAGED_RUNTIMES: shipping.packaged_runtimes,
    contract.LOCAL_LAUNCH: local.local_launch,
    contract.SELECTOR_LABELS: meaning.selector_labels_are_hearths,
}

LAWS: tuple[Law, ...] = tuple(_CHECKS)
"""The sixteen laws, by number."""


def check_law(law: Law, subject: Subject, search: Search) -> None:
    """Raise LawBroken, with the smallest input that was found, when the plugin breaks the law."""
    __tracebackhide__ = True
    try:
        _CHECKS[law](subject, search)
    except LawBroken as broken:
        broken.law, broken.vendor = law, subject.vendor
        raise broken from None
