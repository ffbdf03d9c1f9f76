"""A store in memory, for tests in which a fault must come at an exact moment.

It keeps a history of transactions as etcd does, serves watches from any revision that is not
compacted, and does at a chosen call what a network does at the worst time: `fail_next` raises,
`before` runs a function first, and a watch can be held, failed, or made to give a batch by hand.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from etcd_watcher.errors import Compacted, Conflict, ConnectionFailed, StoreClosed
from etcd_watcher.event import Event, EventType
from etcd_watcher.keys import KeyRange, to_text
from etcd_watcher.stores.base import (
    Batch,
    Cluster,
    KeyHead,
    KeyPage,
    KeyValue,
    Member,
    Snapshot,
    TimeToLive,
)

PATIENCE = 10.0
"""Seconds after which something that a test waits for is held to never come."""


def event(
    revision: int,
    key: bytes | str = b"k",
    value: bytes | str | None = b"v",
    *,
    prev: bytes | None = None,
) -> Event:
    """Make an event as the v3 store would."""
    raw_key = key if isinstance(key, bytes) else key.encode()
    raw_value = value.encode() if isinstance(value, str) else value
    deleted = raw_value is None
    return Event(
        type=EventType.DELETE if deleted else EventType.PUT,
        raw_key=raw_key,
        raw_value=raw_value,
        raw_prev_value=prev,
        revision=revision,
        created=0 if deleted else revision,
        version=0 if deleted else 1,
        lease=0,
        action="delete" if deleted else "put",
        expired=False,
        synthetic=False,
    )


class FakeWatch:
    """See `stores.base.Watch`."""

    def __init__(self, store: FakeStore, scope: KeyRange, after: int) -> None:
        self.store = store
        self.targets: list[tuple[KeyRange, int]] = [(scope, after)]
        """Every range it was ever told to watch, with the revision behind which to begin."""
        self.acknowledged = False
        self.held = False
        """While set, `read` gives nothing but what was pushed, and faults."""
        self.probes: list[int] = []
        self.answers = 0
        """Probes that were answered."""
        self.reads = 0
        """Reads that were begun: of a batch that was given out, the next tells that it was taken."""
        self.closed = False
        self._given = after
        self._wanted = 0
        self._pushed: deque[Batch | BaseException] = deque()

    @property
    def scope(self) -> KeyRange:
        return self.targets[-1][0]

    def push(self, next_read: Batch | BaseException) -> None:
        """Have the next `read` give a batch, or raise an error, before anything else."""
        with self.store.changed:
            self._pushed.append(next_read)
            self.store.changed.notify_all()

    def hold(self, held: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """Give nothing more, or go on."""
        with self.store.changed:
            self.held = held
            self.store.changed.notify_all()

    def read(self) -> Batch:
        with self.store.changed:
            self.reads += 1
            self.store.changed.notify_all()
            while True:
                if self.closed:
                    raise StoreClosed("this watch is closed")
                number = self.store.watches.index(self) + 1
                if self.reads > self.store.breaks.get(number, self.reads):
                    raise ConnectionFailed("the connection broke")
                if self._pushed:
                    pushed = self._pushed.popleft()
                    self.store.changed.notify_all()
                    if isinstance(pushed, BaseException):
                        raise pushed
                    return pushed
                batch = None if self.held else self._next()
                if batch is not None:
                    self.store.changed.notify_all()
                    return batch
                self.store.changed.wait()

    def _next(self) -> Batch | None:
        scope = self.scope
        if not self.acknowledged:
            if self.store.silent:
                return None
            refusal = self.store.refusal(scope)
            if refusal is not None:
                raise refusal
            self.acknowledged = True
            return Batch(scope, opened=True)
        if self._given + 1 < self.store.compacted:
            raise Compacted(self.store.compacted)
        ours: list[Event] = []
        for transaction in self.store.transactions_after(self._given):
            self._given = transaction[0].revision
            ours += [each for each in transaction if each.raw_key in scope]
            if ours and len({each.revision for each in ours}) == self.store.at_once:
                break
        if ours:
            return Batch(scope, ours)
        if self._wanted and not self.store.deaf_to_probes:
            self._wanted = 0
            self.answers += 1
            return Batch(scope, complete=self.store.now)
        return None

    def retarget(self, scope: KeyRange, after: int) -> None:
        with self.store.changed:
            self.targets.append((scope, after))
            self._given = after
            self.acknowledged = False
            self.store.changed.notify_all()

    def watches(self, scope: KeyRange) -> bool:
        return True

    def probe(self, revision: int) -> None:
        self.store.reach("probe")
        with self.store.changed:
            self.probes.append(revision)
            self._wanted = max(self._wanted, revision)
            self.store.changed.notify_all()

    def close(self) -> None:
        with self.store.changed:
            self.closed = True
            self.store.changed.notify_all()


class FakeStore:
    """See `stores.base.Store`. Everything in it is guarded by, and told by, `changed`."""

    def __init__(self, endpoints: tuple[str, ...] = ("http://one:2379",)) -> None:
        self.api = "v3"
        self.endpoints = endpoints
        self.changed = threading.Condition(threading.RLock())
        self.now = 1
        self.compacted = 0
        """The oldest revision that is still known; 0 for all."""
        self.transactions: list[list[Event]] = []
        self.watches: list[FakeWatch] = []
        """Every watch that was ever opened."""
        self.turn = 0
        self.silent = False
        """While set, no watch is acknowledged."""
        self.deaf_to_probes = False
        self.refusal: Callable[[KeyRange], BaseException | None] = lambda _: None
        """Says with which error a range is refused; None for a range that is not."""
        self.at_once = 1
        """Transactions that a batch holds at the most."""
        self.breaks: dict[int, int] = {}
        """The reads after which a watch breaks, by the number of the watch, from 1."""
        self.calls: dict[str, int] = defaultdict(int)
        self.opened_at: list[float] = []
        """When each watch was asked for, by the monotonic clock."""
        self.closed = False
        self._faults: dict[str, deque[BaseException]] = defaultdict(deque)
        self._hooks: dict[str, deque[Callable[[], object]]] = defaultdict(deque)

    # For the test.

    def commit(self, *changes: tuple[bytes | str, bytes | str | None]) -> int:
        """Write keys in one transaction (None deletes), and give its revision."""
        with self.changed:
            self.now += 1
            self.transactions.append([event(self.now, key, value) for key, value in changes])
            self.changed.notify_all()
            return self.now

    def compact(self, revision: int) -> None:
        """Forget what was before `revision`."""
        with self.changed:
            self.compacted = revision
            self.changed.notify_all()

    def fail_next(self, call: str, *errors: BaseException) -> None:
        """Have the next calls of that name raise, each one error."""
        with self.changed:
            self._faults[call].extend(errors)

    def before(self, call: str, *hooks: Callable[[], object]) -> None:
        """Have the next calls of that name do something first, each one thing."""
        with self.changed:
            self._hooks[call].extend(hooks)

    def speak(self) -> None:
        """End the silence."""
        with self.changed:
            self.silent = False
            self.changed.notify_all()

    def wait_until(self, condition: Callable[[], object], what: str = "a condition") -> None:
        """Wait for something that this store's condition tells of."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"waited in vain for {what}"

    def watch_number(self, number: int) -> FakeWatch:
        """Give the n-th watch (from 1), waiting until it has been opened and acknowledged."""
        self.wait_until(
            lambda: len(self.watches) >= number and self.watches[number - 1].acknowledged,
            f"watch number {number}",
        )
        return self.watches[number - 1]

    # For the watches.

    def transactions_after(self, revision: int) -> Sequence[list[Event]]:
        """Give the transactions behind a revision."""
        first = bisect_right(self.transactions, revision, key=lambda each: each[0].revision)
        return self.transactions[first:]

    def reach(self, call: str) -> None:
        """Do what was arranged for this call."""
        with self.changed:
            self.calls[call] += 1
            hook = self._hooks[call].popleft() if self._hooks[call] else None
            fault = self._faults[call].popleft() if self._faults[call] else None
            closed = self.closed
            self.changed.notify_all()
        if hook is not None:
            hook()
        if closed or (hook is not None and self.closed):
            raise StoreClosed("this store is closed")
        if fault is not None:
            raise fault

    # The protocol.

    @property
    def endpoint(self) -> str:
        return self.endpoints[self.turn % len(self.endpoints)]

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        if prefix:
            return KeyRange.of_prefix(key)
        if not key:
            raise ValueError("a key has at least one byte")
        return KeyRange.of_key(key)

    def admit(self, scopes: Sequence[KeyRange], timeout: float, *, whole: bool = True) -> None:
        self.reach("admit")

    def revision(self, timeout: float) -> int:
        self.reach("revision")
        return self.now

    def get(self, key: bytes, timeout: float) -> KeyValue | None:
        self.reach("get")
        return next(iter(self._state(KeyRange.of_key(key), self.now)), None)

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:
        self.reach("put")
        return self.commit((key, value))

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:
        self.reach("delete")
        scope = self.key_range(key, prefix=prefix)
        gone = [each.raw_key for each in self._state(scope, self.now)]
        if gone:
            self.commit(*[(each, None) for each in gone])
        return len(gone)

    def keys(self, scope: KeyRange, after: bytes | None, limit: int, timeout: float) -> KeyPage:
        self.reach("keys")
        found = [
            KeyHead(each.raw_key, each.revision, each.created, each.version, 0, expires=False)
            for each in self._state(scope, self.now)
            if after is None or each.raw_key > after
        ]
        last = found[limit - 1].raw_key if len(found) > limit else None
        return KeyPage(self.now, found[:limit], last, len(found))

    def compare_and_put(
        self,
        key: bytes,
        value: bytes,
        revision: int,
        timeout: float,
        *,
        ttl: int | None = None,
        lease: int = 0,
    ) -> int:
        self.reach("compare_and_put")
        return self._if_at(key, revision, value)

    def compare_and_delete(self, key: bytes, revision: int, timeout: float) -> None:
        self.reach("compare_and_delete")
        self._if_at(key, revision, None)

    def _if_at(self, key: bytes, revision: int, value: bytes | None) -> int:
        with self.changed:
            found = self._state(KeyRange.of_key(key), self.now)
            present = found[0].revision if found else 0
            if present != revision:
                raise Conflict(to_text(key), revision, present)
            return self.commit((key, value))

    def time_left(self, key: bytes, timeout: float) -> TimeToLive | None:
        self.reach("time_left")
        return None

    def cluster(self, timeout: float) -> Cluster:
        self.reach("cluster")
        members = [Member(url, (url,), leads=url == self.endpoints[0]) for url in self.endpoints]
        return Cluster("3.5.0-fake", self.now, tuple(members), 0)

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:
        self.reach("snapshot")
        with self.changed:
            revision = self.now if at is None else at
            if revision < self.compacted:
                raise Compacted(self.compacted)
            return Snapshot(revision, self._state(scope, revision))

    def _state(self, scope: KeyRange, at: int) -> list[KeyValue]:
        found: dict[bytes, KeyValue] = {}
        for each in (one for transaction in self.transactions for one in transaction):
            if each.revision > at or each.raw_key not in scope:
                continue
            if each.raw_value is None:
                found.pop(each.raw_key, None)
                continue
            before = found.get(each.raw_key)
            found[each.raw_key] = KeyValue(
                each.raw_key,
                each.raw_value,
                each.revision,
                each.revision if before is None else before.created,
                1 if before is None else before.version + 1,
                0,
            )
        return [found[key] for key in sorted(found)]

    def watch(self, scope: KeyRange, after: int) -> FakeWatch:
        with self.changed:
            self.opened_at.append(time.monotonic())
        self.reach("watch")
        with self.changed:
            watch = FakeWatch(self, scope, after)
            self.watches.append(watch)
            self.changed.notify_all()
            return watch

    def rotate(self, turn: int) -> None:
        with self.changed:
            self.calls["rotate"] += 1
            if self.turn == turn:
                self.turn += 1
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            for watch in self.watches:
                watch.closed = True
            self.changed.notify_all()
