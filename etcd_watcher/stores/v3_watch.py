"""One ordered stream of changes from etcd v3: a single server-side watcher of one range.

One watcher, not one a key: within a watcher etcd keeps revision order and sends a transaction
whole, between watchers it does neither (one whose channel is full becomes a "victim" and is served
later). So the range is the hull of all watched keys, and what lies between them is dropped by the
router. That also makes 10,000 keys cost what one costs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import grpc

from etcd_watcher.errors import Compacted, ConnectionFailed, RequestRejected, StoreClosed
from etcd_watcher.event import Event, EventType
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.base import Batch

if TYPE_CHECKING:
    from etcd_watcher.stores.v3 import V3Store
    from etcd_watcher.stores.v3_connection import Connection

__all__ = ["V3Watch"]

CATCH_UP_REVISIONS = 1000
"""The server feeds a watcher that is behind this many revisions at a time
(`watchBatchMaxRevs` in etcd's mvcc); a response with fewer reaches to its header's revision."""

QUIET_REPLIES = 16
"""Progress replies in a row, with no event between, after which an old server has nothing left."""

ASK_AGAIN = 0.05
"""Seconds until progress is asked for again: a server from 3.5.8 on drops the request while the
watcher is behind, and a member may be behind its leader."""

SYNC_ROUNDS = 0.3
"""Seconds in which the server's loop for watchers that are behind (every 0.1 s) has run twice."""

SIDE_REQUEST = 3.0
"""Seconds that a watch waits for the small requests it makes on the side."""

SERVER_RECEIVED = "grpc: received message larger than max"
"""How a server says that a request is too large; gRPC's own word for an answer begins with
"CLIENT:" or a capital letter."""

LEASE_ANSWER = 1.0
"""Seconds we wait to learn whether a deleted key's lease still lives."""


class V3Watch:
    """See `stores.base.Watch`."""

    def __init__(
        self,
        store: V3Store,
        connection: Connection,
        scope: KeyRange,
        after: int,
        *,
        fragment: bool,
    ) -> None:
        self._store = store
        self._connection = connection
        self._fragment = fragment
        self._outbox = _Outbox(lambda: self._wanted > 0)
        self._lock = threading.Lock()
        """Guards the target: everything down to `_floor`. `retarget` comes from other threads."""
        self._asked: deque[tuple[KeyRange, int]] = deque()
        """Creations sent and not yet answered; the server answers in order."""
        self._scope = scope
        self._watch_id: int | None = None
        """The server's number for our one watcher; None until it has acknowledged it."""
        self._given = after
        """The newest revision given out, or the one after which we began."""
        self._behind_since: float | None = None
        """When the server began to feed us history; None once we are known to be with it."""
        self._wanted = 0
        """A revision that someone wants us to be complete up to; 0 for none."""
        self._floor = 0
        """On old servers: the newest revision of the live keys, when `_wanted` was set."""
        self._quiet = 0
        self._parts: list[Any] = []
        """Fragments of a response that is not yet whole."""
        self._closed = False
        metadata = [("hasleader", "true"), *connection.metadata(SIDE_REQUEST)]
        self.retarget(scope, after)
        self._call: Any = connection.watch(iter(self._outbox), metadata=metadata)
        self._call.add_callback(self._outbox.close)

    # From any thread.

    def retarget(self, scope: KeyRange, after: int) -> None:
        create = wire.WatchCreateRequest(
            key=scope.start or b"\0",
            range_end=b"\0" if scope.end is None else scope.end,
            start_revision=after + 1,
            prev_kv=self._store.prev_values,
            fragment=self._fragment,
        )
        with self._lock:
            if self._watch_id is not None:
                self._outbox.put(_cancel(self._watch_id))
                self._watch_id = None
            self._asked.append((scope, after))
            self._outbox.put(wire.WatchRequest(create_request=create))

    def probe(self, revision: int) -> None:
        floor = 0
        if not self._store.progress_is_barrier:
            with self._lock:
                scope = self._scope
            floor, _ = self._store.newest_in(scope, SIDE_REQUEST)
        with self._lock:
            self._wanted = max(self._wanted, revision)
            self._floor = max(self._floor, floor)
        self._outbox.put(_ask_progress())

    def close(self) -> None:
        self._closed = True
        self._call.cancel()
        self._outbox.close(1.0)

    # From the reader's thread.

    def read(self) -> Batch:
        while True:
            response = self._next()
            if response.created:
                batch = self._acknowledge(response)
            elif response.canceled:
                self._check_cancelled(response)
                continue
            elif response.events:
                batch = self._changes(response)
            else:
                batch = self._progress(response)
            if batch is not None:
                return batch

    def _next(self) -> Any:
        try:
            return next(self._call)
        except StopIteration:
            raise self._lost("the server ended the watch") from None
        except grpc.RpcError as error:
            if self._closed:
                raise StoreClosed("this watch is closed") from None
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                if (error.details() or "").startswith(SERVER_RECEIVED):
                    raise RequestRejected(
                        f"{self._connection.endpoint} refused the watch: its keys are too long, "
                        f"together they may have 2 MiB ({error.details()})"
                    ) from error
                self._store.fragment_next = True
                raise self._lost("a response was too large: asking again in parts") from error
            explained = self._connection.explain(error)
            if isinstance(explained, StoreClosed):  # cancelled, but not by us: rotated away
                raise self._lost("the connection was replaced") from error
            raise explained from error

    def _lost(self, reason: str) -> ConnectionFailed:
        if self._closed:
            raise StoreClosed("this watch is closed")
        return ConnectionFailed.to([self._connection.endpoint], reason)

    def _acknowledge(self, response: Any) -> Batch | None:
        with self._lock:
            scope, after = self._asked.popleft()
            refused = response.canceled or response.watch_id == -1
            if not refused:
                if self._asked:  # another target was set meanwhile
                    self._outbox.put(_cancel(response.watch_id))
                    return None
                self._watch_id, self._scope, self._given = response.watch_id, scope, after
                self._parts.clear()
                known = response.header.revision
                self._behind_since = time.monotonic() if known > after else None
        if refused:
            reason = response.cancel_reason or "the server did not say why"
            if "auth token" in reason or "revision of auth store" in reason:
                self._connection.token = None
                raise self._lost(f"the server asks for a new login: {reason}")
            raise RequestRejected(f"{self._connection.endpoint} refused the watch: {reason}")
        return Batch(scope, opened=True)

    def _check_cancelled(self, response: Any) -> None:
        with self._lock:
            if response.watch_id != self._watch_id:
                return  # the answer to a cancellation of ours
        if response.compact_revision:
            raise Compacted(response.compact_revision)
        raise self._lost(f"the server cancelled the watch: {response.cancel_reason}")

    def _changes(self, response: Any) -> Batch | None:
        with self._lock:
            if response.watch_id != self._watch_id:
                return None
            scope = self._scope
        if response.fragment or self._parts:
            self._parts.append(response)
            if response.fragment:
                return None
        changes = (
            [change for part in self._parts for change in part.events]
            if self._parts
            else response.events
        )
        self._parts.clear()
        self._quiet = 0
        events = self._events(changes)
        if self._behind_since is not None:
            revisions = {change.kv.mod_revision for change in changes}
            if len(revisions) < CATCH_UP_REVISIONS:
                self._behind_since = None
        if not events:
            return None
        self._given = events[-1].revision
        return Batch(scope, events)

    def _events(self, changes: Iterable[Any]) -> list[Event]:
        """Decode changes, without those that were given before (etcd before 3.4.24 repeats)."""
        given = self._given
        put, delete, new = EventType.PUT, EventType.DELETE, tuple.__new__
        events: list[Event] = []
        leases: set[int] = set()
        for change in changes:
            kv = change.kv
            revision = kv.mod_revision
            if revision <= given:
                continue
            prev = change.prev_kv if change.HasField("prev_kv") else None
            prev_value = None if prev is None else prev.value
            if change.type == 0:
                created, version, lease = kv.create_revision, kv.version, kv.lease
                fields = (put, kv.key, kv.value, prev_value, revision, created, version, lease)
                events.append(new(Event, (*fields, "put", False, False)))
            else:
                lease = 0 if prev is None else prev.lease
                if lease:
                    leases.add(lease)
                fields = (delete, kv.key, None, prev_value, revision, 0, 0, lease)
                events.append(new(Event, (*fields, "delete", False, False)))
        return self._mark_expired(events, leases) if leases else events

    def _mark_expired(self, events: list[Event], leases: set[int]) -> list[Event]:
        """Tell keys that went with their lease from keys deleted by hand, as v2 does by itself.

        etcd's v3 event does not say. A key deleted while its lease lives was deleted; a lease that
        is gone took its keys along. The leases are asked for together: one round trip.
        """
        calls = [
            (
                lease,
                self._connection.calls["time_to_live"].future(
                    wire.LeaseTimeToLiveRequest(ID=lease),
                    timeout=LEASE_ANSWER,
                    metadata=self._connection.metadata(LEASE_ANSWER),
                ),
            )
            for lease in leases
        ]
        gone = set()
        for lease, call in calls:
            try:
                if call.result().TTL < 0:
                    gone.add(lease)
            except grpc.RpcError as error:
                if "not found" in (error.details() or ""):
                    gone.add(lease)
        return [
            event._replace(expired=True, action="expire")
            if event.raw_value is None and event.lease in gone
            else event
            for event in events
        ]

    def _progress(self, response: Any) -> Batch | None:
        with self._lock:
            if self._watch_id is None or not self._wanted:
                return None
            scope, wanted, floor = self._scope, self._wanted, self._floor
        reached: int = response.header.revision
        if self._store.progress_is_barrier:
            self._settle(reached)
            return Batch(scope, complete=reached)
        # On an old server the reply may overtake events that are ready to be sent, so it is taken
        # for what it says only when we have seen the newest change of every live key, when the
        # server is not feeding us history, and when several replies in a row had nothing between
        # them: with both ready, the server picks at random which to send first.
        self._quiet += 1
        if self._given >= wanted:
            self._settle(self._given)
            return Batch(scope, complete=self._given)
        behind = self._behind_since
        if behind is not None and time.monotonic() - behind > SYNC_ROUNDS:
            self._behind_since = behind = None
        if behind is not None or self._given < floor or reached < wanted:
            self._quiet = 0
        elif self._quiet >= QUIET_REPLIES:
            self._settle(wanted)
            return Batch(scope, complete=wanted)
        else:
            self._outbox.put(_ask_progress())
        return None

    def _settle(self, complete: int) -> None:
        with self._lock:
            if complete >= self._wanted:
                self._wanted = self._floor = self._quiet = 0


class _Outbox:
    """The requests of one watch, as the iterator that gRPC's sending thread reads.

    While `wants_progress` says so, it asks for progress every `ASK_AGAIN` seconds by itself.
    """

    def __init__(self, wants_progress: Callable[[], bool]) -> None:
        self._wants_progress = wants_progress
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self.reader: threading.Thread | None = None
        """gRPC's thread that sits in `__next__`: it ends once we do."""

    def put(self, request: Any) -> None:
        self._queue.put(request)

    def close(self, timeout: float = 0.0) -> None:
        """End the iterator, and wait for gRPC's thread to be gone, `timeout` seconds at most."""
        self._queue.put(None)
        if timeout and self.reader is not None:
            self.reader.join(timeout)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.reader = threading.current_thread()
        try:
            request = self._queue.get(timeout=ASK_AGAIN if self._wants_progress() else None)
        except Empty:
            return _ask_progress()
        if request is None:
            self._queue.put(None)
            raise StopIteration
        return request


def _ask_progress() -> Any:
    return wire.WatchRequest(progress_request=wire.WatchProgressRequest())


def _cancel(watch_id: int) -> Any:
    return wire.WatchRequest(cancel_request=wire.WatchCancelRequest(watch_id=watch_id))
