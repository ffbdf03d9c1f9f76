"""Callbacks on the very thread that has read their events, and who reads on should one block.

From the feed's thread to a worker is a hop that costs 0.1 ms: a wake-up, and Python's lock. Where
events are few, their mailboxes few and known to be quick, the feed's thread saves it: behind each
publication it empties these itself, outside of the demux's lock, and then reads on. It is *lent the
turn*, as the pool calls it, so that there is still one thread for all quick callbacks.

It must never be missed for long, whatever a callback does (it may wait for an event that is still to
be read). So it is lent the turn only while a *lookout* is up: an idle worker that looks every few
milliseconds whether the turn has come further. If it has not for `HELD_UP`, the thread is *relieved*:
the lookout has a new one read on where the old one stopped, and gives what waits behind the callback
to the workers. The old thread sees it when the callback returns at last, and ends. Both see it under
the pool's lock: a watch has one reader at any time.

- A lookout costs no wake-up an event. It is up while there is traffic, and for some looks more; an
  event that finds none goes the way over a worker, whose wake-up is due then anyway, and who stays up
  as the lookout behind it.
- The first call of a subscriber is a worker's: what we do not know yet is not tried out on the thread
  that everybody needs. But for one of many: where a worker has called another that runs the same
  code, and it was quick, that one vouches for all (see `vouching`).
- One who was slow the last time, or lags, or waits for an event loop, is a worker's, too.
- Who held the thread up is not called on it for `BARRED` seconds, and then only when a worker found it
  quick since. A pause of the whole machine looks just the same, so that it is not for good.
- Threads stay few: while `AWAY` of those that were relieved are still out, nobody is lent the turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import CodeType

from etcd_watcher.bundle import Bundle
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.vouching import Vouchers

__all__ = ["AWAY", "HELD_UP", "Loan", "Readers", "Relieved"]

HELD_UP = 0.01
"""Seconds without progress after which somebody else reads."""

BARRED = 60.0
"""Seconds for which one who held the feed's thread up is left to the workers."""

AWAY = 4
"""Threads that were relieved and are not back yet, at the most."""


class Loan:
    """The turn, while it is lent to the thread that brings the events. Guarded by the pool's lock."""

    def __init__(self) -> None:
        self.turn: Bundle | None = None
        """None while it is not lent."""
        self.away = 0
        """Threads that were relieved, and are in the callback still that held them up."""
        self._relieve: Callable[[], None] = lambda: None
        self._barred: dict[Mailbox, float] = {}
        """Until when, by the clock of `Mailbox.ended`."""
        self._vouchers = Vouchers()
        self._first: dict[Mailbox, CodeType | None] = {}
        """Whose first call this is, of those that the turn is lent for, and what it runs."""

    def part(self, mailboxes: Iterable[Mailbox]) -> tuple[list[Mailbox], list[Mailbox]]:
        """Part who is trusted from the others, and from those that somebody has already."""
        trusted: list[Mailbox] = []
        others: list[Mailbox] = []
        barred, vouchers = self._barred, self._vouchers
        for each in mailboxes:
            known = each.ended > barred.get(each, 0.0) if barred else each.ended
            if not (each.slow or each.scheduled or each.lag_from is not None) and (
                known or (not each.ended and vouchers.vouch_for(each))
            ):
                trusted.append(each)
            else:
                others.append(each)
        return trusted, others

    def begin(self, mailboxes: list[Mailbox], relieve: Callable[[], None]) -> Bundle:
        """Lend the turn for these mailboxes."""
        for each in mailboxes:
            each.scheduled = True
        self._first = {each: each.queue[0][1].code for each in mailboxes if not each.ended}
        self._relieve = relieve
        self.turn = bundle = Bundle(mailboxes)
        return bundle

    def end(self, bundle: Bundle) -> bool:
        """Take the turn back when all is done; False where `take_away` did it before."""
        if self.turn is bundle:
            self.turn = None
            self._first.clear()
            return True
        self.away -= 1
        return False

    def take_away(self) -> Callable[[], None] | None:
        """Take the turn from the callback that holds it up; give what has another thread read.

        None where no callback does: the thread had no time yet to call one.
        """
        turn = self.turn
        if turn is None or turn.left == len(turn.mailboxes):
            return None
        self._bar(turn.mailboxes[-1 - turn.left])
        self.turn = None
        self.away += 1
        return self._relieve

    def _bar(self, mailbox: Mailbox) -> None:
        self._barred = {
            each: until
            for each, until in self._barred.items()
            if not each.closed and each.ended <= until
        }
        self._barred[mailbox] = until = time.perf_counter() + BARRED
        self._vouchers.bar(mailbox, self._first.get(mailbox), until)
        self._first.clear()


class Relieved(Exception):
    """Another thread reads on."""


class Readers:
    """The feed's threads: the one that reads, and those that were relieved and are not back.

    Parameters
    ----------
    read : callable
        What the thread does; one that takes over begins it anew.
    lock : context manager
        The feed's: guards all below.
    """

    def __init__(self, read: Callable[[], None], lock: AbstractContextManager[object]) -> None:
        self._read = read
        self._lock = lock
        self.thread: threading.Thread | None = None
        """The one that reads; None before the first."""
        self._relieved: list[threading.Thread] = []
        self._ended = False

    def begin(self) -> None:
        """Have a thread read, if none does yet."""
        if self.thread is None and not self._ended:
            self._start()

    def _start(self) -> None:
        self.thread = threading.Thread(target=self._read, name="etcd_watcher-feed", daemon=True)
        self.thread.start()

    def relieve(self) -> None:
        """Have another thread read on, in the place of one that a callback holds up."""
        with self._lock:
            if self.thread is None or self._ended:
                return
            self.thread.name = "etcd_watcher-held-up"
            self._relieved = [*filter(threading.Thread.is_alive, self._relieved), self.thread]
            self._start()

    def join(self, deadline: float) -> None:
        """Start no more, and wait until all have ended, by the monotonic clock's `deadline`."""
        with self._lock:
            self._ended = True
            threads = [*self._relieved, self.thread]
            self._read = lambda: None  # it holds the feed, which holds us
        for thread in threads:
            if thread not in (None, threading.current_thread()) and thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
