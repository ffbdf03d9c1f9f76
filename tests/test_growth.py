"""A range that grows with the keys that are asked for: seldom, and never too little."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.growth import EXACT, Growth
from etcd_watcher.keys import KeyRange

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)


@pytest.mark.parametrize("order", [1, -1], ids=["up", "down"])
def test_keys_that_come_one_by_one_in_order_grow_a_range_a_few_times(order: int) -> None:
    grow, range_ = Growth(), KeyRange.of_key(b"many/05000")
    for number in range(5000)[::order]:
        wanted = KeyRange.of_key(b"many/%05d" % (5000 + order * number))
        if not range_.covers(wanted):
            range_ = grow(range_, wanted)
    assert grow.times < EXACT + 10
    assert b"many/" not in range_
    assert b"more/" not in range_


def test_a_range_grows_by_what_is_asked_for_while_that_is_little() -> None:
    grow, range_ = Growth(), KeyRange.of_key(b"k/00")
    for number in range(1, EXACT + 1):
        range_ = grow(range_, KeyRange.of_key(b"k/%02d" % number))
    assert range_ == KeyRange(b"k/00", b"k/%02d\0" % EXACT)


@patient
@given(st.lists(st.binary(min_size=1), min_size=1), st.booleans())
def test_a_range_that_has_grown_covers_all_that_was_asked_for(
    keys: list[bytes],
    prefix: bool,  # noqa: FBT001 - hypothesis gives them in order
) -> None:
    grow = Growth(EXACT)
    wanted = [KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key) for key in keys]
    range_ = wanted[0]
    for each in wanted:
        range_ = grow(range_, each)
    assert all(range_.covers(each) for each in wanted)
