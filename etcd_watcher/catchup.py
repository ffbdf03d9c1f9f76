"""How a lagging subscriber gets back to the live events: by the journal, else by the server."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from functools import partial

from etcd_watcher.backoff import RETRY
from etcd_watcher.demux import Demux
from etcd_watcher.errors import Compacted, ConnectionFailed, StoreClosed
from etcd_watcher.lagging import fill
from etcd_watcher.log import logger
from etcd_watcher.mailbox import MAILBOX_EVENTS, Mailbox
from etcd_watcher.resync import bridge
from etcd_watcher.shared_past import PastReader, SharedPasts
from etcd_watcher.stores.base import Store
from etcd_watcher.stores.history import replay
from etcd_watcher.subscriber import shown

__all__ = ["CatchUp"]

CHUNK = MAILBOX_EVENTS // 2
"""Events taken from the journal at a time, under its lock."""


class CatchUp:
    """Refills lagging mailboxes. One for all of a watcher's; each call is on a consumer's thread.

    Parameters
    ----------
    demux : Demux
        The journal and its lock.
    store : Store
        Where history is read that the journal has forgotten.
    timeout : float
        Seconds for one request to the store.
    """

    def __init__(self, demux: Demux, store: Store, timeout: float) -> None:
        self._demux = demux
        self._store = store
        self._timeout = timeout
        self._closing = threading.Event()
        self._pasts = SharedPasts(partial(replay, store))
        self._readers: dict[Mailbox, PastReader] = {}
        """Who reads history. Each is touched by the one thread that has the mailbox."""

    def __call__(self, mailbox: Mailbox) -> None:
        """Bring a mailbox its next events, unless it is closed. Blocks while the server is asked."""
        if mailbox not in self._readers and self._demux.refill_from_journal(mailbox, CHUNK):
            return
        try:
            self._refill_or_skip(mailbox)
        except ConnectionFailed:
            if self._closing.wait(RETRY):
                raise StoreClosed("the watcher was closed while a subscriber caught up") from None

    def _refill_or_skip(self, mailbox: Mailbox) -> None:
        try:
            self._refill_from_history(mailbox)
        except Compacted as lost:
            if mailbox.raises_compacted:
                raise
            with contextlib.suppress(Compacted):  # once more meanwhile: the next call sees to it
                self._skip(mailbox, lost)

    def _refill_from_history(self, mailbox: Mailbox) -> None:
        reader = self._reader_for(mailbox)
        if reader is None:
            self.forget(mailbox)
            return
        try:
            events = reader.read()
        except BaseException:
            self.forget(mailbox)
            raise
        with self._demux.lock:
            if is_current := reader.era == self._demux.era:
                fill(mailbox, events or (), reader.scope)
                mailbox.lag_from = reader.reached + 1
        if events is None or not is_current:
            self.forget(mailbox)

    def _reader_for(self, mailbox: Mailbox) -> PastReader | None:
        """Give what reads history for a mailbox; None where there is nothing to read any more."""
        with self._demux.lock:
            start, scope = mailbox.lag_from, self._demux.scope_of(mailbox)
            if start is None or scope is None or mailbox.closed:
                mailbox.lag_from = None
                return None
            if mailbox not in self._readers:
                last = max(mailbox.covered_from - 1, self._demux.journal.last_revision)
                self._readers[mailbox] = self._pasts.join(scope, start, last, self._demux.era)
            return self._readers[mailbox]

    def _skip(self, mailbox: Mailbox, lost: Compacted) -> None:
        """Go on from the oldest state that the server still has: nobody has what lies between."""
        start, scope = mailbox.lag_from, self._demux.scope_of(mailbox)
        if start is None or scope is None:
            return
        snapshot = self._store.snapshot(scope, lost.revision or None, self._timeout)
        with self._demux.lock:
            if self._demux.complete < snapshot.revision:
                # The feed is behind it, too: it does not know yet who has died up to there.
                raise ConnectionFailed("the feed has not come as far as the server's history")
            gone = self._demux.lives.gone(start, snapshot.revision, mailbox.wants)
            gap, events = bridge(snapshot, start - 1, lost, gone)
            if gap is not None:
                gap = replace(gap, subscriber=shown(mailbox.who))
                self._demux.journal.append([gap])
                mailbox.delivery.gaps.append(gap)
                mailbox.stand_in(gap)
            fill(mailbox, events)
            mailbox.lag_from = snapshot.revision + 1
        if gap is not None:
            logger.warning("%s fell behind the server's history: %r", shown(mailbox.who), gap)

    def forget(self, mailbox: Mailbox) -> None:
        """Stop reading history for a mailbox whose consumer is gone."""
        reader = self._readers.pop(mailbox, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """End every wait. Reads of the store end when it is closed."""
        self._closing.set()
