"""A watch that begins far in the past: first what was missed, by the fast way, then what comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from etcd_watcher.errors import RequestRejected
from etcd_watcher.event import Event
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


class _Backlog:
    """See `stores.base.Watch`.

    The watch of what comes is open from the start, so that the server has acknowledged it, and
    waits unread: gRPC's flow control leaves what it has to tell with the server.
    """

    def __init__(self, store: Store, scope: KeyRange, after: int, newest: int) -> None:
        self._scope = scope
        self._newest = newest
        self._live = store.watch(scope, newest)
        self._missed: Iterator[list[Event]] | None = replay(store, scope, after + 1, newest)
        """The reader's thread alone has it."""
        self._reader = 0
        self._acknowledged = False
        self._dropped = False
        """Whether another range is to be watched, or none: what was missed of ours is not wanted
        any more."""

    def read(self) -> Batch:
        self._reader = threading.get_ident()
        while self._missed is not None:
            if not self._acknowledged:
                batch = self._live.read()
                if batch.scope is not self._scope:
                    self._give_up()
                    return batch
                self._acknowledged = True
                return Batch(self._scope, opened=True)
            events = None if self._dropped else next(self._missed, None)
            if self._dropped:
                self._give_up()
            elif events is not None:
                return Batch(self._scope, events)
            else:
                self._missed = None
                return Batch(self._scope, complete=self._newest)
        return self._live.read()

    def _give_up(self) -> None:
        missed, self._missed = self._missed, None
        if missed is not None and hasattr(missed, "close"):
            missed.close()

    def retarget(self, scope: KeyRange, after: int) -> None:
        self._dropped = True
        self._live.retarget(scope, after)

    def watches(self, scope: KeyRange) -> bool:
        return self._live.watches(scope)

    def probe(self, revision: int) -> None:
        self._live.probe(revision)

    def close(self) -> None:
        self._dropped = True
        self._live.close()
        if self._reader == threading.get_ident():
            self._give_up()  # else the reader does, at its next step
