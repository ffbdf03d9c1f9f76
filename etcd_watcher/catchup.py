"""How a lagging subscriber gets back to the live events: by the journal, else by the server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

from etcd_watcher.backoff import RETRY
from etcd_watcher.demux import Demux
from etcd_watcher.errors import Compacted, ConnectionFailed, StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.lagging import fill
from etcd_watcher.log import logger
from etcd_watcher.mailbox import MAILBOX_EVENTS, Mailbox
from etcd_watcher.resync import bridge
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
        self._histories: dict[Mailbox, tuple[Iterator[list[Event]], int, KeyRange]] = {}
        """Histories that are being read, with their last revision and their range. Each is touched
        by the one thread that has the mailbox."""

    def __call__(self, mailbox: Mailbox) -> None:
        """Bring a mailbox its next events. Blocks while the server is asked."""
        if mailbox not in self._histories and self._demux.refill_from_journal(mailbox, CHUNK):
            return
        try:
            self._refill_or_skip(mailbox)
        except ConnectionFailed:
            self._histories.pop(mailbox, None)
            if self._closing.wait(RETRY):
                raise StoreClosed("the watcher was closed while a subscriber caught up") from None

    def _refill_or_skip(self, mailbox: Mailbox) -> None:
        try:
            self._refill_from_history(mailbox)
        except Compacted as lost:
            self._histories.pop(mailbox, None)
            if mailbox.raises_compacted:
                raise
            with contextlib.suppress(Compacted):  # once more meanwhile: the next call sees to it
                self._skip(mailbox, lost)

    def _refill_from_history(self, mailbox: Mailbox) -> None:
        start = mailbox.lag_from
        scope = self._demux.scope_of(mailbox)
        if start is None or scope is None:
            mailbox.lag_from = None
            return
        if mailbox not in self._histories:
            last = max(mailbox.covered_from - 1, self._demux.journal.last_revision)
            self._histories[mailbox] = (replay(self._store, scope, start, last), last, scope)
        history, last, scope = self._histories[mailbox]
        events = next(history, None)
        with self._demux.lock:
            if events is None:
                del self._histories[mailbox]
                mailbox.lag_from = last + 1
            else:
                fill(mailbox, events, scope)
                mailbox.lag_from = events[-1].revision + 1

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
        history = self._histories.pop(mailbox, None)
        if history is not None and hasattr(history[0], "close"):
            history[0].close()

    def close(self) -> None:
        """End every wait. Reads of the store end when it is closed."""
        self._closing.set()
