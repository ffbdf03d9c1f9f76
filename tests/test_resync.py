"""What a resync finds, against brute force: the states before and after."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.errors import Compacted
from etcd_watcher.event import Event, EventType, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.resync import differences, resync
from etcd_watcher.stores.base import KeyValue, Snapshot
from tests.fake_store import FakeStore

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)

ALL = KeyRange.of_prefix(b"")

changes = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.none() | st.sampled_from(["1", "2"])),
    max_size=12,
)


def state(events: list[Event], before: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
    """Give the keys and values that a reader of events believes in."""
    found = dict(before or {})
    for each in events:
        if each.raw_value is None:
            found.pop(each.raw_key, None)
        else:
            found[each.raw_key] = each.raw_value
    return found


def flat(store: FakeStore) -> list[Event]:
    return [each for transaction in store.transactions for each in transaction]


@patient
@given(changes, changes)
def test_its_events_lead_from_what_was_seen_to_how_it_is(
    seen: list[tuple[str, str | None]], missed: list[tuple[str, str | None]]
) -> None:
    store = FakeStore()
    for change in seen:
        store.commit(change)
    after = store.now
    known = state(flat(store))
    for change in missed:
        store.commit(change)
    gap, events, revision = resync(store, ALL, after, Compacted(store.now), known, 1.0)
    assert revision == store.now
    assert state(events, known) == state(flat(store))
    assert (gap is None) == (revision == after + 1)
    assert all(each.synthetic == (gap is not None) for each in events)
    assert [each.revision for each in events] == sorted(each.revision for each in events)
    assert all(after < each.revision <= revision for each in events) or not missed
    untouched = set(known) - {change[0].encode() for change in missed}
    assert untouched.isdisjoint(each.raw_key for each in events)


def test_it_reads_the_oldest_state_that_the_server_has_so_that_the_least_is_lost() -> None:
    store = FakeStore()
    for value in "abcdef":
        store.commit(("k", value))  # revisions 2 to 7
    store.compact(5)
    gap, events, revision = resync(store, ALL, 2, Compacted(5, 6), [b"k"], 1.0)
    assert gap == Gap(3, 4, "the server has dropped its history before revision 5")
    assert [(each.value, each.revision) for each in events] == [("d", 5)]
    assert revision == 5


def test_a_store_that_cannot_say_from_when_it_knows_is_read_as_it_is_now() -> None:
    store = FakeStore()
    for value in "abc":
        store.commit(("k", value))
    _, events, revision = resync(store, ALL, 2, Compacted(0), [], 1.0)
    assert revision == 4
    assert [each.value for each in events] == ["c"]


def test_where_one_revision_lies_between_it_changed_what_differs_and_nothing_is_lost() -> None:
    store = FakeStore()
    store.commit(("gone", "v"))
    store.commit(("put", "v"), ("gone", None))
    gap, events, revision = resync(store, ALL, 2, Compacted(3), [b"gone"], 1.0)
    assert (gap, revision) == (None, 3)
    assert [(each.key, each.value, each.revision) for each in events] == [
        ("put", "v", 3),
        ("gone", None, 3),
    ]
    assert [(each.action, each.synthetic) for each in events] == [("put", False), ("delete", False)]


def test_a_gap_is_never_empty() -> None:
    store = FakeStore()
    store.commit(("k", "v"))
    gap, _, _ = resync(store, ALL, 1, Compacted(0), [], 1.0)
    assert gap == Gap(2, 2, "the server has dropped its history there")


def test_a_key_that_is_gone_is_deleted_at_the_revision_of_the_snapshot() -> None:
    snapshot = Snapshot(9, [KeyValue(b"kept", b"v", 3, 3, 1, 0)])
    (deletion,) = differences(snapshot, 5, [b"kept", b"gone"])
    assert (deletion.type, deletion.key, deletion.value) == (EventType.DELETE, "gone", None)
    assert (deletion.revision, deletion.synthetic, deletion.action) == (9, True, "resync")


def test_what_a_key_tells_of_itself_is_kept() -> None:
    snapshot = Snapshot(9, [KeyValue(b"k", b"v", 7, 4, 3, 77)])
    (put,) = differences(snapshot, 5, [])
    assert (put.revision, put.created, put.version, put.lease) == (7, 4, 3, 77)
    assert (put.type, put.value, put.prev_value) == (EventType.PUT, "v", None)


def test_what_the_store_has_lost_meanwhile_is_told() -> None:
    store = FakeStore()
    store.commit(("k", "v"))
    store.compact(99)
    with pytest.raises(Compacted):
        resync(store, ALL, 1, Compacted(2), [], 1.0)
