"""Ranges of keys against what they mean: a set of byte strings."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.keys import KeyRange, to_bytes, to_text

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)

ALPHABET = (b"\x00", b"a", b"\xfe", b"\xff")
ALL_KEYS = [b"".join(each) for size in range(4) for each in product(ALPHABET, repeat=size)]
"""Every key of up to three of the bytes at which ranges go wrong."""

short_keys = st.lists(st.sampled_from(ALPHABET), max_size=2).map(b"".join)
any_bytes = st.binary(max_size=6)
ranges = st.one_of(
    short_keys.map(KeyRange.of_key),
    short_keys.map(KeyRange.of_prefix),
    st.builds(KeyRange, short_keys, st.none() | short_keys),
)


def members(scope: KeyRange) -> set[bytes]:
    return {key for key in ALL_KEYS if key in scope}


@patient
@given(any_bytes, any_bytes)
def test_the_range_of_a_key_holds_that_key_and_no_other(key: bytes, other: bytes) -> None:
    scope = KeyRange.of_key(key)
    assert key in scope
    assert (other in scope) == (other == key)


def test_the_range_of_a_key_leaves_out_its_closest_neighbours() -> None:
    scope = KeyRange.of_key(b"nokia")
    assert b"nokia\x00" not in scope
    assert b"nokia\xff" not in scope
    assert b"noki" not in scope
    assert b"nokib" not in scope


@patient
@given(short_keys)
def test_the_range_of_a_prefix_holds_exactly_what_starts_with_it(prefix: bytes) -> None:
    expected = {key for key in ALL_KEYS if key.startswith(prefix)}
    assert members(KeyRange.of_prefix(prefix)) == expected


@patient
@given(any_bytes, any_bytes)
def test_the_range_of_a_prefix_of_any_bytes_asks_startswith(prefix: bytes, key: bytes) -> None:
    assert (key in KeyRange.of_prefix(prefix)) == key.startswith(prefix)
    assert prefix + key in KeyRange.of_prefix(prefix)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"a", b"b"),
        (b"a\xff", b"b"),
        (b"a\xfe\xff\xff", b"a\xff"),
        (b"\xff", None),
        (b"\xff\xff", None),
        (b"", None),
    ],
)
def test_a_prefix_of_the_highest_bytes_ends_where_no_key_is_left(
    prefix: bytes, end: bytes | None
) -> None:
    assert KeyRange.of_prefix(prefix) == KeyRange(prefix, end)


@patient
@given(st.lists(ranges, min_size=1, max_size=4))
def test_the_hull_covers_each_of_its_ranges_and_no_smaller_one_does(
    scopes: list[KeyRange],
) -> None:
    hull = KeyRange.hull(scopes)
    for each in scopes:
        assert hull.covers(each)
        assert members(each) <= members(hull)
    assert hull.start in {each.start for each in scopes}
    assert hull.end in {each.end for each in scopes}


def test_the_hull_takes_any_iterable_even_one_that_can_be_read_only_once() -> None:
    keys = (b"b", b"a", b"c")
    assert KeyRange.hull(KeyRange.of_key(key) for key in keys) == KeyRange(b"a", b"c\x00")


@patient
@given(ranges, ranges)
def test_covering_means_to_hold_every_key_of_the_other(one: KeyRange, other: KeyRange) -> None:
    if other.end is not None and other.end <= other.start:
        return  # it has no keys
    candidates = {*members(other), other.start, one.end or b""}
    assert one.covers(other) == all(key in one for key in candidates if key in other)


def test_an_open_range_is_covered_only_by_an_open_range() -> None:
    everything = KeyRange.of_prefix(b"")
    assert everything.covers(KeyRange(b"x", None))
    assert everything.covers(everything)
    assert not KeyRange(b"", b"\xff" * 9).covers(KeyRange(b"x", None))
    assert not KeyRange(b"y", None).covers(KeyRange(b"x", None))


def test_what_is_no_bytes_is_in_no_range() -> None:
    assert "nokia" not in KeyRange.of_prefix(b"")
    assert None not in KeyRange.of_prefix(b"")


@patient
@given(st.binary())
def test_any_bytes_come_back_from_text_as_they_were(raw: bytes) -> None:
    assert to_bytes(to_text(raw)) == raw


@patient
@given(st.text(st.characters(codec="utf-8")))
def test_text_is_utf8_on_the_wire(text: str) -> None:
    assert to_bytes(text) == text.encode()
    assert to_text(to_bytes(text)) == text


def test_a_surrogate_that_no_bytes_decode_to_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        to_bytes("\ud800")
