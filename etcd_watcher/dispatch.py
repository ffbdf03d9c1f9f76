"""The workers that call callbacks: few threads, and no subscriber waits for another's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable
from functools import partial

from etcd_watcher.errors import StoreClosed
from etcd_watcher.mailbox import DELIVERING, Mailbox, logger

__all__ = ["MAX_WORKERS", "WorkerPool"]

MAX_WORKERS = 32
"""Threads at the most. As many callbacks may block at one time; the next one then waits."""

PATIENCE = 0.005
"""Seconds that a quick mailbox waits behind one callback before another worker takes the turn."""

IDLE_LIFE = 5.0
"""Seconds after which a worker with nothing to do ends; two stay."""

LOOP_LOOK = 0.1
"""Seconds between two looks whether an event loop that has callbacks to run was closed."""

STAYING = 2
"""Workers that stay: one that works, one that looks on."""


class WorkerPool:
    """Empties mailboxes, each by one worker at a time.

    Quick callbacks run on one thread, one mailbox after the other: more threads would only pass
    Python's lock around. That thread has the *turn*. Another looks on and takes the turn as soon
    as it was held for `PATIENCE` while a mailbox waited. The callback that held it up counts as
    slow from then on, and slow mailboxes are left to further workers.
    """

    def __init__(self) -> None:
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        """Guards all below; notified when there is something to do."""
        self._let_go = threading.Condition(lock)
        """Notified, while someone waits in `settle`, when a worker or a loop lets a mailbox go."""
        self._quick: deque[Mailbox] = deque()
        self._slow: deque[Mailbox] = deque()
        self._held: set[Mailbox] = set()
        """Mailboxes that wait for a worker, or are with a worker or a loop."""
        self._turn: float | None = None
        """When the present turn at `_quick` began; None while nobody has it."""
        self._looking = False
        """Whether a worker is waiting out somebody's turn."""
        self._workers: set[threading.Thread] = set()
        self._idle = 0
        self._named = 0
        self._settlers = 0
        self._settling: set[Mailbox] = set()
        """Mailboxes that are being delivered by a callback that itself waits in `settle`."""
        self._closed = False

    def schedule(self, mailboxes: Iterable[Mailbox]) -> None:
        """See to it that these mailboxes are emptied; those already seen to are passed over."""
        with self._work:
            for mailbox in mailboxes:
                if mailbox.scheduled:
                    self._reclaim(mailbox)
                else:
                    mailbox.scheduled = True
                    self._held.add(mailbox)
                    self._enqueue(mailbox)

    def _enqueue(self, mailbox: Mailbox) -> None:
        if self._closed:
            return
        if mailbox.slow:
            self._slow.append(mailbox)
            self._work.notify()
        else:
            self._quick.append(mailbox)
            if len(self._quick) == 1 and (self._turn is None or not self._looking):
                self._work.notify()
        self._staff()

    def _staff(self) -> None:
        """Have at least one worker to spare, as long as there may be more of them."""
        if self._idle == 0 and len(self._workers) < MAX_WORKERS:
            self._named += 1
            name = f"etcd_watcher-worker-{self._named}"
            worker = threading.Thread(target=self._serve, name=name, daemon=True)
            self._workers.add(worker)
            self._idle += 1
            worker.start()

    def _serve(self) -> None:
        with self._work:
            while (taken := self._take()) is not None:
                mailbox, turn = taken
                self._idle -= 1
                self._staff()
                self._work.release()
                try:
                    outcome = self._run(mailbox)
                finally:
                    self._work.acquire()
                self._idle += 1
                if turn is not None and self._turn == turn:
                    self._turn = None
                self._put_back(mailbox, outcome)
            self._idle -= 1
            self._workers.discard(threading.current_thread())

    def _run(self, mailbox: Mailbox) -> str:
        DELIVERING.set(mailbox)
        try:
            return mailbox.run(partial(self._resume, mailbox))
        except StoreClosed:
            mailbox.closed = True
            return "idle"
        except BaseException:  # noqa: BLE001 - callbacks' errors do not come here; whatever does, the
            # way back to the live events is gone (no permission any more, say, or a defect of
            # ours), and the worker has others to serve.
            mailbox.closed = True
            logger.exception("%r gets no more events", mailbox.who)
            return "idle"
        finally:
            DELIVERING.set(None)

    def _take(self) -> tuple[Mailbox, float | None] | None:
        """Wait for a mailbox to empty; None when this worker is to end."""
        while not self._closed:
            now = time.monotonic()
            held_for = 0.0 if self._turn is None else now - self._turn
            if self._quick and (self._turn is None or held_for >= PATIENCE):
                self._turn = now
                return self._leave_another_to_look(self._quick.popleft()), now
            if self._slow:
                return self._leave_another_to_look(self._slow.popleft()), None
            if self._quick and not self._looking:
                self._looking = True
                self._work.wait(PATIENCE - held_for)
                self._looking = False
            elif not self._work.wait(IDLE_LIFE if len(self._workers) > STAYING else None) and (
                len(self._workers) > STAYING and not self._quick and not self._slow
            ):
                return None
        return None

    def _leave_another_to_look(self, mailbox: Mailbox) -> Mailbox:
        """Wake somebody to look on, where a mailbox waits and nobody does now."""
        if self._quick and not self._looking:
            self._work.notify()
        return mailbox

    def _put_back(self, mailbox: Mailbox, outcome: str) -> None:
        if outcome != "parked":
            if not mailbox.closed and mailbox.has_more():
                self._enqueue(mailbox)
            else:
                mailbox.scheduled = False
                self._held.discard(mailbox)
        if self._settlers:
            self._let_go.notify_all()

    def _resume(self, mailbox: Mailbox) -> None:
        """Take a mailbox back from an event loop."""
        with self._work:
            self._put_back(mailbox, "idle")

    def _reclaim(self, mailbox: Mailbox) -> None:
        """Take a mailbox back from an event loop that was closed before it delivered."""
        if mailbox.parked_on is not None and mailbox.parked_on.is_closed():
            mailbox.fail_handed()
            self._put_back(mailbox, "idle")

    def settle(self, revision: int, timeout: float) -> list[Mailbox]:
        """Wait until every event up to `revision` has been delivered, `timeout` seconds at most.

        The mailbox that the calling thread is delivering does not count: it would wait for itself.
        Nor do those whose callbacks wait here, too: two would wait for each other.

        Returns
        -------
        The mailboxes that still have some to deliver: empty for success.

        Raises
        ------
        RuntimeError
            When one waits for the event loop that this very thread runs.
        """
        deadline = time.monotonic() + timeout
        mine = DELIVERING.get()
        loop = _running_loop()
        with self._work:
            self._settlers += 1
            if mine is not None:
                self._settling.add(mine)
                self._let_go.notify_all()
            try:
                while True:
                    for each in [each for each in self._held if each.parked_on is not None]:
                        self._reclaim(each)
                    # One from outside is in no circle with them, and does wait.
                    others = self._held - self._settling if mine is not None else self._held
                    late = [each for each in others if not each.settled(revision)]
                    if loop is not None and any(each.parked_on is loop for each in late):
                        raise RuntimeError(
                            "an async callback is waiting for the event loop that this call would "
                            "block: use `await watcher.sync_async()` here"
                        )
                    remaining = deadline - time.monotonic()
                    if not late or remaining <= 0 or self._closed:
                        return late
                    # Nobody tells that a loop was closed: one has to look.
                    parked = any(each.parked_on is not None for each in late)
                    self._let_go.wait(min(remaining, LOOP_LOOK) if parked else remaining)
            finally:
                self._settlers -= 1
                if mine is not None:
                    self._settling.discard(mine)
                    self._let_go.notify_all()

    def close(self, timeout: float = 1.0) -> None:
        """Start no more callbacks, and wait for those under way, `timeout` seconds at most."""
        deadline = time.monotonic() + timeout
        with self._work:
            self._closed = True
            self._quick.clear()
            self._slow.clear()
            self._work.notify_all()
            self._let_go.notify_all()
            workers = self._workers - {threading.current_thread()}
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
