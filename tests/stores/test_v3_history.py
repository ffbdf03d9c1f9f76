"""The past read in segments is the past that one ordinary watch tells: each event, once, in order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import Compacted, ConnectionFailed, StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import history, v3_connection, v3_history, v3_lineage, wire
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_history import Segments
from etcd_watcher.stores.v3_knocks import QUIET_KNOCKS, Knocks
from etcd_watcher.stores.v3_response import Response, Unread
from tests.stores.v3_past import (
    ALL,
    DENSE,
    NOTHING,
    ONE,
    RARE,
    TIMEOUT,
    compact,
    mixed,
    told_by_a_watch,
    truth_of,
    write,
)

REVISIONS = 8_000

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of the pieces that are here, each time that some came."""
    sizes: list[int] = []
    hold_less = Segments._hold_less

    def watched(segments: Segments) -> None:
        hold_less(segments)
        sizes.append(segments._plan.cost)

    monkeypatch.setattr(Segments, "_hold_less", watched)
    return sizes


@pytest.fixture
def connect(connect: Callable[..., V3Store]) -> Callable[..., V3Store]:
    """Open stores that read the past by watches alone."""
    return partial(connect, history_copy_bytes=0)


def told(store: V3Store, scope: KeyRange, first: int, last: int) -> list[Event]:
    return list(itertools.chain.from_iterable(replay(store, scope, first, last)))


def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the events that came by segments, and those by an ordinary watch."""
    counts = {"segments": 0, "watch": 0}
    by_a_watch, by_segments = history.by_a_watch, V3Store.history

    def counted(way: str, batches: Any) -> Any:
        while True:
            try:
                events = next(batches)
            except StopIteration as end:
                return end.value
            counts[way] += len(events)
            yield events

    monkeypatch.setattr(history, "by_a_watch", lambda *args: counted("watch", by_a_watch(*args)))
    monkeypatch.setattr(V3Store, "history", lambda *args: counted("segments", by_segments(*args)))
    return counts


@pytest.mark.parametrize("scope", [ALL, DENSE, RARE, ONE, NOTHING], ids=lambda each: each.start)
@pytest.mark.parametrize("first", [1, 5000], ids=["from the start", "from the middle"])
def test_it_tells_what_a_watch_tells(
    past: LocalEtcd, connect: Callable[..., V3Store], scope: KeyRange, first: int
) -> None:
    store = connect(past)
    last = store.revision(TIMEOUT)
    assert last > REVISIONS / 2
    assert told(store, scope, first, last) == truth_of(past, scope, first, last)


@pytest.mark.parametrize("watchers", [1, 2, 7])
def test_fewer_watchers_tell_the_same(
    past: LocalEtcd, connect: Callable[..., V3Store], watchers: int
) -> None:
    store = connect(past, history_watchers=watchers)
    last = store.revision(TIMEOUT)
    assert told(store, DENSE, 1, last) == truth_of(past, DENSE, 1, last)


def test_a_long_past_comes_in_segments_and_a_short_one_does_not(
    past: LocalEtcd, connect: Callable[..., V3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(past)
    last = store.revision(TIMEOUT)
    counts = ways(monkeypatch)
    events = told(store, ALL, 1, last)
    assert counts == {"segments": len(events), "watch": 0}
    assert told(store, ALL, last - 100, last)
    assert 0 < counts["watch"] == sum(counts.values()) - len(events)


def test_it_ends_at_the_revision_asked_for_and_splits_no_transaction(
    past: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    store = connect(past)
    batches = list(replay(store, DENSE, 1501, 3900))
    for one, next_one in itertools.pairwise(batches):
        assert one[-1].revision < next_one[0].revision
    assert batches[0][0].revision >= 1501
    assert batches[-1][-1].revision <= 3900


def test_values_before_are_asked_for_where_they_were_forgotten(
    past: LocalEtcd, connect: Callable[..., V3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v3_lineage, "KNOWN_BYTES", 50_000)
    asked: list[str] = []
    call, begin = Connection.call, Connection.begin

    def noted(connection: Connection, name: str, request: Any, timeout: float) -> Any:
        asked.append(name)
        return call(connection, name, request, timeout)

    def noted_too(connection: Connection, name: str, requests: Any, timeout: float) -> Any:
        asked.extend([name] * len(requests))
        return begin(connection, name, requests, timeout)

    monkeypatch.setattr(Connection, "call", noted)
    monkeypatch.setattr(Connection, "begin", noted_too)
    store = connect(past)
    last = store.revision(TIMEOUT)
    assert told(store, ALL, 1, last) == truth_of(past, ALL, 1, last)
    assert asked.count("range") > 100
    assert "txn" not in asked  # etcd 3.5.0 to 3.5.4 panic when one ends while they read for it


def test_a_server_outlives_who_goes_while_it_reads_the_values_before(any_version: str) -> None:
    with LocalEtcd(version=any_version, v2=False) as server:
        for number in range(40):
            server.put(f"k/{number}", "x" * 1_000_000)
        server.put("mark", "1")
        revision = server.revision
        requests = [
            wire.RangeRequest(key=b"k/%d" % number, revision=revision, serializable=True)
            for number in range(40)
        ]
        for _ in range(10):
            connection = Connection(server.url, Credentials())
            answers = connection.begin("range", requests, TIMEOUT)
            assert len(next(answers)().kvs) == 1
            connection.close()
        assert server.running
        assert server.get("mark") == "1"


def test_no_more_watchers_are_in_flight_than_allowed(
    past: LocalEtcd, connect: Callable[..., V3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    receive = Segments._receive

    def watched(segments: Segments, response: Response) -> None:
        nonlocal most
        receive(segments, response)
        most = max(most, sum(map(bool, segments._asked)) + len(segments._watching))

    monkeypatch.setattr(Segments, "_receive", watched)
    store = connect(past, history_watchers=3)
    told(store, ALL, 1, store.revision(TIMEOUT))
    assert most == 3


def test_a_reader_who_stands_still_leaves_the_server_alone(
    past: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    store = connect(past, history_watchers=4)
    last = store.revision(TIMEOUT)
    batches = replay(store, ALL, 1, last)
    taken = list(next(batches))
    (segments,) = store._past.readers
    assert isinstance(segments, Segments)
    with segments._state:
        assert segments._state.wait_for(lambda: not segments._watching, TIMEOUT)
        assert not any(segments._asked)
    assert [*taken, *itertools.chain.from_iterable(batches)] == truth_of(past, ALL, 1, last)


def test_a_server_that_reads_for_long_is_waited_for(
    any_version: str, connect: Callable[..., V3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round for 500,000 revisions takes it seconds."""
    asked = 0
    with LocalEtcd(version=any_version) as server:
        write(server, mixed(4000))
        store = connect(server, history_watchers=1)
        last = store.revision(TIMEOUT)
        expected = told_by_a_watch(store, ALL, 1, last)
        counts = ways(monkeypatch)

        class Counted(Knocks):
            @property
            def are_in_vain(self) -> bool:
                nonlocal asked
                asked += 1
                if asked == 3 * QUIET_KNOCKS:
                    server.resume()
                return super().are_in_vain

        monkeypatch.setattr(v3_history, "Knocks", Counted)
        batches = replay(store, ALL, 1, last)
        events = list(next(batches))
        server.pause()
        events += itertools.chain.from_iterable(batches)
    assert asked >= 3 * QUIET_KNOCKS
    assert events == expected
    assert counts == {"segments": len(events), "watch": 0}


def test_memory_is_bounded_while_later_segments_wait(
    past: LocalEtcd,
    connect: Callable[..., V3Store],
    monkeypatch: pytest.MonkeyPatch,
    held: list[int],
) -> None:
    bound = 250_000
    monkeypatch.setattr(v3_history, "HELD_BYTES", bound)
    store = connect(past)
    last = store.revision(TIMEOUT)
    assert told(store, ALL, 1, last) == truth_of(past, ALL, 1, last)
    assert len(held) > 5
    assert bound / 4 < max(held) <= bound


def test_what_is_written_meanwhile_disturbs_nothing(
    server: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    write(server, mixed(4000))
    store = connect(server)
    last = store.revision(TIMEOUT)
    done = threading.Event()

    def write_on() -> None:
        for seed in itertools.count(2):
            write(server, mixed(200, seed))
            if done.is_set():
                return

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        events = [told(store, scope, 1, last) for scope in (ALL, RARE)]
    finally:
        done.set()
        writer.join()
    assert events == [told_by_a_watch(store, scope, 1, last) for scope in (ALL, RARE)]


class Begun:
    """The past of a store of which a part has been read, and what a watch tells of all of it."""

    def __init__(self, store: V3Store) -> None:
        self.last = store.revision(TIMEOUT)
        self.truth = told_by_a_watch(store, ALL, 1, self.last)
        self._batches = replay(store, ALL, 1, self.last)
        self.events = list(next(self._batches))

    def read_on(self) -> None:
        self.events.extend(itertools.chain.from_iterable(self._batches))

    def assert_broken_off(self) -> None:
        """What was read is right, and not all."""
        assert self.events == self.truth[: len(self.events)]
        assert len(self.events) < len(self.truth)


def test_a_compaction_in_the_middle_is_told_behind_all_that_came_before(
    server: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    write(server, mixed(4500))
    past = Begun(connect(server, history_watchers=1))
    compact(server, past.last - 10)
    with pytest.raises(Compacted) as lost:
        past.read_on()
    assert lost.value.revision == past.last - 10
    past.assert_broken_off()


def test_a_compaction_behind_the_reader_is_none_of_its_business(
    server: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    write(server, mixed(4500))
    past = Begun(connect(server, history_watchers=2))
    compact(server, past.events[-1].revision)
    past.read_on()
    assert past.events == past.truth


def test_a_compacted_start_is_told_at_once(
    server: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    last = write(server, mixed(3000))
    compact(server, last - 5)
    store = connect(server)
    with pytest.raises(Compacted) as lost:
        next(replay(store, ALL, 1, store.revision(TIMEOUT)))
    assert lost.value.revision == last - 5


def test_a_server_that_goes_in_the_middle_is_gone_on_with(
    server: LocalEtcd, connect: Callable[..., V3Store]
) -> None:
    write(server, mixed(4000))
    store = connect(server, history_watchers=1)
    past = Begun(store)
    server.kill()
    with pytest.raises(ConnectionFailed):
        past.read_on()
    past.assert_broken_off()
    server.start()
    past.events += told(store, ALL, past.events[-1].revision + 1, past.last)
    assert past.events == past.truth


def test_values_too_large_for_one_message_come_in_parts(
    server: LocalEtcd, connect: Callable[..., V3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FAR", 100)
    monkeypatch.setattr(v3_connection, "MESSAGE_BOUND", 4 * 1024 * 1024)
    monkeypatch.setattr(v3_history, "HELD_BYTES", 8 * 1024 * 1024)
    write(server, mixed(1000))
    write(server, [[(b"dense/%d" % number, bytes(60_000))] for number in range(300)])
    write(server, [[(b"dense/%d" % number, b"small again") for number in range(100)]])
    write(server, mixed(3000, seed=2))
    in_parts = []
    keep = Segments._keep

    def watched(segments: Segments, head: Any, changes: Unread) -> None:
        in_parts.append(segments._in_fragments)
        keep(segments, head, changes)

    monkeypatch.setattr(Segments, "_keep", watched)
    store = connect(server)
    last = store.revision(TIMEOUT)
    events: list[Event] = []
    # A server that is long silent is asked by a watch: whose response is too large, and comes in
    # parts where one begins again behind what came.
    for _ in range(3):
        begin = events[-1].revision + 1 if events else 1
        with suppress(ConnectionFailed):
            for batch in replay(store, ALL, begin, last):
                events += batch
            break
    monkeypatch.undo()
    assert events == told_by_a_watch(connect(server), ALL, 1, last)
    # Whether small ones come whole again, the server decides: it serves a watcher that it has not
    # heard to be cancelled within 0.1 s once more, in parts as before.
    assert any(in_parts)


@pytest.mark.slow
def test_values_of_a_megabyte_come_once_and_in_order(
    server: LocalEtcd,
    connect: Callable[..., V3Store],
    monkeypatch: pytest.MonkeyPatch,
    held: list[int],
) -> None:
    monkeypatch.setattr(history, "FAR", 10)
    values = {b"dense/%d" % number: b"%08d" % number * 131_072 for number in range(150)}
    write(server, [[each] for each in values.items()])
    store = connect(server)
    events = told(store, ALL, 1, store.revision(TIMEOUT))
    assert {event.raw_key: event.raw_value for event in events} == values
    revisions = [event.revision for event in events]
    assert revisions == sorted(set(revisions))
    assert len(events) == len(values)
    assert max(held) <= v3_history.HELD_BYTES


def test_keys_that_went_with_their_lease_are_told_as_expired(
    server: LocalEtcd, connect: Callable[..., V3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FAR", 3)
    store = connect(server)
    store.put(b"goes", b"1", 1, TIMEOUT)
    store.put(b"is deleted", b"1", 1000, TIMEOUT)
    store.delete(b"is deleted", TIMEOUT, prefix=False)
    watch = store.watch(KeyRange.of_key(b"goes"), 2)
    while not any(event.expired for event in watch.read().events):
        pass
    watch.close()
    last = store.revision(TIMEOUT)
    events = told(store, ALL, 1, last)
    assert events == told_by_a_watch(store, ALL, 1, last)
    assert [event.key for event in events if event.expired] == ["goes"]


def test_closing_the_store_ends_it(past: LocalEtcd, connect: Callable[..., V3Store]) -> None:
    store = connect(past, history_watchers=2)
    batches = replay(store, ALL, 1, store.revision(TIMEOUT))
    next(batches)
    store.close()
    with pytest.raises(StoreClosed):
        for _ in batches:
            pass


def test_it_ends_with_its_reader(past: LocalEtcd, connect: Callable[..., V3Store]) -> None:
    store = connect(past, history_watchers=2)
    batches = replay(store, ALL, 1, store.revision(TIMEOUT))
    next(batches)
    assert len(store._past.readers) == 1
    batches.close()
    assert not store._past.readers
