"""The range that a feed watches: what is asked for, and what of it the server has acknowledged."""

from __future__ import annotations

import threading
import time

from etcd_watcher.demux import Demux
from etcd_watcher.errors import RequestRejected, StoreClosed
from etcd_watcher.growth import Growth
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Watch

__all__ = ["Reach"]


class Reach:
    """How far a feed's watch reaches.

    Whoever wants keys watched asks here, and waits. The feed's thread brings the watches, and what
    a server says to them.

    Parameters
    ----------
    demux : Demux
        Behind whose `complete` a watch goes on.
    state : Condition
        The feed's, with the demux's own lock: guards all that is here, and is notified when any of
        it changes.
    """

    def __init__(self, demux: Demux, state: threading.Condition) -> None:
        self._demux = demux
        self._state = state
        self.watch: Watch | None = None
        """The present one; None while there is none."""
        self.scope: KeyRange | None = None
        """The range that is to be watched; None while there is nothing to watch."""
        self.opened: KeyRange | None = None
        """The range that the server has acknowledged on the present watch."""
        self.closed = False
        self._growth = Growth()
        self._asking = threading.Lock()
        """Held by the one who asks for a range that is not acknowledged yet."""
        self._asked_for: KeyRange | None = None
        """The range with what they asked for; None while nobody waits."""
        self._rejection: RequestRejected | None = None
        """Why the server refused it."""

    # For those who ask.

    def cover(self, scopes: list[KeyRange], revision: int, timeout: float) -> bool:
        """Have these ranges watched, as `Feed.cover`; False where it took longer than `timeout`.

        Raises
        ------
        RequestRejected
            The server refuses.
        StoreClosed
            The feed is closed.
        """
        deadline = time.monotonic() + timeout
        with self._state:
            if self._is_open(scopes):
                return True
        # One at a time: a refusal must reach the one whose range was refused, and no other.
        if not self._asking.acquire(timeout=timeout):
            return False
        try:
            with self._state:
                return self._ask(scopes, revision, deadline)
        finally:
            self._asking.release()

    def _ask(self, scopes: list[KeyRange], revision: int, deadline: float) -> bool:
        before, wanted = self.scope, KeyRange.hull(scopes)
        if before is None:
            # Somebody else may have watched, and heard more, since that revision was asked for.
            self._demux.complete = max(revision, self._demux.complete)
            self._set_scope(wanted)
        elif not before.covers(wanted) or (self.opened is not None and not self._is_open(scopes)):
            self._set_scope(self._growth(before, wanted))
        target = self.scope
        self._rejection, self._asked_for = None, target
        done = False
        try:
            done = self._wait_open(scopes, deadline)
        finally:
            if not done and self.scope is target and target is not before:
                self._set_scope(before)
            self._asked_for = None
            self._state.notify_all()
        return done

    def _wait_open(self, scopes: list[KeyRange], deadline: float) -> bool:
        while not self._is_open(scopes):
            if self.closed:
                raise StoreClosed("this feed is closed")
            if self._rejection is not None:
                raise self._rejection
            if (remaining := deadline - time.monotonic()) <= 0:
                return False
            self._state.wait(remaining)
        return True

    def _is_open(self, scopes: list[KeyRange]) -> bool:
        opened, watch, all_ = self.opened, self.watch, KeyRange.hull(scopes)
        if opened is None or watch is None or not opened.covers(all_):
            return False
        return watch.watches(all_) or all(map(watch.watches, scopes))

    def narrow(self, scope: KeyRange | None) -> None:
        """Watch no more than `scope`, as `Feed.narrow`."""
        with self._state:
            if self._asked_for is not None:
                asked_for = self._asked_for
                scope = asked_for if scope is None else KeyRange.hull([scope, asked_for])
            if scope != self.scope:
                self._growth = Growth()
                self._set_scope(scope)

    def _set_scope(self, scope: KeyRange | None) -> None:
        if scope is self.scope:
            return
        self.scope = scope
        if self.watch is not None:
            if scope is None:
                self.watch.close()
                self.watch = self.opened = None
            else:
                self.opened = None
                self.watch.retarget(scope, self._demux.complete)
        self._state.notify_all()

    # For the feed's thread.

    def wait_for_scope(self) -> KeyRange | None:
        """Wait, within the lock, for something to watch; None when closed."""
        self._state.wait_for(lambda: self.scope is not None or self.closed)
        return None if self.closed else self.scope

    def adopt(self, watch: Watch, scope: KeyRange) -> bool:
        """Make a new watch of `scope` the present one; False where nothing is to be watched now."""
        with self._state:
            if self.closed or self.scope is None:
                return False
            self.watch = watch
            if self.scope is not scope:
                watch.retarget(self.scope, self._demux.complete)
            return True

    def drop(self, watch: Watch) -> None:
        """Know that a watch has ended."""
        with self._state:
            if self.watch is watch:
                self.watch = self.opened = None

    def hand_over(self, rejection: RequestRejected, timeout: float) -> bool:
        """Hand a refusal to the one who asked for the range, and wait until they set it back.

        False where nobody did: what we could read before is refused now.
        """
        with self._state:
            refused = self._asked_for
            if refused is None or refused is not self.scope:
                return self.closed
            self._rejection = rejection
            self._state.notify_all()
            self._state.wait_for(lambda: self.closed or self._asked_for is not refused, timeout)
            return self.scope is not refused
