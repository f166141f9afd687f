"""Fair shares."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.tasks.fairness import Contender, distribute, has_its_share, room

CONTENDERS = st.lists(
    st.builds(
        Contender,
        tenant_id=st.text("abcdef", min_size=1, max_size=4),
        virtual_time=st.floats(0, 1e6),
        weight=st.sampled_from([0.5, 1.0, 2.0, 4.0, 10.0]),
    ),
    max_size=8,
    unique_by=lambda one: one.tenant_id,
)


@given(CONTENDERS, st.integers(0, 200))
def test_every_slot_is_assigned_while_a_tenant_waits(contenders: list[Contender], slots: int) -> None:
    assert sum(distribute(contenders, slots).values()) == (slots if contenders else 0)


@given(CONTENDERS, st.integers(0, 200))
def test_no_tenant_is_served_beyond_the_next_tenants_virtual_time(contenders: list[Contender], slots: int) -> None:
    shares = distribute(contenders, slots)
    ends = {one.tenant_id: one.virtual_time + shares.get(one.tenant_id, 0) / one.weight for one in contenders}
    for one in contenders:
        if given_now := shares.get(one.tenant_id, 0):
            before_last = one.virtual_time + (given_now - 1) / one.weight
            assert all(before_last <= end + 1e-6 for end in ends.values())


@pytest.mark.parametrize("slots_a_round", [1, 3, 7, 100])
def test_weights_are_met_within_five_percent_over_a_thousand_claims(slots_a_round: int) -> None:
    weights = {"one": 1.0, "two": 2.0, "four": 4.0}
    times = dict.fromkeys(weights, 0.0)
    claimed = dict.fromkeys(weights, 0)
    while sum(claimed.values()) < 1000:
        contenders = [Contender(name, times[name], weight) for name, weight in weights.items()]
        for name, share in distribute(contenders, slots_a_round).items():
            claimed[name] += share
            times[name] += share / weights[name]
    total = sum(claimed.values())
    for name, weight in weights.items():
        assert claimed[name] == pytest.approx(total * weight / 7, rel=0.05)


def test_a_tenant_with_little_work_is_served_at_once_beside_one_with_much() -> None:
    assert distribute([Contender("flood", 50_000.0), Contender("small", 3.0)], 3) == {"small": 3}


SHARES = st.floats(0.1, 1)
SLOTS = st.integers(1, 300)


@given(st.integers(0, 300), st.integers(-3, 300), SHARES, st.floats(0.1, 50))
def test_room_is_never_more_than_what_is_free(in_hand: int, free: int, share: float, weight: float) -> None:
    assert 0 <= room(in_hand, free, share, weight) <= max(0, free)


@given(SLOTS, SHARES)
def test_a_tenant_without_any_task_in_hand_may_always_have_a_free_slot(free: int, share: float) -> None:
    assert room(0, free, share) >= 1


@given(SLOTS, SHARES)
def test_a_tenant_that_is_alone_has_its_share_of_all_slots_however_it_gets_there(slots: int, share: float) -> None:
    in_hand = 0
    while more := room(in_hand, slots - in_hand, share):
        in_hand += min(more, 3)
    assert in_hand == max(1, math.floor(share * slots + 1e-9))


@given(st.integers(2, 300), st.floats(0.1, 0.9))
def test_a_tenant_that_comes_next_finds_a_free_slot(slots: int, share: float) -> None:
    assert slots - room(0, slots, share) >= 1


@given(st.integers(2, 6), st.integers(20, 200))
def test_tenants_with_much_work_end_up_with_equal_shares(tenants: int, slots: int) -> None:
    in_hand = [room(0, slots, 0.9)] + [0] * (tenants - 1)
    for _ in range(slots):
        for one in sorted(range(tenants), key=in_hand.__getitem__):
            in_hand[one] += min(1, room(in_hand[one], slots - sum(in_hand), 0.9))
        largest = in_hand.index(max(in_hand))
        in_hand[largest] -= 1
    assert max(in_hand) - min(in_hand) <= 3


PROCESSES = st.lists(st.tuples(st.integers(0, 300), st.integers(-3, 300)), max_size=5)


@given(PROCESSES, SHARES, st.floats(0.1, 50))
def test_a_tenant_has_its_share_where_no_process_with_a_free_slot_has_room_for_it(
    processes: list[tuple[int, int]], share: float, weight: float
) -> None:
    rooms = [room(in_hand, free, share, weight) for in_hand, free in processes]
    has_slots = any(free > 0 for _, free in processes)
    assert has_its_share(processes, share, weight) == (has_slots and not any(rooms))
