"""The values before on a live watch are those that the server tells with each event."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v3_values, wire
from etcd_watcher.stores.rpc import RpcError
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_events import decode
from etcd_watcher.stores.v3_lineage import NOTHING, Lineage
from etcd_watcher.stores.v3_outbox import create
from etcd_watcher.stores.v3_survey import Survey
from etcd_watcher.stores.v3_target import Part, Target
from etcd_watcher.stores.v3_values import Values
from etcd_watcher.stores.v3_watch import V3Watch
from tests.stores.v3_past import ALL, TIMEOUT, compact, mixed, write

pytestmark = pytest.mark.usefixtures("no_leaks")

A = KeyRange.of_prefix(b"a/")
B = KeyRange.of_prefix(b"b/")


class Told:
    """What is told, collected by a thread of its own."""

    def __init__(self, told: Iterable[list[Event]]) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._told = told
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self) -> None:
        for events in self._told:
            with self._changed:
                self.events += events
                self._changed.notify_all()

    def until(self, revision: int) -> list[Event]:
        with self._changed:
            assert self._changed.wait_for(
                lambda: self.events and self.events[-1].revision >= revision, TIMEOUT
            )
        return [event for event in self.events if event.revision <= revision]

    def join(self) -> None:
        self._thread.join()


class Truth(Told):
    """What the server tells, with the values before that it finds."""

    def __init__(self, server: LocalEtcd, scope: KeyRange, after: int) -> None:
        self._connection = Connection(server.url, Credentials())
        self._call = self._connection.watch.begin()
        self._call.send(create(scope, after, prev_values=True, fragment=False))
        assert next(self._call).created
        super().__init__(self._responses())

    def _responses(self) -> Iterator[list[Event]]:
        with suppress(RpcError):  # it is cancelled
            for response in self._call:
                yield decode(response.events, 0, self._connection)

    def close(self) -> None:
        self._call.cancel()
        self.join()
        self._connection.close()


def read(watch: V3Watch) -> Iterator[list[Event]]:
    """Give what a watch tells until it is closed."""
    with suppress(StoreClosed):
        while True:
            yield watch.read().events


@pytest.fixture
def truth(server: LocalEtcd) -> Iterator[Callable[..., Truth]]:
    made: list[Truth] = []

    def begin(scope: KeyRange = ALL, after: int = 0) -> Truth:
        made.append(Truth(server, scope, after))
        return made[-1]

    yield begin
    for each in made:
        each.close()


@pytest.fixture
def watch(store: V3Store) -> Iterator[Callable[..., V3Watch]]:
    made: list[V3Watch] = []

    def begin(scope: KeyRange = ALL, after: int = 0) -> V3Watch:
        made.append(store.watch(scope, after))
        assert made[-1].read().opened
        return made[-1]

    yield begin
    for each in made:
        each.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys whose values before are asked for, each by itself."""
    keys: list[bytes] = []
    begin = Connection.begin

    def noted(connection: Connection, name: str, requests: Any, timeout: float) -> Any:
        keys.extend(each.key for each in requests)
        return begin(connection, name, requests, timeout)

    monkeypatch.setattr(Connection, "begin", noted)
    return keys


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the values before by ourselves as soon as there was an event."""
    monkeypatch.setattr(v3_values, "EVENTS_FIRST", 1)
    monkeypatch.setattr(v3_values, "KEYS_FOR_AN_EVENT", 10_000)


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each change of who finds the values before: whether it is the server from then on."""
    made: list[bool] = []
    hand_on = Values.hand_on

    def noted(values: Values, part: Part, heir: Part) -> None:
        made.append(heir.by_server)
        hand_on(values, part, heir)

    monkeypatch.setattr(Values, "hand_on", noted)
    return made


def make_ours(watch: V3Watch, store: V3Store, key: bytes = b"busy") -> list[Event]:
    """Write a key, and read, until the watch finds the values before by itself."""
    events: list[Event] = []
    for _ in range(1_000):
        if not any(part.by_server for part in watch._target.parts):
            return events
        events += until(watch, store.put(key, b"", None, TIMEOUT))
    raise AssertionError


def until(watch: V3Watch, revision: int) -> list[Event]:
    """Read up to the change with a revision."""
    events: list[Event] = []
    while not events or events[-1].revision < revision:
        events += watch.read().events
    return events


def grant(server: LocalEtcd, ttl: int, lease: int = 0) -> int:
    connection = Connection(server.url, Credentials())
    try:
        request = wire.LeaseGrantRequest(TTL=ttl, ID=lease)
        return int(connection.call("grant", request, TIMEOUT).ID)
    finally:
        connection.close()


def revoke(server: LocalEtcd, lease: int) -> None:
    connection = Connection(server.url, Credentials())
    try:
        connection.call("revoke", wire.LeaseRevokeRequest(ID=lease), TIMEOUT)
    finally:
        connection.close()


def hurt(
    server: LocalEtcd, store: V3Store, seed: int, told: Callable[[int], object], steps: int = 100
) -> int:
    """Change keys in all ways that there are.

    Before a lease ends, `told` waits until all before is told: of a key that was deleted just before
    its lease ended nobody can say which it was.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    leases = [grant(server, 1000) for _ in range(5)]
    for step in range(steps):
        way = chance.random()
        if way < 0.8:
            lease = chance.choice(leases) if leases and chance.random() < 0.3 else 0
            write(server, mixed(chance.randint(1, 20), seed * 1000 + step), lease)
        elif way < 0.9:
            store.delete(f"dense/{chance.randint(0, 9)}".encode(), TIMEOUT, prefix=True)
        elif way < 0.95 and leases:
            told(store.put(b"dense/1", b"mark", None, TIMEOUT))
            revoke(server, leases.pop())
        else:
            store.put(b"dense/1", b"single", None, TIMEOUT)
    return store.put(b"dense/end", b"", None, TIMEOUT)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("how_long", ["for good", "a few events"])
@pytest.mark.parametrize("seed", [1, 2])
def test_they_are_those_that_the_server_tells(
    server: LocalEtcd,
    store: V3Store,
    truth: Callable[..., Truth],
    watch: Callable[..., V3Watch],
    asked: list[bytes],
    changes: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    how_long: str,
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    if how_long == "a few events":
        monkeypatch.setattr(Lineage, "outgrows", lambda *_: chance.random() < 0.1)
    write(server, mixed(500, seed + 100))
    after = store.revision(TIMEOUT)
    told, watching = truth(ALL, after), watch(ALL, after)
    ours = Told(read(watching))
    try:
        last = hurt(
            server, store, seed, lambda revision: (told.until(revision), ours.until(revision))
        )
        assert ours.until(last) == told.until(last)
    finally:
        watching.close()
        ours.join()
    assert any(event.expired for event in ours.events)
    assert any(
        event.lease and not event.expired for event in ours.events if event.raw_value is None
    )
    assert not asked
    assert changes[:1] == [False]
    assert len(changes) > 2 if how_long == "a few events" else len(changes) == 1


@pytest.mark.usefixtures("soon")
def test_nothing_is_asked_for_once_all_is_known(
    store: V3Store, watch: Callable[..., V3Watch], asked: list[bytes]
) -> None:
    for key in (b"old", b"gone"):
        after = store.put(key, b"0", None, TIMEOUT)
    watching = watch(ALL, after)
    make_ours(watching, store)
    revisions = [
        store.put(key, b"%d" % number, None, TIMEOUT)
        for number in range(1, 6)
        for key in (b"old", b"new")
    ]
    store.delete(b"gone", TIMEOUT, prefix=False)
    events = until(watching, revisions[-1] + 1)
    before = {"old": [b"0", b"1", b"2", b"3", b"4"], "new": [None, b"1", b"2", b"3", b"4"]}
    for name, values in before.items():
        assert [event.raw_prev_value for event in events if event.key == name] == values
    assert events[-1].raw_prev_value == b"0"
    assert not asked


@pytest.mark.usefixtures("soon")
def test_of_what_changed_while_another_range_was_watched_the_new_value_is_told(
    store: V3Store, watch: Callable[..., V3Watch]
) -> None:
    after = store.put(b"a/key", b"1", None, TIMEOUT)
    watching = watch(A, after)
    make_ours(watching, store, b"a/busy")
    store.put(b"a/gone", b"1", None, TIMEOUT)
    until(watching, store.put(b"a/key", b"2", None, TIMEOUT))
    watching.retarget(B, store.revision(TIMEOUT))
    assert watching.read().opened
    make_ours(watching, store, b"b/busy")
    store.put(b"a/key", b"unseen", None, TIMEOUT)
    after = store.put(b"a/gone", b"unseen", 1000, TIMEOUT)
    watching.retarget(A, after)
    assert watching.read().opened
    make_ours(watching, store, b"a/busy")
    store.delete(b"a/gone", TIMEOUT, prefix=False)
    one, two = until(watching, store.put(b"a/key", b"3", None, TIMEOUT))
    assert (one.raw_prev_value, two.raw_prev_value) == (b"unseen", b"unseen")
    assert one.lease
    assert not one.expired


@pytest.mark.usefixtures("soon")
def test_a_lease_whose_number_is_given_again_has_not_ended(
    server: LocalEtcd, store: V3Store, watch: Callable[..., V3Watch]
) -> None:
    watching = watch(ALL, store.revision(TIMEOUT))
    make_ours(watching, store)
    ends = []
    for end in (lambda: revoke(server, 77), lambda: store.delete(b"k", TIMEOUT, prefix=False)):
        grant(server, 1000, 77)
        write(server, [[(b"k", b"1")]], lease=77)
        end()
        (_, event) = until(watching, store.revision(TIMEOUT))
        ends.append(event.expired)
    assert ends == [True, False]


@pytest.mark.usefixtures("soon")
def test_a_compaction_before_a_change_is_read_costs_nothing(
    server: LocalEtcd, store: V3Store, watch: Callable[..., V3Watch]
) -> None:
    after = store.put(b"k", b"1", None, TIMEOUT)
    watching = watch(ALL, after)
    make_ours(watching, store)
    store.put(b"k", b"2", None, TIMEOUT)
    last = store.put(b"k", b"3", None, TIMEOUT)
    compact(server, last)
    assert [event.raw_prev_value for event in until(watching, last)] == [b"1", b"2"]


def test_of_many_keys_the_server_goes_on_finding_them(
    server: LocalEtcd,
    store: V3Store,
    watch: Callable[..., V3Watch],
    asked: list[bytes],
    changes: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Be they too many to remember, or for the events that there have been."""
    keys = [b"k/%05d" % number for number in range(3_000)]
    after = write(server, [[(key, b"0")] for key in keys])
    watching = watch(ALL, after)
    revision = write(server, [[(key, b"1")] for key in keys[:300]])
    events = until(watching, revision)
    monkeypatch.setattr(v3_values, "KNOWN_BYTES", 1_000_000)
    revision = write(server, [[(key, b"1")] for key in keys[300:]])
    events += until(watching, revision)
    assert len(events) == 3_000
    assert {event.raw_prev_value for event in events} == {b"0"}
    (part,) = watching._target.parts
    assert part.by_server
    assert not asked
    assert not changes


@pytest.mark.usefixtures("soon")
def test_memory_is_bounded(
    store: V3Store,
    watch: Callable[..., V3Watch],
    changes: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(v3_values, "KNOWN_BYTES", 100_000)
    watching = watch(ALL, store.revision(TIMEOUT))
    make_ours(watching, store)
    most = 0
    for number in range(1_000):
        if number >= 100 and changes[1:]:
            break
        revision = store.put(b"%d" % (number % 60), bytes(5_000), None, TIMEOUT)
        until(watching, revision)
        (part,) = watching._target.parts
        # While a second watcher is on its way it goes on growing, for 0.1 s where that is late.
        if part.lineage is not None and part.heir is None:
            most = max(most, sum(each.size for each in part.lineage._known.values()))
    assert 50_000 < most <= 125_000 + 11_000
    assert changes == [False, True]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("way", ["compacted", "closed", "refused"])
def test_where_the_range_cannot_be_read_the_server_goes_on_finding_them(
    server: LocalEtcd,
    store: V3Store,
    watch: Callable[..., V3Watch],
    changes: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    after = store.put(b"k", b"0", None, TIMEOUT)
    watching = watch(ALL, after)
    tries: list[int] = []

    class Failing(Survey):
        def __init__(self, connection: Connection, scope: KeyRange, revision: int, *most: int):
            tries.append(revision)
            if way == "closed":
                connection = Connection(server.url, Credentials())
                connection.close()
            elif way == "compacted":
                compact(server, store.put(b"other", b"", None, TIMEOUT))
            else:
                revision += 1_000
            super().__init__(connection, scope, revision, *most)

    monkeypatch.setattr(v3_values, "Survey", Failing)
    events: list[Event] = []
    for number in range(1, 41):
        events += until(watching, store.put(b"k", b"%d" % number, None, TIMEOUT))
    values = [event.raw_prev_value for event in events if event.key == "k"]
    assert values == [b"%d" % number for number in range(40)]
    assert not changes
    assert 3 <= len(tries) <= 7


@pytest.fixture
def late() -> Any:
    """A connection on which no page ever comes."""
    page = SimpleNamespace(done=lambda: False)
    return SimpleNamespace(
        metadata=lambda _: [], calls={"range": SimpleNamespace(begin=lambda *_, **__: page)}
    )


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("in_parts", [True, False])
def test_parts_are_left_to_a_server_that_would_make_no_second_watcher_in_time(
    late: Any, *, in_parts: bool
) -> None:
    values = Values(late, wanted=True, in_parts=in_parts)
    part, _ = Target(ALL, 0, [A, B]).parts
    assert not values.learn(part, [NOTHING._replace(raw_key=b"a/1", raw_value=b"")])
    assert (part.survey is not None) is in_parts


def test_what_is_told_while_a_page_is_late_is_bounded(late: Any) -> None:
    survey = Survey(late, ALL, 1, 1_000, 100_000)
    for number in range(9):
        survey.take([NOTHING._replace(raw_key=b"%d" % number, raw_value=bytes(10_000))])
        assert not survey.failed
    survey.take([NOTHING._replace(raw_key=b"last", raw_value=bytes(10_000))])
    assert survey.failed
