"""Which keys existed before we began to watch: counted once, in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from etcd_watcher.backoff import RETRY
from etcd_watcher.demux import Demux
from etcd_watcher.errors import ConnectionFailed, RequestRejected, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.log import logger
from etcd_watcher.stores.base import Store

__all__ = ["Census"]

PAGE = 2_000
"""Keys asked for at a time, without their values."""

MOST_KEYS = 100_000
"""Keys counted in one range: a bound on memory (about 150 bytes a key). Of a prefix with more, the
deletion of a key that was never seen and fell into a `Gap` is not told."""

LINGER = 0.5
"""Seconds for which the thread waits for another range before it ends."""


class Census:
    """Counts the keys of newly watched ranges into a demux's `lives`.

    A server that has compacted its history tells what exists, not what has been deleted. To tell
    of such a deletion we must have known that the key was there: from its events, or from here.

    Parameters
    ----------
    store : Store
        Where the keys are.
    demux : Demux
        Whose `lives` are added to, under its lock.
    timeout : float
        Seconds for one request.
    """

    def __init__(self, store: Store, demux: Demux, timeout: float) -> None:
        self._store = store
        self._demux = demux
        self._timeout = timeout
        self._changed = threading.Condition()
        """Guards all below, and is notified when any of it changes."""
        self._waiting: list[KeyRange] = []
        self._busy = False
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, scopes: Sequence[KeyRange]) -> None:
        """Have ranges counted. Returns at once."""
        with self._changed:
            if self._closed or not scopes:
                return
            self._waiting.extend(scopes)
            self._changed.notify_all()
            if self._thread is None:
                name = "etcd_watcher-census"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Wait until all that was asked for has been counted; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def close(self, timeout: float = 1.0) -> None:
        """Count no more, and wait for the thread to end, `timeout` seconds at most."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed, LINGER)
                if self._closed or not self._waiting:
                    self._thread = None
                    return
                scopes, self._waiting = self._waiting, []
                self._busy = True
            began = time.monotonic()
            try:
                self._count_until_done(scopes)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
            # Keys registered one by one are counted by the hundred, and never for more than half
            # of the time.
            with self._changed:
                self._changed.wait_for(lambda: self._closed, time.monotonic() - began)

    def _count_until_done(self, scopes: Sequence[KeyRange]) -> None:
        while not self._closed:
            try:
                self._count(scopes)
            except (RequestRejected, StoreClosed) as error:
                logger.debug("the keys were not counted: %s", error)
                return
            except ConnectionFailed:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, RETRY)
            else:
                return

    def _count(self, scopes: Sequence[KeyRange]) -> None:
        with self._demux.lock:
            self._demux.lives.begin_census()
        try:
            for scope in self._together(scopes):
                self._count_one(scope)
        finally:
            with self._demux.lock:
                self._demux.lives.end_census()

    def _together(self, scopes: Sequence[KeyRange]) -> Sequence[KeyRange]:
        """Give one range for many where that is less work: it has not many more keys than they."""
        if len(scopes) == 1:
            return scopes
        hull = KeyRange.hull(scopes)
        count = self._store.keys(hull, None, 1, self._timeout).count
        return [hull] if count is None or count <= 4 * len(scopes) else scopes

    def _count_one(self, scope: KeyRange) -> None:
        after: bytes | None = None
        counted = 0
        while counted < MOST_KEYS and not self._closed:
            page = self._store.keys(scope, after, PAGE, self._timeout)
            with self._demux.lock:
                for head in page.heads:
                    if self._demux.router.match(head.raw_key):
                        self._demux.lives.count(head.raw_key, head.created)
            counted += len(page.heads)
            after = page.after
            if after is None:
                return
