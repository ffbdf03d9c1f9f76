"""A watch that begins far in the past: first what was missed, by the fast way, then what comes."""

from __future__ import annotations

import threading

from etcd_watcher.errors import RequestRejected
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch, Store, Watch
from etcd_watcher.stores.history import FAR, KeepsHistory, replay

__all__ = ["watch_from"]


def watch_from(store: Store, scope: KeyRange, after: int, timeout: float) -> Watch:
    """Open a watch that begins with revision `after` + 1, however long ago that was.

    Raises
    ------
    ConnectionFailed, StoreClosed
    """
    if isinstance(store, KeepsHistory):
        try:
            newest = store.revision(timeout)
        except RequestRejected:  # our rights have changed: the watch will tell
            newest = 0
        if newest - after > FAR:
            return _Backlog(store, scope, after, newest)
    return store.watch(scope, after)


class _Missed:
    """What was missed of a range: told up to the revision behind which the live watch begins."""

    def __init__(self, store: Store, scope: KeyRange, after: int, newest: int) -> None:
        self.scope = scope
        self.acknowledged = False
        """Whether the server has acknowledged the live watch of the range."""
        self.events = replay(store, scope, after + 1, newest)

    def close(self) -> None:
        if hasattr(self.events, "close"):
            self.events.close()


class _Backlog:
    """See `stores.base.Watch`.

    The watch of what comes is open from the start, so that the server has acknowledged it, and
    waits unread: HTTP/2's flow control leaves what it has to tell with the server.
    """

    def __init__(self, store: Store, scope: KeyRange, after: int, newest: int) -> None:
        self._store = store
        self._newest = newest
        self._live = store.watch(scope, newest)
        self._orders = threading.Lock()
        """Guards `_missed`, and whether it is that which the live watch was last aimed for."""
        self._missed: _Missed | None = _Missed(store, scope, after, newest)
        """What is to be told before the live watch; None once that is done."""
        self._reading: _Missed | None = None
        """What is being told. Who is in `read` alone has it; nobody is, and it is anybody's."""
        self._is_read = self._closed = False
        """Whether somebody is in `read`, and whether we are closed. Guarded by `_orders`."""

    def read(self) -> Batch:
        with self._orders:
            self._is_read = True
        try:
            return self._read()
        finally:
            with self._orders:
                self._is_read, closed = False, self._closed
            if closed:
                self._give_up()

    def _read(self) -> Batch:
        while True:
            with self._orders:
                missed = self._missed
            if missed is not self._reading:
                self._give_up()
                self._reading = missed
            if missed is None:
                return self._live.read()
            batch = self._next(missed) if missed.acknowledged else self._acknowledged()
            if batch is not None:
                return batch

    def _acknowledged(self) -> Batch | None:
        batch = self._live.read()
        with self._orders:
            missed = self._missed
            if missed is None:
                return batch
            missed.acknowledged = batch.scope is missed.scope
        return Batch(missed.scope, opened=True) if missed.acknowledged else None

    def _next(self, missed: _Missed) -> Batch | None:
        events = next(missed.events, None)
        if events is not None:
            return Batch(missed.scope, events)
        with self._orders:
            if self._missed is not missed:
                return None
            self._missed = self._reading = None
        return Batch(missed.scope, complete=self._newest)

    def _give_up(self) -> None:
        with self._orders:
            reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()

    def retarget(self, scope: KeyRange, after: int) -> None:
        with self._orders:
            # A plain watch of all that is missing would take minutes for what takes seconds here.
            far = self._missed is not None and self._newest - after > FAR
            self._missed = _Missed(self._store, scope, after, self._newest) if far else None
            self._live.retarget(scope, self._newest if far else after)

    def watches(self, scope: KeyRange) -> bool:
        return self._live.watches(scope)

    def probe(self, revision: int) -> None:
        self._live.probe(revision)

    def close(self) -> None:
        with self._orders:
            self._missed, self._closed = None, True
            is_read = self._is_read
        self._live.close()
        if not is_read:
            self._give_up()  # else the reader does, when it ends
