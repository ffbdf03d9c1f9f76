"""The past read from a copy of a member's database is the past that one ordinary watch tells."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import Compacted, StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import bbolt, history, v3_database, v3_past
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_database import DatabaseCopy
from etcd_watcher.stores.v3_history import Segments
from etcd_watcher.stores.v3_response import CHANGE_BYTES
from tests.stores.v3_copies import alter_copies
from tests.stores.v3_past import (
    ALL,
    DENSE,
    NOTHING,
    ONE,
    RARE,
    TIMEOUT,
    Operation,
    compact,
    mixed,
    told_by_a_watch,
    truth_of,
    write,
)

REVISIONS = 4_000

CALLS_A_CHANGE = 8

pytestmark = pytest.mark.usefixtures("no_leaks")

Connect = Callable[..., V3Store]

UNKNOWN = {"raw_prev_value", "lease", "expired", "action"}
"""What is known of a deletion, or of a value before, from before the past alone."""


@pytest.fixture
def short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a few revisions count as a long past."""
    monkeypatch.setattr(history, "FAR", 3)
    monkeypatch.setattr(v3_past, "FAR", 3)


def told(batches: Iterable[list[Event]]) -> list[Event]:
    return list(itertools.chain.from_iterable(batches))


@pytest.mark.parametrize("scope", [ALL, DENSE, RARE, ONE, NOTHING], ids=lambda each: each.start)
@pytest.mark.parametrize("first", [1, 2000], ids=["from the start", "from the middle"])
def test_it_tells_what_a_watch_tells(
    past: LocalEtcd, connect: Connect, ways: dict[type, int], scope: KeyRange, first: int
) -> None:
    store = connect(past)
    last = store.revision(TIMEOUT)
    events = told(replay(store, scope, first, last))
    assert events == truth_of(past, scope, first, last)
    assert ways[DatabaseCopy]
    assert not ways[Segments]


def test_it_ends_at_the_revision_asked_for_and_splits_no_transaction(
    past: LocalEtcd, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v3_database, "PART_BYTES", 1)
    store = connect(past)
    last = store.revision(TIMEOUT) - 500
    batches = list(replay(store, ALL, 2, last))
    assert told(batches) == truth_of(past, ALL, 2, last)
    assert len(batches) > 100
    for one, other in itertools.pairwise(batches):
        assert one[-1].revision < other[0].revision


def test_memory_is_bounded_by_what_is_told_at_a_time(past: LocalEtcd, connect: Connect) -> None:
    store = connect(past)
    last = store.revision(TIMEOUT)
    connection = store._connect(past.url)
    copy = DatabaseCopy(
        connection, ALL, 1, last, most=v3_database.COPY_BYTES, room=v3_database.Room()
    )
    sizes = [piece.cost - CHANGE_BYTES * piece.count for piece, _ in copy.pieces()]
    connection.close()
    assert copy.reached == last
    assert len(sizes) > 3
    # And a page and a transaction of 128 keys on top.
    assert max(sizes) < v3_database.PART_BYTES + 4 * 4096


def large_keys_and_values() -> Iterator[list[Operation]]:
    """Give what takes several pages in a database, and keys whose sizes take several bytes."""
    for size in (1, 127, 128, 129, 16_383, 16_384, 300_000):
        yield [(b"large/" + b"k" * size, b"v" * 3)]
        yield [(b"large/value", b"v" * size), (b"large/none", b""), (b"small", b"\xff\0")]
        yield [(b"large/value", None), (b"large/none", None)]
    yield [(f"large/{number:03}".encode(), b"v" * 5000) for number in range(100)]


@pytest.mark.usefixtures("short_is_long")
@pytest.mark.parametrize("prefix", [b"", b"large/", b"large/k", b"small", b"large/" + b"k" * 200])
def test_whatever_size_keys_and_values_have(
    server: LocalEtcd, connect: Connect, ways: dict[type, int], prefix: bytes
) -> None:
    last = write(server, large_keys_and_values())
    store, scope = connect(server), KeyRange.of_prefix(prefix)
    events = told(replay(store, scope, 1, last))
    assert events == told_by_a_watch(store, scope, 1, last)
    assert events
    assert ways[DatabaseCopy]
    assert not ways[Segments]


@pytest.mark.usefixtures("short_is_long")
def test_keys_that_went_with_their_lease_are_told_as_expired(
    server: LocalEtcd, connect: Connect, ways: dict[type, int]
) -> None:
    store = connect(server)
    store.put(b"goes", b"1", 1, TIMEOUT)
    store.put(b"is deleted", b"1", 1000, TIMEOUT)
    store.delete(b"is deleted", TIMEOUT, prefix=False)
    watch = store.watch(KeyRange.of_key(b"goes"), 2)
    while not any(event.expired for event in watch.read().events):
        pass
    watch.close()
    last = store.revision(TIMEOUT)
    events = told(replay(store, ALL, 1, last))
    assert events == told_by_a_watch(store, ALL, 1, last)
    assert [event.key for event in events if event.expired] == ["goes"]
    assert ways[DatabaseCopy]


def test_a_compaction_meanwhile_takes_nothing(server: LocalEtcd, connect: Connect) -> None:
    write(server, mixed(4500))
    store = connect(server)
    last = store.revision(TIMEOUT)
    truth = told_by_a_watch(store, ALL, 1, last)
    batches = replay(store, ALL, 1, last)
    events = list(next(batches))
    compact(server, last - 10)
    assert events + told(batches) == truth


def test_a_server_that_goes_meanwhile_takes_nothing(server: LocalEtcd, connect: Connect) -> None:
    write(server, ([(f"key/{number}".encode(), b"1")] for number in range(4000)))
    store = connect(server)
    last = store.revision(TIMEOUT)
    truth = told_by_a_watch(store, ALL, 1, last)
    batches = replay(store, ALL, 1, last)
    events = list(next(batches))
    assert len(events) < len(truth)
    server.kill()
    assert events + told(batches) == truth


def test_what_was_compacted_is_told_at_once(server: LocalEtcd, connect: Connect) -> None:
    last = write(server, mixed(3000))
    compact(server, last - 5)
    store = connect(server)
    with pytest.raises(Compacted) as lost:
        next(replay(store, ALL, 1, last))
    assert lost.value.revision == last - 5


def test_a_past_right_behind_a_compaction(
    server: LocalEtcd, connect: Connect, ways: dict[type, int]
) -> None:
    compacted = write(server, mixed(20))
    last = write(server, mixed(3000, 2))
    store = connect(server)
    truth = told_by_a_watch(store, ALL, compacted + 1, last)
    compact(server, compacted)
    events = told(replay(store, ALL, compacted + 1, last))
    # Of what was before the compaction nobody can tell the values any more.
    keep = [index for index, name in enumerate(Event._fields) if name not in UNKNOWN]
    assert [[each[index] for index in keep] for each in events] == [
        [each[index] for index in keep] for each in truth
    ]
    assert ways == {DatabaseCopy: ways[DatabaseCopy], Segments: 0}


def test_what_begins_at_a_compaction_is_for_watches_to_tell(
    server: LocalEtcd, connect: Connect, ways: dict[type, int]
) -> None:
    """Its own deletions may be forgotten, which a server says of a watch."""
    compacted = write(server, mixed(20))
    last = write(server, mixed(3000, 2))
    compact(server, compacted)
    store = connect(server)
    assert store.forgets_deletions
    with pytest.raises(Compacted) as lost:
        told(replay(store, ALL, compacted, last))
    assert lost.value.whole_from == compacted + 1
    assert not ways[DatabaseCopy]


# When it is not read from a copy, all comes by watches.


def by_watches(server: LocalEtcd, store: V3Store, ways: dict[type, int]) -> bool:
    last = store.revision(TIMEOUT)
    right = told(replay(store, ALL, 1, last)) == truth_of(server, ALL, 1, last)
    return right and not ways[DatabaseCopy] and ways[Segments] > 0


@pytest.mark.parametrize("size", [0, 1], ids=["never", "too large"])
def test_how_large_it_may_be_can_be_said(
    past: LocalEtcd, connect: Connect, ways: dict[type, int], size: int
) -> None:
    assert by_watches(past, connect(past, history_copy_bytes=size), ways)


def test_several_that_read_at_once_have_room_for_so_much_together(
    past: LocalEtcd, connect: Connect, ways: dict[type, int]
) -> None:
    store = connect(past)
    size, last = store.cluster(TIMEOUT).size, store.revision(TIMEOUT)
    store.history_copy_bytes = int(2.5 * size)
    truth = truth_of(past, ALL, 1, last)
    readers = [replay(store, ALL, 1, last) for _ in range(3)]
    first = [next(each) for each in readers]
    assert size < store._copies.taken <= store.history_copy_bytes
    assert [type(each) for each in store._past.readers].count(DatabaseCopy) == 2
    for begin, rest in zip(first, readers, strict=True):
        assert [*begin, *told(rest)] == truth
    assert ways[Segments]
    assert not store._copies.taken


def test_a_large_database_is_not_copied_for_few_revisions(
    past: LocalEtcd, connect: Connect, ways: dict[type, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v3_database, "SMALL", 1000)
    monkeypatch.setattr(v3_database, "BYTES_A_REVISION", 1)
    assert by_watches(past, connect(past), ways)


def test_one_that_comes_too_slowly_is_given_up(
    past: LocalEtcd, connect: Connect, ways: dict[type, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = DatabaseCopy.__init__

    def impatient(self: DatabaseCopy, *given: Any, **options: Any) -> None:
        begin(self, *given, **options)
        self._patience = 0.0001

    monkeypatch.setattr(v3_database, "PROBATION", 0)
    monkeypatch.setattr(DatabaseCopy, "__init__", impatient)
    assert by_watches(past, connect(past), ways)


DAMAGES: dict[str, Callable[[int, bytes], bytes]] = {
    "another byte": lambda number, blob: blob[:-1] + b"?" if number == 1 else blob,
    "too short": lambda number, blob: blob[:-1] if number == 1 else blob,
    "nothing": lambda *_: b"",
    "no hash": lambda _, blob: b"" if len(blob) == HASH else blob,
}
HASH = 32


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_copy_that_is_not_whole_is_not_used(
    past: LocalEtcd,
    connect: Connect,
    ways: dict[type, int],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    def damaged(blobs: Iterable[bytes]) -> Iterator[bytes]:
        return (DAMAGES[damage](number, blob) for number, blob in enumerate(blobs))

    alter_copies(monkeypatch, damaged)
    assert by_watches(past, connect(past), ways)


def test_a_database_of_another_kind_is_not_used(
    past: LocalEtcd, connect: Connect, ways: dict[type, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bbolt, "MAGIC", 1)
    assert by_watches(past, connect(past), ways)


def test_a_disk_that_is_full_is_no_reason_to_fail(
    past: LocalEtcd, connect: Connect, ways: dict[type, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever is written to this device fails with "no space left".
    with Path("/dev/full").open("wb", 0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        store = connect(past)
        assert by_watches(past, store, ways)
        assert full.closed


def test_it_is_for_those_who_may_read_everything(ways: dict[type, int]) -> None:
    """Some versions give it to everybody with a password: others' values must not come to them."""
    with LocalEtcd(version="3.5", user="root") as server:
        server.users.add("juan", "secret", read=["dense/"])
        root = Credentials("root", server.password)
        writer = V3Store([server.url], credentials=root)
        for number in range(20):
            writer.put(f"dense/{number}".encode(), b"1", None, TIMEOUT)
        last = writer.put(b"other", b"1", None, TIMEOUT)
        for credentials, way in ((root, DatabaseCopy), (Credentials("juan", "secret"), Segments)):
            store = V3Store([server.url], credentials=credentials)
            store.connect(TIMEOUT)
            store.admit([DENSE], TIMEOUT)
            events = told(store.history(DENSE, 1, last) or [])
            assert [event.key for event in events] == [f"dense/{each}" for each in range(20)]
            assert [each for each in ways if ways[each]] == [way]
            ways[way] = 0
            store.close()
        writer.close()


# It ends when it is told to, and leaves nothing.


def open_files() -> list[str]:
    """Give what this process has open that has no name any more."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:  # it was of the listing itself
            continue
    return [each for each in found if each.endswith("(deleted)")]


def test_closing_the_store_ends_it(past: LocalEtcd, connect: Connect) -> None:
    before = open_files()
    store = connect(past)
    batches = replay(store, ALL, 1, store.revision(TIMEOUT))
    next(batches)
    assert len(open_files()) == len(before) + 1
    store.close()
    with pytest.raises(StoreClosed):
        told(batches)
    assert open_files() == before


def test_closing_the_store_ends_it_while_it_comes(
    past: LocalEtcd, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = DatabaseCopy._save

    def closing(self: DatabaseCopy, call: Any, *rest: Any) -> bool:
        store.close()
        return save(self, call, *rest)

    monkeypatch.setattr(DatabaseCopy, "_save", closing)
    store = connect(past)
    with pytest.raises(StoreClosed):
        told(replay(store, ALL, 1, store.revision(TIMEOUT)))


def test_it_ends_with_its_reader(past: LocalEtcd, connect: Connect) -> None:
    before = open_files()
    store = connect(past)
    batches = replay(store, ALL, 1, store.revision(TIMEOUT))
    next(batches)
    assert len(store._past.readers) == 1
    batches.close()
    assert not store._past.readers
    assert open_files() == before


def test_reading_a_copy_takes_few_calls_a_change(past: LocalEtcd, connect: Connect) -> None:
    """A call more for each change is seen here: the count is 10 % above what it was."""
    store = connect(past)
    last, calls = store.revision(TIMEOUT), 0
    connection = store._connect(past.url)
    copy = DatabaseCopy(
        connection, ALL, 1, last, most=v3_database.COPY_BYTES, room=v3_database.Room()
    )
    pieces = copy.pieces()
    next(pieces)  # the copy has come

    def profile(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal calls
        calls += what in ("call", "c_call")

    sys.setprofile(profile)
    try:
        count = sum(piece.count for piece, _ in pieces)
    finally:
        sys.setprofile(None)
    connection.close()
    assert count > REVISIONS / 2
    assert calls <= CALLS_A_CHANGE * count
