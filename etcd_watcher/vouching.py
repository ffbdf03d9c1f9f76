"""Who has not been called yet, but runs the same code as one who was tried: that one vouches."""

from __future__ import annotations

import time
from types import CodeType
from weakref import ReferenceType, WeakKeyDictionary, ref

from etcd_watcher.mailbox import Mailbox

__all__ = ["Vouchers"]


class Vouchers:
    """Those whose first call was a worker's, by the code of their callback, for all who share it.

    It speaks of first calls only: later ones are judged by how the subscriber's own last one was.
    Where 10,000 keys have a subscriber each, made of one function or class, the first event of each
    would else take a worker: half as many calls again, two wake-ups, and 40 us of CPU more.

    Guarded by the pool's lock. It holds no code and no mailbox that nobody else does: those of
    notebook cells come and go.
    """

    def __init__(self) -> None:
        self._tried: WeakKeyDictionary[CodeType, ReferenceType[Mailbox]] = WeakKeyDictionary()
        """Who was tried, or is about to be."""
        self._barred: WeakKeyDictionary[CodeType, float] = WeakKeyDictionary()
        """Code that held up the thread on which it was called, and until when nobody vouches for it."""

    def vouch_for(self, mailbox: Mailbox) -> bool:
        """Tell whether somebody vouches for a mailbox that was never emptied, and that nobody has.

        If not, it is to be left to a worker: it may be the one that is tried.
        """
        if len(mailbox.queue) != 1:  # it may be more than one code that is to run
            return False
        subscription = mailbox.queue[0][1]
        code = subscription.code
        if code is None or subscription.loop is not None:
            return False
        if self._barred and self._barred.get(code, 0.0) > time.perf_counter():
            return False
        tried = self._tried.get(code)
        other = None if tried is None else tried()
        if other is None or other.closed or other.slow or not (other.ended or other.scheduled):
            self._tried[code] = ref(mailbox)
            return False
        return other.ended > 0  # else a worker has it still

    def bar(self, mailbox: Mailbox, code: CodeType | None, until: float) -> None:
        """Have nobody vouch for one who held the thread up, and then only one who was tried since.

        Parameters
        ----------
        mailbox : Mailbox
            It vouches for nobody any more, either.
        code : CodeType or None
            What it ran, where another one had vouched for it.
        until : float
            By the clock of `Mailbox.ended`.
        """
        codes = [each for each, tried in self._tried.items() if tried() is mailbox]
        if code is not None:
            codes.append(code)
        for each in codes:
            self._tried.pop(each, None)
            self._barred[each] = until
