"""Calling callbacks one at a time, always in the same order: what a replay does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter

from etcd_watcher.event import Event
from etcd_watcher.mailbox import DELIVERING, Mailbox
from etcd_watcher.pool import LOOP_LOOK, Told, await_settled, give_up

__all__ = ["Turns"]


class Turns:
    """Empties mailboxes on one thread, one after the other, in the order in which they were filled.

    A `pool.Pool` for a store that gives the next transaction only when nobody has anything to
    deliver any more. Then all callbacks come in one order, whoever they belong to.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        """Guards all below; notified when any of it changes."""
        self._due: deque[Mailbox] = deque()
        self._current: Mailbox | None = None
        """The one that is being emptied, here or by an event loop."""
        self._aside = 0
        """Callbacks that wait for what is still to come."""
        self._resumed = False
        self._thread: threading.Thread | None = None
        self._closed = False
        self.on_rest: Callable[[], None] = lambda: None
        """Called, without a lock, whenever `resting` may have become true."""

    def resting(self) -> bool:
        """Tell whether nobody has anything to deliver. It takes no lock."""
        return self._aside > 0 or (self._current is None and not self._due)

    def schedule(self, mailboxes: Iterable[Mailbox]) -> None:
        with self._changed:
            if self._closed:
                return
            self._due.extend(each for each in mailboxes if each not in self._due)
            self._changed.notify_all()
            if self._thread is None:
                name = "etcd_watcher-worker-1"
                self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._thread.start()

    def fan_out(self, event: Event, told: list[Told]) -> None:
        """See `Pool.fan_out`: here all go through their mailboxes, which keep the order."""
        for subscription, mailbox in told:
            mailbox.queue.append((event, subscription))
            mailbox.scheduled = False
        self.schedule([mailbox for _, mailbox in told])

    def lend(self, mailboxes: Iterable[Mailbox], relieve: Callable[[], None]) -> int:  # noqa: ARG002 - nobody is held up
        """Leave all to our one thread: they have their order there."""
        self.schedule(mailboxes)
        return 0

    def work_off(self) -> bool:
        return True

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    return
                # In this order: whoever looks without the lock always sees one of the two.
                self._current = mailbox = self._due[0]
                self._due.popleft()
                self._resumed = False
            # As live, what one subscriber's callbacks set in their context no other one sees.
            try:
                outcome: str = mailbox.within(mailbox.run, self._resume, perf_counter())
            except BaseException:  # noqa: BLE001 - it is logged
                outcome = give_up(mailbox)
            with self._changed:
                if outcome == "parked":
                    self._wait_for_loop(mailbox)
                if not mailbox.closed and mailbox.has_more():
                    self._due.appendleft(mailbox)
                self._current = None
                self._changed.notify_all()
            self.on_rest()

    def _wait_for_loop(self, mailbox: Mailbox) -> None:
        while not self._changed.wait_for(lambda: self._resumed or self._closed, LOOP_LOOK):
            # Nobody tells that a loop was closed: one has to look.
            if mailbox.parked_on is not None and mailbox.parked_on.is_closed():
                mailbox.fail_handed()
                return

    def _resume(self) -> None:
        """Take a mailbox back from an event loop."""
        with self._changed:
            self._resumed = True
            self._changed.notify_all()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others have their turn while a callback waits for what is still to come."""
        if DELIVERING.get() is None:
            yield
            return
        with self._changed:
            self._aside += 1
        self.on_rest()
        try:
            yield
        finally:
            with self._changed:
                self._aside -= 1

    def settle(self, revision: int, timeout: float) -> list[Mailbox]:
        """See `Pool.settle`. For a callback there is nobody to wait for: the others come after."""
        if DELIVERING.get() is not None:
            return []

        def late() -> list[Mailbox]:
            held = [*self._due] if self._current is None else [self._current, *self._due]
            return [each for each in held if not each.settled(revision)]

        def wait(_: list[Mailbox], seconds: float) -> bool:
            if self._closed:
                return False
            self._changed.wait(min(seconds, LOOP_LOOK))
            return True

        with self._changed:
            return await_settled(late, wait, timeout)

    def close(self, timeout: float = 1.0) -> None:
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
