"""The allocator's laws: disjoint, whole, oldest first, nobody starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hearth.local.devices import PATIENCE, Claim, Grant, Holding, Pool, allocate

FAKE = Pool("fake", ("0", "1"))


def claim(service: str, size: int = 1, since: float = 0.0, *, waking: bool = True, vendor: str = "fake") -> Claim:
    return Claim(service, vendor, size, since, waking)


def holding(service: str, *devices: str, leaving: bool = False, spare: bool = False) -> Holding:
    return Holding(service, f"{service}-{'-'.join(devices)}", "fake", devices, leaving, spare)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Pool, list[Holding], list[Claim]]:
    total = draw(st.integers(0, 8))
    devices = [str(number) for number in range(total)]
    free = draw(st.permutations(devices))
    holdings = []
    while free and draw(st.booleans()):
        size = draw(st.integers(1, len(free)))
        name = draw(st.sampled_from("abc"))
        taken, free = free[:size], free[size:]
        holdings.append(holding(name, *taken, leaving=draw(st.booleans()), spare=draw(st.booleans())))
    claims = draw(
        st.lists(
            st.builds(
                lambda service, size, since, waking: claim(service, size, since, waking=waking),
                st.sampled_from("defghijk"),
                st.integers(0, 9),
                st.floats(0, 100),
                st.booleans(),
            ),
            max_size=8,
            unique_by=lambda wanted: wanted.service,
        )
    )
    return Pool("fake", tuple(devices)), holdings, claims


@given(situations())
def test_devices_are_whole_real_and_disjoint(situation: tuple[Pool, list[Holding], list[Claim]]) -> None:
    pool, holdings, claims = situation
    answer = allocate([pool], holdings, claims, 200.0)
    used = [device for held in holdings for device in held.devices]
    used += [device for grant in answer.grants for device in grant.devices]
    assert len(used) == len(set(used))
    assert set(used) <= set(pool.devices)


@given(situations())
def test_every_claim_is_granted_or_explained(situation: tuple[Pool, list[Holding], list[Claim]]) -> None:
    pool, holdings, claims = situation
    answer = allocate([pool], holdings, claims, 200.0)
    for wanted in claims:
        granted = [grant for grant in answer.grants if grant.service == wanted.service]
        assert granted or wanted.service in answer.waiting or wanted.service in answer.impossible


@given(situations())
def test_nobody_passes_an_older_claim_of_the_same_rank(situation: tuple[Pool, list[Holding], list[Claim]]) -> None:
    pool, holdings, claims = situation
    answer = allocate([pool], holdings, claims, 200.0)
    granted = {grant.service for grant in answer.grants}
    for refused in (wanted for wanted in claims if wanted.service in answer.waiting):
        for younger in claims:
            if younger.size and (younger.waking, -younger.since) < (refused.waking, -refused.since):
                assert younger.service not in granted


@given(situations())
def test_releases_are_spare_and_not_yet_leaving(situation: tuple[Pool, list[Holding], list[Claim]]) -> None:
    pool, holdings, claims = situation
    answer = allocate([pool], holdings, claims, 200.0)
    allowed = {held.replica for held in holdings if held.spare and not held.leaving}
    assert set(answer.releases) <= allowed
    assert len(answer.releases) == len(set(answer.releases))
    if answer.releases:
        assert answer.contended


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), min_size=1, max_size=25), st.integers(3, 6))
def test_everybody_is_served_in_the_end(arrivals: list[tuple[int, int]], total: int) -> None:
    """One wake per step, each holding its devices for a while: every one is served, in the order of arrival."""
    pool = Pool("fake", tuple(str(number) for number in range(total)))
    waiting: list[Claim] = []
    running: dict[str, tuple[int, Holding]] = {}
    served: list[str] = []
    lasts = {f"s{number:02}": length for number, (_, length) in enumerate(arrivals)}
    for now in range(len(arrivals) * 7):
        running = {name: entry for name, entry in running.items() if entry[0] > now}
        if now < len(arrivals):
            waiting.append(claim(f"s{now:02}", arrivals[now][0], float(now)))
        answer = allocate([pool], [entry[1] for entry in running.values()], waiting, float(now))
        for grant in answer.grants:
            running[grant.service] = (now + lasts[grant.service], holding(grant.service, *grant.devices))
            served.append(grant.service)
        waiting = [wanted for wanted in waiting if wanted.service not in running and wanted.service not in served]
    assert served == sorted(lasts)


def test_says_who_uses_the_devices_and_when_one_sleeps() -> None:
    answer = allocate([FAKE], [holding("a", "0"), holding("b", "1")], [claim("c")], 1.0, {"b": 42.0})
    assert answer.waiting == {
        "c": "needs 1 accelerator of vendor fake; 2 of 2 are in use by a, b; b is idle and scales to zero in 42s"
    }
    assert answer.contended == {"fake"}
    assert answer.releases == ()


def test_a_need_beyond_the_machine_blocks_nobody() -> None:
    answer = allocate([FAKE], [], [claim("huge", 4, 0.0), claim("small", 1, 5.0)], 9.0)
    assert answer.impossible == {"huge": "needs 4 accelerators of vendor fake; this machine has 2"}
    assert answer.grants == (Grant("small", ("0",)),)
    assert not answer.contended


def test_a_vendor_without_devices_says_why() -> None:
    pool = Pool("nvidia", (), "nvidia-smi was not found")
    answer = allocate([pool], [], [claim("a", vendor="nvidia")], 0.0)
    assert answer.impossible == {
        "a": "needs 1 accelerator of vendor nvidia; this machine has 0: nvidia-smi was not found"
    }


def test_a_service_without_devices_starts_at_once() -> None:
    assert allocate([], [], [claim("cpu", 0, vendor="generic")], 0.0).grants == (Grant("cpu", ()),)


def test_a_wake_goes_before_a_second_replica() -> None:
    answer = allocate([FAKE], [holding("a", "0")], [claim("a", since=0.0, waking=False), claim("b", since=50.0)], 60.0)
    assert answer.grants == (Grant("b", ("1",)),)
    assert set(answer.waiting) == {"a"}
    assert not answer.contended, "a second replica presses nobody"


def test_a_small_claim_does_not_pass_an_older_big_one() -> None:
    answer = allocate([FAKE], [holding("a", "0")], [claim("big", 2, 0.0), claim("small", 1, 1.0)], 2.0)
    assert answer.grants == ()
    assert answer.waiting["small"].endswith("1 of 2 is in use by a; big is ahead in the queue")


def test_a_patient_wake_takes_a_busy_spare_replica_but_not_the_last() -> None:
    held = [holding("a", "0", spare=True), holding("a", "1", spare=False)]
    assert allocate([FAKE], held, [claim("b", since=0.0)], PATIENCE - 1).releases == ()
    assert allocate([FAKE], held, [claim("b", since=0.0)], PATIENCE + 1).releases == ("a-0",)
    leaving = [holding("a", "0", leaving=True, spare=True), held[1]]
    assert allocate([FAKE], leaving, [claim("b", since=0.0)], PATIENCE + 1).releases == (), "one is on its way"
