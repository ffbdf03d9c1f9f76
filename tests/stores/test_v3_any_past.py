"""Any past, read from a copy and by segments, is what a bare watch of all keys tells of it.

Chance writes it: the seed is in the name of a test that fails, and gives the same past again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import history, v3_past, wire
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_database import DatabaseCopy
from etcd_watcher.stores.v3_history import Segments
from tests.stores.v3_past import ALL, TIMEOUT, compact

Connect = Callable[..., V3Store]

Told = tuple[bytes, bytes | None, bytes | None, int, int, int, int, bool]
"""Of a change: key, value, value before, revision, created, version, lease, expired."""

pytestmark = pytest.mark.usefixtures("no_leaks")


class Chance:
    """Writes a past of any kind, and chooses what of it is read."""

    def __init__(self, seed: int, server: LocalEtcd) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._server = server
        self._connection = Connection(server.url, Credentials())
        count = self._chance.choice([5, 40, 200])
        self.keys = sorted({b"one", b"other", *(self._key() for _ in range(count))})
        self._leases: list[int] = []
        self.gone: set[int] = set()
        """Leases that have ended."""
        self.first = self.last = 1
        """The revisions that the server still has."""

    def close(self) -> None:
        self._connection.close()

    def _key(self) -> bytes:
        size = self._chance.choice([1, 1, 2, 3, 20, 126, 127, 128, 129, 300])
        return bytes(self._chance.choice(b"\0\0a/\x7f\x80\xff\xff") for _ in range(size))

    def _value(self) -> bytes:
        size = self._chance.choices(
            [0, 1, 20, 127, 128, 4000, 17_000, 1_000_000], [20, 20, 200, 20, 20, 10, 3, 1]
        )[0]
        return self._chance.randbytes(size)

    def write(self, transactions: int) -> None:
        for _ in range(transactions):
            {
                "several": self._write_several,
                "range": self._delete_range,
                "grant": self._grant,
                "revoke": self._revoke,
                "compact": self._compact,
            }[
                self._chance.choices(
                    ["several", "range", "grant", "revoke", "compact"], [300, 10, 8, 4, 1]
                )[0]
            ]()

    def _write_several(self) -> None:
        room = 1_300_000  # a request has 1.5 MiB at the most
        operations = []
        count = self._chance.choices([1, 2, 5, 60], [80, 10, 8, 2])[0]
        for key in self._chance.sample(self.keys, min(count, len(self.keys))):
            if self._chance.random() < 0.25:
                operations.append(wire.RequestOp(delete=wire.DeleteRangeRequest(key=key)))
                continue
            value = self._value()
            room -= len(value)
            if room > 0:
                lease = self._chance.choice([0, 0, 0, 0, *self._leases[-1:]])
                put = wire.PutRequest(key=key, value=value, lease=lease)
                operations.append(wire.RequestOp(put=put))
        self._call("txn", wire.TxnRequest(success=operations))

    def _delete_range(self) -> None:
        begin, end = sorted(self._chance.sample(self.keys, 2))
        if begin < end:
            self._call("delete", wire.DeleteRangeRequest(key=begin, range_end=end))

    def _grant(self) -> None:
        self._leases.append(self._call("grant", wire.LeaseGrantRequest(TTL=1000)).ID)

    def _revoke(self) -> None:
        if self._leases:
            lease = self._leases.pop()
            self._call("revoke", wire.LeaseRevokeRequest(ID=lease))
            self.gone.add(lease)

    def _compact(self) -> None:
        if self.first < self.last:
            at = self._chance.randint(self.first, self.last)
            compact(self._server, at)
            # The revision itself is left out: etcd may forget deletions made in it.
            self.first = at + 1

    def _call(self, name: str, request: Any) -> Any:
        answer = self._connection.call(name, request, TIMEOUT)
        self.last = max(self.last, answer.header.revision)
        return answer

    def scope(self) -> KeyRange:
        one, other = sorted(self._chance.sample(self.keys, 2))
        return self._chance.choice(
            [
                ALL,
                KeyRange.of_key(one),
                KeyRange.of_prefix(one[: self._chance.randint(1, 3)]),
                KeyRange.of_prefix(b"\xff"),
                KeyRange(one, other if one < other else None),
                KeyRange(other, None),
                KeyRange.of_key(b"nobody wrote this"),
            ]
        )

    def revisions(self) -> tuple[int, int]:
        first, last = sorted(self._chance.choices(range(self.first, self.last + 1), k=2))
        return self._chance.choice([(self.first, self.last), (first, last), (first, self.last)])

    def told(self) -> list[Told]:
        """Give what one watch of all keys tells, with nothing of ours around it."""
        create = wire.WatchCreateRequest(
            key=b"\0", range_end=b"\0", start_revision=self.first, prev_kv=True
        )
        call = self._connection.watch.begin()
        call.send(wire.WatchRequest(create_request=create))
        told: list[Told] = []
        while self.first <= self.last and (not told or told[-1][3] < self.last):
            told += [self._fields(each) for each in next(call).events]
        call.cancel()
        return told

    def _fields(self, change: Any) -> Told:
        kv, before = change.kv, change.prev_kv if change.HasField("prev_kv") else None
        prev = None if before is None else before.value
        if change.type == 0:
            made = (kv.mod_revision, kv.create_revision, kv.version, kv.lease, False)
            return (kv.key, kv.value, prev, *made)
        lease = 0 if before is None else before.lease
        return (kv.key, None, prev, kv.mod_revision, 0, 0, lease, lease in self.gone)


@pytest.fixture
def chance(request: pytest.FixtureRequest, server: LocalEtcd) -> Iterator[Chance]:
    chance = Chance(request.param, server)
    yield chance
    chance.close()


def fields(event: Event) -> Told:
    made = (event.revision, event.created, event.version, event.lease, event.expired)
    return (event.raw_key, event.raw_value, event.raw_prev_value, *made)


def check(chance: Chance, server: LocalEtcd, connect: Connect, times: int) -> None:
    stores = [connect(server), connect(server, history_copy_bytes=0)]
    truth = chance.told()
    for _ in range(times):
        scope, (first, last) = chance.scope(), chance.revisions()
        expected = [each for each in truth if first <= each[3] <= last and each[0] in scope]
        for store in stores:
            told = [fields(each) for some in replay(store, scope, first, last) for each in some]
            assert told == expected, (scope, first, last, store.history_copy_bytes)


@pytest.mark.parametrize("chance", range(2), indirect=True)
def test_both_ways_tell_what_a_bare_watch_tells(
    chance: Chance,
    server: LocalEtcd,
    connect: Connect,
    ways: dict[type, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "FAR", 3)
    monkeypatch.setattr(v3_past, "FAR", 3)
    for _ in range(2):
        chance.write(150)
        check(chance, server, connect, 3)
    assert ways[DatabaseCopy]
    assert ways[Segments]


@pytest.mark.slow
@pytest.mark.parametrize("chance", range(100, 110), indirect=True)
def test_both_ways_tell_what_a_bare_watch_tells_of_a_long_past(
    chance: Chance, server: LocalEtcd, connect: Connect
) -> None:
    for _ in range(3):
        chance.write(3000)
        check(chance, server, connect, 10)
