"""One ordered stream of changes from etcd v2: one long poll with an index, for all keys."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from etcd_watcher.errors import (
    ApiNotServed,
    ConnectionFailed,
    Denied,
    HistoryLost,
    RequestRejected,
    StoreClosed,
)
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch
from etcd_watcher.stores.v2_keys import place_of
from etcd_watcher.stores.v2_mirror import Mirror
from etcd_watcher.stores.v2_poll import Poll
from etcd_watcher.stores.v2_wire import Interrupted, TransportFailed, Waker

if TYPE_CHECKING:
    from etcd_watcher.stores.v2 import V2Store

__all__ = ["V2Watch"]

LOAD = 10.0
"""Seconds for a read of all that lives where we poll."""

BATCH = 256
"""Events of one batch, at most, of those that are here."""

PROGRESS = 0.5
"""Seconds after which we tell how far we are, where all that came was outside our range."""


class V2Watch:
    """See `stores.base.Watch`."""

    def __init__(self, store: V2Store, endpoint: str, scope: KeyRange, after: int) -> None:
        self._store = store
        self._endpoint = endpoint
        self._waker = Waker()
        self._orders = threading.Lock()
        """Guards the three below, which other threads set."""
        self._closed = False
        self._target: tuple[KeyRange, int] | None = None
        self._wanted = 0
        """The newest index that somebody wants us to be complete up to."""
        self._reading = threading.Lock()
        """Held by `read`, and by `close` when it clears up. Guards all below."""
        self._poll = Poll(store, endpoint, self._waker)
        self._mirror: Mirror | None = None
        """What lives where we poll; None until it is read."""
        self._scope, self._after = scope, after
        self._place = place_of(scope)
        self._opened = False
        self._begin(after)

    def _begin(self, after: int) -> None:
        self._poll.begin(self._place, after)
        self._told, self._told_at = after, 0.0
        """The completeness that was last told, and when."""

    # For other threads.

    def retarget(self, scope: KeyRange, after: int) -> None:
        with self._orders:
            if not self._closed:
                self._target = (scope, after)
                self._waker.wake()

    def watches(self, scope: KeyRange) -> bool:  # noqa: ARG002 - all of it
        return True

    def probe(self, revision: int) -> None:
        with self._orders:
            if not self._closed and revision > self._wanted:
                self._wanted = revision
                self._waker.wake()

    def close(self) -> None:
        with self._orders:
            if not self._closed:
                self._closed = True
                self._waker.wake()
        # A reader wakes up at once and clears up itself, unless it is looking up a host's name.
        if self._reading.acquire(timeout=0.5):
            try:
                self._clear_up()
            finally:
                self._reading.release()

    # For the feed's thread.

    def read(self) -> Batch:
        with self._reading:
            try:
                return self._read()
            except HistoryLost as lost:
                if self._mirror is not None:
                    lost.living = self._mirror.living(self._scope)
                self._mirror = None  # it belongs to what is lost
                self._clear_up()
                raise
            except Denied as denied:
                place = self._place
                self._clear_up()
                raise self._store.refuse(place, denied) from denied
            except (TransportFailed, ApiNotServed) as error:  # another member may still serve v2
                self._clear_up()
                raise ConnectionFailed.to([self._endpoint], str(error)) from error
            except BaseException:
                self._clear_up()
                raise

    def _clear_up(self) -> None:
        with self._orders:
            self._closed = True
            self._waker.close()
        self._poll.close()
        self._put_away_mirror()
        self._store.forget(self)

    def _read(self) -> Batch:
        while True:
            self._obey()
            try:
                if not self._opened:
                    self._open()
                    return self._batch([], opened=True)
                if self._owes_progress():
                    return self._batch([])
                if events := self._gather():
                    return self._batch(events)
            except Interrupted:
                pass  # somebody wants something

    def _batch(self, events: list[Event], *, opened: bool = False) -> Batch:
        self._told, self._told_at = self._poll.complete, time.monotonic()
        return Batch(self._scope, events, complete=self._told, opened=opened)

    def _owes_progress(self) -> bool:
        complete = self._poll.complete
        if self._told >= complete:
            return False
        return self._told < self._wanted <= complete or time.monotonic() - self._told_at > PROGRESS

    def _obey(self) -> None:
        """Take what other threads want."""
        with self._orders:
            if self._closed:
                raise StoreClosed("this watch is closed")
            self._waker.clear()
            target, self._target = self._target, None
        if target is not None:
            self._aim(*target)

    def _aim(self, scope: KeyRange, after: int) -> None:
        place = place_of(scope)
        self._scope, self._after, self._opened = scope, after, False
        if place == self._place and self._mirror is not None and self._poll.seen <= after:
            # Our poll brings whatever follows: it stays. With 10,000 keys that are registered one
            # by one that is the difference between nothing and 10,000 reads of all keys.
            return
        if place != self._place:
            self._put_away_mirror()
            self._place = place
        self._begin(after)

    def _put_away_mirror(self) -> None:
        """Let the next watch go on from what this one knows."""
        if self._mirror is not None:
            self._mirror.current = max(self._mirror.current, self._poll.complete)
            self._store.keep(self._mirror)
            self._mirror = None

    def _open(self) -> None:
        """Have the server's word that it is there and lets us read, and know what lives."""
        if self._mirror is None:
            mirror = self._store.take(self._place, self._after)
            if mirror is None:
                mirror = self._store.load(self._endpoint, self._place, self._waker, LOAD)
                index = mirror.loaded
            else:
                try:
                    index = self._poll.index()
                except BaseException:
                    self._store.keep(mirror)  # for the next one
                    raise
            if index < self._after:
                self._poll.lose_history(index)
            self._mirror = mirror
        self._opened = True

    def _gather(self) -> list[Event]:
        """Take the next step, and then those for which there is nothing to wait."""
        events = self._step()
        while events and len(events) < BATCH and self._poll.has_next:
            try:
                events += self._step()
            except (Interrupted, TransportFailed, HistoryLost, RequestRejected):
                break  # it comes again
        return events

    def _step(self) -> list[Event]:
        change = self._poll.step(self._wanted)
        if change is None or self._mirror is None:
            return []
        # First what may fail: a change that was accepted does not come again.
        events = self._mirror.apply(change, self._scope)
        index = int(change.modifiedIndex)
        self._poll.accept(index)
        return events if index > self._after else []
