"""Which records a filter shows."""

from __future__ import annotations

import pytest

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.journal import Record
from etcd_watcher.widgets.filters import KINDS, Filter, kind_of_record
from tests.fake_store import event

CREATED = event(5, "sensors/Door", "Open")
MODIFIED = event(6, "sensors/Door", "closed", prev=b"Open")._replace(created=5, version=2)
DELETED = event(7, "sensors/Door", None, prev=b"closed")
EXPIRED = DELETED._replace(expired=True)
GAP = Gap(8, 9, "compacted")
LOST = Status("reconnecting")


def test_each_record_is_of_one_kind() -> None:
    records: list[Record] = [CREATED, MODIFIED, DELETED, EXPIRED, GAP, LOST]
    assert tuple(map(kind_of_record, records)) == KINDS


def test_v2_makes_a_key_anew_at_each_set_and_the_value_before_tells() -> None:
    again = event(9, "/nokia", "2", prev=b"1")._replace(created=9, version=0)
    assert kind_of_record(again) == "modified"


def test_an_empty_filter_shows_everything() -> None:
    records: list[Record] = [CREATED, MODIFIED, DELETED, EXPIRED, GAP, LOST]
    assert all(Filter().shows(record, 0.0) for record in records)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("door", True),
        ("Door", True),
        ("DOOR", False),
        ("sensors/", True),
        ("window", False),
        ("*door", True),
        ("*or", True),
        ("door*", False),
        ("sensors/????", True),
        ("sensors/???", False),
        ("sensors/[Dd]oor", True),
        ("[", False),
    ],
)
def test_a_key_contains_it_or_matches_the_pattern(key: str, shown: bool) -> None:  # noqa: FBT001
    assert Filter(key=key).shows(CREATED, 0.0) is shown


def test_a_pattern_counts_characters_and_stands_for_bytes_too() -> None:
    assert Filter(key="caf?").shows(event(1, "café"), 0.0)
    assert not Filter(key="É*").shows(event(1, "école"), 0.0)
    assert Filter(key="é*").shows(event(1, "École"), 0.0)
    assert Filter(key="é").shows(event(1, "École"), 0.0)
    assert Filter(key="a?b").shows(event(1, b"a\xffb"), 0.0)
    assert Filter(key="a*b").shows(event(1, b"a\n\nb"), 0.0)


def test_text_is_looked_for_in_the_value_and_in_what_a_deletion_took_away() -> None:
    assert Filter(text="open").shows(CREATED, 0.0)
    assert not Filter(text="open").shows(MODIFIED, 0.0)
    assert Filter(text="close").shows(DELETED, 0.0)
    assert not Filter(text="close").shows(event(7, "sensors/Door", None), 0.0)
    assert not Filter(text="*").shows(CREATED, 0.0), "a star in a value is a star"


def test_within_is_the_beginning_of_the_key_to_the_letter() -> None:
    assert Filter(within="sensors/").shows(CREATED, 0.0)
    assert not Filter(within="sensors/d").shows(CREATED, 0.0)
    assert Filter(within="a\udcff").shows(event(1, b"a\xffb"), 0.0)


def test_kinds_and_times_hold_for_gaps_and_the_connection_too() -> None:
    assert not Filter(kinds=("created",)).shows(GAP, 0.0)
    assert Filter(kinds=("gap",)).shows(GAP, 0.0)
    assert Filter(key="x", text="y", within="z").shows(LOST, 0.0)
    assert Filter(between=(1.0, 2.0)).shows(GAP, 1.5)
    assert not Filter(between=(1.0, 2.0)).shows(GAP, 2.5)
    assert not Filter(between=(1.0, 2.0)).shows(CREATED, 0.5)


def test_filters_of_the_same_conditions_are_the_same() -> None:
    assert Filter(key="a") == Filter(key="a")
    assert Filter(key="a") != Filter(key="b")
    assert isinstance(CREATED, Event)


def test_only_is_one_key() -> None:
    assert Filter(only="sensors/Door").shows(CREATED, 0.0)
    assert not Filter(only="sensors/Doo").shows(CREATED, 0.0)
    assert Filter(only="a\udcff").shows(event(1, b"a\xff"), 0.0)


def test_until_is_the_last_revision_and_leaves_what_has_none() -> None:
    assert Filter(until=5).shows(CREATED, 0.0)
    assert not Filter(until=5).shows(MODIFIED, 0.0)
    assert Filter(until=8).shows(GAP, 0.0)
    assert not Filter(until=7).shows(GAP, 0.0)
    assert Filter(until=1).shows(LOST, 0.0)
