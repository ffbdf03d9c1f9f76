"""The one thread that reads a store, and all that can go wrong with it."""

from __future__ import annotations

import threading
import time

from etcd_watcher.backoff import LAST_BACKOFF, Backoff
from etcd_watcher.deadline import seconds_left
from etcd_watcher.demux import Demux
from etcd_watcher.errors import (
    ConnectionFailed,
    EtcdWatcherError,
    HistoryLost,
    HistoryReplaced,
    RequestRejected,
    StoreClosed,
)
from etcd_watcher.event import Status
from etcd_watcher.keys import KeyRange
from etcd_watcher.log import logger
from etcd_watcher.reach import Reach
from etcd_watcher.relay import Readers, Relieved
from etcd_watcher.resync import resync
from etcd_watcher.stores.backlog import watch_from
from etcd_watcher.stores.base import Batch, Store, Watch

__all__ = ["Feed"]

RECHECK = 0.1
"""Seconds until the server is asked again for a revision that cannot be."""

PATIENCE = 0.002
"""Seconds that `wait_complete` waits for events to come by themselves before it asks: mostly the
newest revision is a change of our own keys, and asking would be a round trip more."""


class Feed:
    """Reads a store into a demux: every change once, in order, or an explicit `Gap`.

    Its thread begins with the first range to watch and ends with `close`.

    Parameters
    ----------
    store : Store
        Where the changes come from.
    demux : Demux
        Where they go to.
    timeout : float
        Seconds for one request to the store.
    backoff : Backoff, optional
        How long to wait between tries.
    """

    def __init__(
        self, store: Store, demux: Demux, timeout: float, backoff: Backoff | None = None
    ) -> None:
        self._store = store
        self._demux = demux
        self._timeout = timeout
        self._backoff = backoff or Backoff(len(store.endpoints))
        self._turn, self._endpoint = store.turn, store.endpoint
        self._reading: Watch | None = None
        self._began = (0.0, 0)
        """The watch that is read, its endpoint, and when and behind which revision it began. The
        feed's thread alone has these, and the backoff."""
        self._state = threading.Condition(demux.lock)
        """Guards all below, with the demux's own lock, so that an event's way from the wire to its
        mailboxes is one step. Notified at each change."""
        self._reach = Reach(demux, self._state)
        self._readers = Readers(self._run, self._state)
        demux.relieve = self._readers.relieve
        self._status = Status("connected", store.endpoint)

    # What others ask for.

    def cover(self, scopes: list[KeyRange], revision: int, timeout: float) -> None:
        """Have these ranges watched; returns once the server has acknowledged them.

        If it is the first watch, it may begin at `revision`.

        Raises
        ------
        ConnectionFailed
            The server did not acknowledge within `timeout` seconds.
        RequestRejected
            The server refuses. In both cases what was watched before still is.
        """
        with self._state:
            self._readers.begin()
        if not self._reach.cover(scopes, revision, timeout):
            reason = self._status.reason or "no answer in time"
            raise ConnectionFailed.to(self._store.endpoints, reason)

    def narrow(self, scope: KeyRange | None) -> None:
        """Watch no more than `scope`; None for nothing. Returns at once.

        What somebody is just asking for stays: they wait for it.
        """
        self._reach.narrow(scope)

    def wait_complete(self, revision: int, timeout: float) -> bool:
        """Wait until every change up to `revision` is published; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        asked: tuple[Watch | None, KeyRange | None] = (None, None)  # the watch, and its range then
        reach = self._reach
        with self._state:
            while reach.scope is not None and self._demux.complete < revision:
                if (remaining := deadline - time.monotonic()) <= 0 or reach.closed:
                    return False
                watch, opened = reach.watch, reach.opened
                to_ask = opened is not None and (watch is not asked[0] or opened is not asked[1])
                if self._state.wait(min(PATIENCE, remaining) if to_ask else remaining):
                    continue
                if watch is not None and to_ask:
                    # Nothing came by itself: the newest change was of a key that is not ours.
                    asked = (watch, opened)
                    self._probe(watch, revision)
        return True

    def _probe(self, watch: Watch, revision: int) -> None:
        self._state.release()
        try:
            watch.probe(revision)
        except EtcdWatcherError as error:
            logger.debug("probe failed: %s", error)  # the feed's thread sees it too
        finally:
            self._state.acquire()

    def newest_revision(self, timeout: float) -> int:
        """Ask the server for its newest revision.

        Where what was published is newer, its data was replaced; a watch is waited for to see it.

        Raises
        ------
        HistoryReplaced
            It did not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = self._demux.complete
            revision = self._store.revision(seconds_left(deadline))
            with self._state:
                if revision >= seen:
                    return revision
                if self._reach.scope is None:  # it lost its data while nobody looked
                    self._demux.begin_anew()
                    continue
                if self._reach.closed or time.monotonic() > deadline:
                    raise HistoryReplaced(revision, seen)
                self._state.wait(RECHECK)

    def step(self) -> None:
        """Let a publication end that is under way: the mailboxes then have what the journal has."""
        with self._state:
            pass

    def wait_for_change(self, timeout: float) -> None:
        """Wait until anything about the feed changes, `timeout` seconds at most."""
        with self._state:
            self._state.wait(timeout)

    @property
    def status(self) -> Status:
        return self._status

    @property
    def scope(self) -> KeyRange | None:
        """The range that is watched; None for nothing."""
        return self._reach.scope

    @property
    def revision(self) -> int:
        """The revision up to which every change has been published."""
        return self._demux.complete

    def close(self, timeout: float = 1.0) -> None:
        """End the thread, waiting for it `timeout` seconds at most; idempotent."""
        deadline = time.monotonic() + timeout
        with self._state:
            self._reach.closed, watch = True, self._reach.watch
            self._set_status(Status("closed", self._store.endpoint))
            self._state.notify_all()
        if watch is not None:
            watch.close()
        self._readers.join(deadline)

    # The thread.

    def _run(self) -> None:
        while (watch := self._reading or self._open()) is not None:
            try:
                error = self._follow(watch)
            except Relieved:
                return
            except Exception as defect:  # ours, or a library's
                # The thread must not die unseen of an answer that nobody foresaw: it is logged, it
                # shows in `status`, and the watch is made anew where it stood.
                logger.exception("the feed failed; it begins again behind %d", self._demux.complete)
                error = ConnectionFailed(f"internal error: {defect!r}")
            self._drop(watch)
            if error is None:
                continue
            # A watch that told nothing and was soon lost again has not ended the trouble.
            began, complete = self._began
            if self._demux.complete > complete or time.monotonic() - began > 2 * LAST_BACKOFF:
                self._backoff.reset()
            self._lose(error)

    def _follow(self, watch: Watch) -> EtcdWatcherError | None:
        """Publish what a watch tells until it ends; give why, where that is a trouble."""
        try:
            while True:
                self._take(watch, watch.read())
                self._demux.deliver()
        except StoreClosed:
            return None
        except HistoryLost as lost:
            return self._resync(lost)
        except RequestRejected as rejection:
            return None if self._reach.hand_over(rejection, self._timeout) else rejection
        except ConnectionFailed as error:
            return error

    def _open(self) -> Watch | None:
        """Wait for something to watch and open it; None when closed."""
        while True:
            with self._state:
                scope, after = self._reach.wait_for_scope(), self._demux.complete
            if scope is None:
                return None
            self._turn, self._endpoint = self._store.turn, self._store.endpoint
            try:
                watch = watch_from(self._store, scope, after, self._timeout)
            except StoreClosed:
                return None
            except EtcdWatcherError as error:
                self._lose(error)
                continue
            if self._reach.adopt(watch, scope):
                self._reading, self._began = watch, (time.monotonic(), self._demux.complete)
                return watch
            watch.close()

    def _take(self, watch: Watch, batch: Batch) -> None:
        reach = self._reach
        with self._state:
            if reach.closed or reach.watch is not watch or batch.scope is not reach.scope:
                return  # of a range that has been replaced meanwhile
            if batch.opened:
                reach.opened = batch.scope
                self._set_status(Status("connected", self._endpoint))
            self._state.notify_all()
            self._demux.take(batch)  # last: nothing may come between it and `deliver`

    def _drop(self, watch: Watch) -> None:
        watch.close()
        self._reading = None
        self._reach.drop(watch)

    def _resync(self, lost: HistoryLost) -> EtcdWatcherError | None:
        with self._state:
            scope, after = self._reach.scope, self._demux.complete
            if scope is None:
                return None
            known = self._demux.known(scope)
        try:
            gap, events, revision = resync(self._store, scope, after, lost, known, self._timeout)
        except StoreClosed:
            return None
        except EtcdWatcherError as error:
            return error
        with self._state:
            if not self._reach.closed:
                self._demux.resume(gap, events, revision, anew=isinstance(lost, HistoryReplaced))
                self._state.notify_all()
        return None

    def _lose(self, error: EtcdWatcherError) -> None:
        """Say why there is trouble, and wait before the next try, at another endpoint."""
        reason = error.reason if isinstance(error, ConnectionFailed | HistoryLost) else str(error)
        with self._state:
            if self._reach.closed:
                return
            since = self._status.since if self._status.state == "reconnecting" else time.time()
            wait = self._backoff.fail()
            again = time.time() + wait
            self._set_status(Status("reconnecting", self._endpoint, reason, since, again))
            self._state.notify_all()
        self._store.rotate(self._turn)
        with self._state:
            self._state.wait_for(lambda: self._reach.closed, wait)

    def _set_status(self, status: Status) -> None:
        if self._status.state != status.state:
            self._demux.note(status)
        self._status = status
