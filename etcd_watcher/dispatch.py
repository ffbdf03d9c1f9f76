"""The workers that call callbacks: few threads, and no subscriber waits for another's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from etcd_watcher.bundle import Bundle, FanOut
from etcd_watcher.event import Event
from etcd_watcher.mailbox import DELIVERING, SLOW, Mailbox, attended
from etcd_watcher.pool import LOOP_LOOK, Told, await_settled, give_up

__all__ = ["MAX_WORKERS", "WorkerPool"]

MAX_WORKERS = 32
"""Threads at the most. As many callbacks may block at one time; the next one then waits."""

PATIENCE = 0.005
"""Seconds that a quick mailbox waits behind one callback before another worker takes the turn, and
as long again at the most."""

IDLE_LIFE = 5.0
"""Seconds after which a worker with nothing to do ends; two stay."""

STAYING = 2
"""Workers that stay: one that works, one that looks on."""

TIMED_TOGETHER = 16
"""Callbacks of a fan-out that are timed together, as long as they are quick together."""

Turn = Bundle | FanOut


class WorkerPool:
    """Empties mailboxes, each by one worker at a time.

    Quick callbacks run on one thread, one mailbox after the other: more threads would only pass
    Python's lock around. That thread has the *turn*. Another looks on while mailboxes wait, and
    takes the turn with all that waits when none was done for `PATIENCE`. The callback that held it
    up counts as slow from then on, and slow mailboxes are left to further workers.

    Mailboxes come and are worked through in bundles, of one publication each: one event for 1,000
    subscribers takes this lock a few times and wakes one or two threads. A lock, a look at the
    queue and a wake-up for each of them took 4.4 us a callback, this 0.9, and a `FanOut` 0.5.
    """

    def __init__(self) -> None:
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        """Guards all below; notified when there is something to do."""
        self._let_go = threading.Condition(lock)
        """Notified when a mailbox is done that somebody waits for in `settle`."""
        self._quick: deque[Turn] = deque()
        self._slow: deque[Turn] = deque()
        self._turn: Turn | None = None
        """The quick mailboxes that are being emptied; None while nobody has the turn."""
        self._bundles: dict[Turn, None] = {}
        """All that are not done, in the order in which they came."""
        self._parked: set[Mailbox] = set()
        """Mailboxes whose next events an event loop has."""
        self._back_early: set[Mailbox] = set()
        """Those that it gave back before the worker had put them there. Until then the worker's
        bundle is where `settle` finds them."""
        self._looking = False
        """Whether a worker looks on at somebody's turn."""
        self._workers: set[threading.Thread] = set()
        self._idle = 0
        self._named = 0
        self._awaited: dict[Mailbox, int] = {}
        """The mailboxes that somebody in `settle` waits for to be done, one each, and how many do.
        Read without the lock: it is set before the last look at the mailbox, which is done before
        the look here."""
        self._settling: set[Mailbox] = set()
        """Mailboxes that are being delivered by a callback that itself waits in `settle`."""
        self._suspicious = False
        """Whether a callback of the last fan-out was slow, one of several that were timed together:
        those of the next one are timed one by one."""
        self._closed = False

    def schedule(self, mailboxes: Iterable[Mailbox]) -> None:
        """See to it that these mailboxes are emptied; those already seen to are passed over."""
        with self._work:
            self._schedule(mailboxes)

    def fan_out(self, event: Event, told: list[Told]) -> None:
        """See `Pool.fan_out`."""
        with self._work:
            if not self._closed:
                self._enqueue(FanOut(event, told), self._quick)

    def _schedule(self, mailboxes: Iterable[Mailbox]) -> None:
        if self._closed:
            return
        quick = []
        for mailbox in mailboxes:
            if mailbox.scheduled:
                self._reclaim(mailbox)
                continue
            mailbox.scheduled = True
            if mailbox.slow:
                self._enqueue(Bundle([mailbox]), self._slow)
            else:
                quick.append(mailbox)
        if quick:
            self._enqueue(Bundle(quick), self._quick)

    def _enqueue(self, bundle: Turn, queue: deque[Turn]) -> None:
        self._bundles[bundle] = None
        queue.append(bundle)
        if queue is self._slow or (len(queue) == 1 and not (self._turn and self._looking)):
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
            while (bundle := self._take()) is not None:
                self._idle -= 1
                self._staff()
                self._work.release()
                try:
                    self._work_through(bundle)
                finally:
                    self._work.acquire()
                self._idle += 1
                if self._turn is bundle:
                    self._turn = None
                del self._bundles[bundle]
            self._idle -= 1
            self._workers.discard(threading.current_thread())

    def _take(self) -> Turn | None:
        """Wait for mailboxes to empty; None when this worker is to end."""
        while not self._closed:
            if self._quick and self._turn is None:
                self._turn = self._quick.popleft()
                return self._leave_another_to_look(self._turn)
            if self._slow:
                return self._leave_another_to_look(self._slow.popleft())
            if self._somebody_waits and not self._looking:
                self._look_on()
            elif not self._work.wait(IDLE_LIFE if len(self._workers) > STAYING else None) and (
                len(self._workers) > STAYING and not self._quick and not self._slow
            ):
                return None
        return None

    @property
    def _somebody_waits(self) -> bool:
        return bool(self._quick or (self._turn and self._turn.left))

    def _leave_another_to_look(self, bundle: Turn) -> Turn:
        """Wake somebody to look on, where a mailbox waits and nobody does now."""
        if self._somebody_waits and not self._looking:
            self._work.notify()
        return bundle

    def _look_on(self) -> None:
        """Wait a little, and end the present turn if it has not come a mailbox further since."""
        turn = self._turn
        left = turn.left if turn is not None else 0
        self._looking = True
        self._work.wait(PATIENCE)
        self._looking = False
        if turn is None or self._turn is not turn or turn.left != left:
            return
        rest = turn.rest()
        if rest.mailboxes:
            self._bundles[rest] = None
            self._quick.appendleft(rest)
        self._turn = None

    def _work_through(self, turn: Turn) -> None:
        if isinstance(turn, FanOut):
            self._tell(turn)
        else:
            self._empty(turn)

    def _empty(self, bundle: Bundle) -> None:
        """Empty the mailboxes of a bundle that nobody else takes. Without the lock."""
        now = time.perf_counter()
        for mailbox in bundle.waiting:
            try:
                outcome = mailbox.within(mailbox.run, partial(self._resume, mailbox), now)
                now = mailbox.ended
            except BaseException:  # noqa: BLE001 - it is logged
                outcome = give_up(mailbox)
                now = time.perf_counter()
            if outcome == "parked":
                self._park(mailbox)
                continue
            # Whoever puts an event in looks at `scheduled` after, we look for events after we have
            # set it: one of us sees the other.
            mailbox.scheduled = False
            if mailbox.queue or mailbox.lag_from is not None or self._awaited:
                self._look_after(mailbox)

    def _look_after(self, mailbox: Mailbox) -> None:
        """See to what came for a mailbox meanwhile, and to who waits for it."""
        if mailbox.has_more():
            self._schedule_again(mailbox)
        if mailbox in self._awaited:
            with self._work:
                self._let_go.notify_all()

    def _tell(self, fan_out: FanOut) -> None:
        """Tell all those in a bundle of its event. Without the lock.

        This is `Mailbox.run` for one event, written out, and a clock for several: from the event to
        the last callback that takes 0.45 us a subscriber instead of 0.83, with a clock for each
        0.55. A loop that only calls the callbacks takes 0.12.
        """
        event, waiting, awaited = fan_out.event, fan_out.waiting, self._awaited
        onlooker = attended()
        one_by_one = self._suspicious or fan_out.left <= TIMED_TOGETHER
        self._suspicious = False
        now = time.perf_counter()
        while fan_out.left:
            for subscription, mailbox in islice(waiting, TIMED_TOGETHER):
                if onlooker or mailbox.closed or subscription.ended:
                    self._call_for(mailbox, mailbox.tell, event, subscription)
                else:
                    try:
                        result: object = mailbox.within(subscription.call, event)
                    except BaseException:  # noqa: BLE001 - as in `Mailbox.tell`
                        self._call_for(mailbox, mailbox.failed, event)
                    else:
                        if result is None:
                            mailbox.delivery.delivered += 1
                        else:
                            self._call_for(mailbox, mailbox.returned, event, result)
                mailbox.busy = None
                if one_by_one:
                    ended = time.perf_counter()
                    mailbox.slow = ended - now > SLOW
                    now = ended
                mailbox.scheduled = False  # and then look, as in `_empty`
                if mailbox.queue or mailbox.lag_from is not None or awaited:
                    self._look_after(mailbox)
            ended = time.perf_counter()
            if not one_by_one and ended - now > SLOW:
                one_by_one = self._suspicious = True
            now = ended

    def _call_for(self, mailbox: Mailbox, call: Callable[..., Any], *arguments: object) -> None:
        """Call a method of a mailbox within its context; it is closed where that raises."""
        try:
            mailbox.within(call, *arguments)
        except BaseException:  # noqa: BLE001 - it is logged
            give_up(mailbox)

    def _park(self, mailbox: Mailbox) -> None:
        with self._work:
            self._parked.add(mailbox)
            if mailbox in self._back_early:
                self._unpark(mailbox)

    def _schedule_again(self, mailbox: Mailbox) -> None:
        with self._work:
            if not mailbox.closed and not mailbox.scheduled:
                self._schedule([mailbox])

    def _resume(self, mailbox: Mailbox) -> None:
        """Take a mailbox back from an event loop."""
        with self._work:
            if mailbox in self._parked:
                self._unpark(mailbox)
            else:
                self._back_early.add(mailbox)

    def _unpark(self, mailbox: Mailbox) -> None:
        self._parked.discard(mailbox)
        self._back_early.discard(mailbox)
        mailbox.scheduled = False
        if not mailbox.closed and mailbox.has_more():
            self._schedule([mailbox])
        self._let_go.notify_all()

    def _reclaim(self, mailbox: Mailbox) -> None:
        """Take a mailbox back from an event loop that was closed before it delivered."""
        loop = mailbox.parked_on if mailbox in self._parked else None
        if loop is not None and loop.is_closed():
            mailbox.fail_handed()
            self._unpark(mailbox)

    def settle(self, revision: int, timeout: float) -> list[Mailbox]:
        """See `Pool.settle`. Those whose callbacks wait here, too, do not count for each other."""
        mine = DELIVERING.get()
        with self._work:
            if mine is not None:
                self._settling.add(mine)
                self._let_go.notify_all()
            try:
                return self._settle(revision, timeout, mine)
            finally:
                if mine is not None:
                    self._settling.discard(mine)
                    self._let_go.notify_all()

    def _settle(self, revision: int, timeout: float, mine: Mailbox | None) -> list[Mailbox]:
        held = [*self._parked, *(each for bundle in self._bundles for each in bundle.mailboxes)]

        def late() -> list[Mailbox]:
            for each in list(self._parked):
                self._reclaim(each)
            # One that was closed and let go is not told the rest of what it holds.
            held[:] = [
                each
                for each in held
                if not each.settled(revision) and (each.scheduled or not each.closed)
            ]
            # One from outside is in no circle with them, and does wait.
            return [each for each in held if mine is None or each not in self._settling]

        def wait(late: list[Mailbox], seconds: float) -> bool:
            if self._closed:
                return False
            # Nobody tells that a loop was closed: one has to look.
            parked = any(each.parked_on is not None for each in late)
            self._await(late[-1], revision, min(seconds, LOOP_LOOK) if parked else seconds)
            return True

        return await_settled(late, wait, timeout)

    def _await(self, mailbox: Mailbox, revision: int, timeout: float) -> None:
        """Wait for one mailbox, probably the last to be emptied, or for what changes the circle."""
        self._awaited[mailbox] = self._awaited.get(mailbox, 0) + 1
        try:
            if not mailbox.settled(revision):
                self._let_go.wait(timeout)
        finally:
            self._awaited[mailbox] -= 1
            if not self._awaited[mailbox]:
                del self._awaited[mailbox]

    def close(self, timeout: float = 1.0) -> None:
        """Start no more callbacks, and wait for those under way, `timeout` seconds at most."""
        deadline = time.monotonic() + timeout
        with self._work:
            self._closed = True
            self._quick.clear()
            self._slow.clear()
            for bundle in self._bundles:
                bundle.rest()  # so that whoever works through it finds nobody
            self._work.notify_all()
            self._let_go.notify_all()
            workers = self._workers - {threading.current_thread()}
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
