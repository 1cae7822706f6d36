"""kopf as it is set up: it watches what is Hearth's, retries for ever, and compares nothing."""

from __future__ import annotations

from itertools import islice
from typing import Any

from hearth.operator.kubernetes.kinds import CHILDREN, INFERENCE_RUNTIME, LLM_SERVICE, POD, Kind
from hearth.operator.watch.kopf_watch import ERROR_BACKOFF, WATCHED, build_registry, build_settings
from hearth.operator.watch.resync import SELECTOR


class Told:
    """Handlers and detector of relists."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def handle(self, kind: Kind, what: str | None, item: Any) -> None:
        self.told.append((kind, what, item))

    def listed(self, kind: Kind) -> None:
        self.told.append(kind)


async def test_every_kind_has_a_handler_which_tells_of_lists_too() -> None:
    both: Any = Told()
    handlers = build_registry(both, both, both)._watching.get_all_handlers()
    assert {handler.id for handler in handlers} == {f"watch-{kind.plural}" for kind in WATCHED}
    [pods] = [handler.fn for handler in handlers if handler.id == "watch-pods"]
    watch: Any = pods
    await watch(event={"type": None, "object": {"a": 1}})
    await watch(event={"type": "DELETED", "object": {"a": 1}})
    assert both.told == [POD, (POD, None, {"a": 1}), (POD, "DELETED", {"a": 1})]


def test_only_what_is_hearths_is_watched() -> None:
    selectors = build_settings().watching.label_selectors
    for kind in (*CHILDREN, POD):
        assert selectors[kind.group, kind.version, kind.plural] == SELECTOR
    assert {LLM_SERVICE, INFERENCE_RUNTIME} <= {*WATCHED}


def test_a_failing_watch_is_retried_for_ever() -> None:
    backoffs: Any = build_settings().networking.error_backoffs
    assert [*islice(backoffs, 1000)] == [ERROR_BACKOFF] * 1000


def test_nothing_is_compared() -> None:
    storage: Any = build_settings().persistence.diffbase_storage
    assert (storage.build(body={"spec": {}}), storage.fetch(body={})) == ({}, None)
