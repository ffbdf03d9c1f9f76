"""Events, gaps and statuses: what they say, and that they say it the same way every time."""

from __future__ import annotations

import dataclasses
import pickle
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.event import EVENT_OVERHEAD, Event, EventType, Gap, Status, kind_of
from tests.fake_store import event

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)

NASTY = b"\x1b[2J\n\r\x00\xff\xe2\x80\xae<script>"
"""An escape sequence, line breaks, NUL, a byte that is not UTF-8, a right-to-left mark, a tag."""


def test_the_repr_names_type_key_value_and_revision() -> None:
    assert repr(event(7, "nokia", "hello")) == "Event(PUT 'nokia'='hello', revision=7)"


def test_a_deletion_has_no_value() -> None:
    deleted = event(8, "nokia", None)
    assert repr(deleted) == "Event(DELETE 'nokia', revision=8)"
    assert deleted.value is None


def test_the_repr_tells_an_empty_value_from_none() -> None:
    assert repr(event(8, "nokia", b"")) == "Event(PUT 'nokia'='', revision=8)"


def test_the_repr_marks_what_expired_and_what_a_resync_made() -> None:
    gone = event(8, "nokia", None)._replace(expired=True, synthetic=True)
    assert repr(gone) == "Event(DELETE 'nokia', revision=8, expired, synthetic)"


def test_text_is_utf8_and_no_byte_is_lost() -> None:
    raw = event(1, b"\xc3\xbc\xff", b"\xe6\xbc\xa2\xfe", prev=b"\x80")
    assert raw.key == "ü\udcff"
    assert raw.value == "漢\udcfe"
    assert raw.prev_value == "\udc80"
    assert raw.key.encode("utf-8", "surrogateescape") == raw.raw_key


@patient
@given(st.binary(), st.none() | st.binary(), st.none() | st.binary())
def test_any_bytes_can_be_shown(key: bytes, value: bytes | None, prev: bytes | None) -> None:
    made = event(3, key, value, prev=prev)
    shown = repr(made)
    assert shown.isprintable()
    assert shown.encode()
    assert len(shown) < 200
    html = made._repr_html_()
    assert html.encode()
    assert "\n" not in html


def test_the_repr_shows_control_characters_as_what_they_are() -> None:
    assert (
        repr(event(1, NASTY, NASTY)) == r"Event(PUT '\x1b[2J\n\r\x00\udcff\u202e<script>'="
        r"'\x1b[2J\n\r\x00\udcff\u202e<script>', revision=1)"
    )


def test_a_long_key_and_a_long_value_are_cut_in_the_repr_alone() -> None:
    long = event(1, "k" * 500, "v" * 500)
    assert repr(long) == f"Event(PUT '{'k' * 59}…'='{'v' * 59}…', revision=1)"
    assert long.value == "v" * 500


def test_an_event_cannot_be_changed() -> None:
    made = event(1)
    with pytest.raises(AttributeError):
        made.revision = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        made.colour = "red"  # type: ignore[attr-defined]


def test_equal_events_are_equal_and_survive_a_pickle() -> None:
    assert event(1) == event(1)
    assert hash(event(1)) == hash(event(1))
    assert event(1) != event(2)
    copy = pickle.loads(pickle.dumps(event(1)))  # noqa: S301 - our own bytes
    assert copy == event(1)
    assert type(copy) is Event


def test_the_size_counts_key_value_and_value_before() -> None:
    assert event(1, b"key", b"value", prev=b"before").size == EVENT_OVERHEAD + 3 + 5 + 6
    assert event(1, b"key", None).size == EVENT_OVERHEAD + 3


def test_the_type_reads_as_its_word() -> None:
    assert str(EventType.PUT) == repr(EventType.PUT) == "PUT"
    assert f"{EventType.DELETE}" == "DELETE"


def test_a_gap_says_which_revisions_are_lost_and_why() -> None:
    assert repr(Gap(3, 9, "compacted")) == "Gap(first=3, last=9, reason='compacted')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Gap(3, 9, "compacted").first = 4  # type: ignore[misc]


def test_the_repr_of_a_status_has_no_time_in_it() -> None:
    status = Status("reconnecting", "http://one:2379", "refused", since=12345.6, next_try=7890.1)
    assert repr(status) == "Status('reconnecting', reason='refused')"
    assert repr(Status("connected", "http://one:2379")) == "Status('connected')"


def test_two_statuses_that_differ_in_their_times_alone_are_equal() -> None:
    assert Status("connected", since=1.0) == Status("connected", since=2.0)
    assert Status("connected") != Status("closed")


@pytest.mark.parametrize(
    "made",
    [
        event(1),
        Gap(1, 2, "compacted"),
        Status("reconnecting", "http://one:2379", NASTY.decode(errors="surrogateescape")),
    ],
)
def test_no_repr_has_an_address_or_a_control_character(made: object) -> None:
    assert not re.search(r"0x[0-9a-f]{6,}", repr(made))
    assert repr(made).isprintable()


def test_created_and_modified_deleted_and_expired_are_told_apart() -> None:
    created = event(5, "k", "v")
    assert kind_of(created) == "created"
    assert kind_of(created._replace(created=3, version=2)) == "modified"
    assert kind_of(event(5, "k", "v", prev=b"before")) == "modified", "as v2's set says it"
    deleted = event(5, "k", None)
    assert kind_of(deleted) == "deleted"
    assert kind_of(deleted._replace(expired=True)) == "expired"
