"""The workers that call callbacks: few threads, and no subscriber waits for another's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from etcd_watcher.bundle import Bundle, FanOut
from etcd_watcher.event import Event
from etcd_watcher.mailbox import DELIVERING, Mailbox
from etcd_watcher.pool import LOOP_LOOK, Told, await_settled, give_up
from etcd_watcher.relay import AWAY, HELD_UP, Loan

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

LOOKS = 10
"""Times that a worker looks on at nothing, `PATIENCE` each, before it takes traffic for ended."""

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

    The turn may be lent to the thread that brings the events: see `relay`.
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
        self._looks = 0
        """How often one shall look on though nobody waits."""
        self._seen: tuple[Turn | None, int, float] = (None, 0, 0.0)
        """The turn that was looked at last, what was left of it, and since when it is so."""
        self._loan = Loan()
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

    def lend(self, mailboxes: Iterable[Mailbox], relieve: Callable[[], None]) -> int:
        """See `Pool.lend`."""
        with self._work:
            trusted, others = self._loan.part(mailboxes)
            if trusted:
                self._looks = LOOKS
            free = self._turn is None and not self._quick and self._loan.away < AWAY
            if not trusted or not free or not self._looking or self._closed:
                self._schedule(mailboxes)
                return 0
            self._turn = bundle = self._loan.begin(trusted, relieve)
            self._bundles[bundle] = None
            self._schedule(others)
            return len(trusted)

    def work_off(self) -> bool:
        """See `Pool.work_off`."""
        bundle = self._loan.turn
        if bundle is None:
            return True
        self._empty(bundle)
        with self._work:
            del self._bundles[bundle]
            if not self._loan.end(bundle):
                return False
            self._turn = None
            if self._quick:
                self._work.notify()
            return True

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
            if self._is_last_lookout:
                self._look_on()
            elif self._quick and self._turn is None:
                self._turn = self._quick.popleft()
                return self._leave_another_to_look(self._turn)
            elif self._slow:
                return self._leave_another_to_look(self._slow.popleft())
            elif not self._looking and (self._somebody_waits or self._looks > 0):
                self._look_on()
            elif not self._work.wait(IDLE_LIFE if len(self._workers) > STAYING else None) and (
                len(self._workers) > STAYING and not self._quick and not self._slow
            ):
                return None
        return None

    @property
    def _somebody_waits(self) -> bool:
        return bool(self._quick or self._loan.turn or (self._turn and self._turn.left))

    @property
    def _is_last_lookout(self) -> bool:
        """Whether nobody is left to look on at a turn that is lent, and no more may be hired."""
        lent = self._loan.turn is not None
        return lent and not self._looking and self._idle == 1 and len(self._workers) >= MAX_WORKERS

    def _leave_another_to_look(self, bundle: Turn) -> Turn:
        """Wake somebody to look on, where a mailbox waits and nobody does now."""
        if self._somebody_waits and not self._looking:
            self._work.notify()
        return bundle

    def _look_on(self) -> None:
        """Wait a little, and end the present turn if it has not come a mailbox further for long."""
        turn = self._turn
        self._look_at(turn)
        self._looks -= self._looks > 0
        self._looking = True
        self._work.wait(PATIENCE)
        self._looking = False
        if turn is None or self._turn is not turn:
            return
        lent = turn is self._loan.turn
        if self._look_at(turn) < (HELD_UP if lent else PATIENCE):
            return
        relieve = self._loan.take_away() if lent else None
        if lent and relieve is None:
            return
        rest = turn.rest()
        if rest.mailboxes:
            self._bundles[rest] = None
            self._quick.appendleft(rest)
        self._turn = None
        if relieve is not None:
            self._work.release()
            try:
                relieve()
            finally:
                self._work.acquire()

    def _look_at(self, turn: Turn | None) -> float:
        """Give for how many seconds, as far as was seen, a turn has come no further."""
        left, now = turn.left if turn is not None else 0, time.monotonic()
        if self._seen[0] is not turn or self._seen[1] != left:
            self._seen = (turn, left, now)
        return now - self._seen[2]

    def _work_through(self, turn: Turn) -> None:
        if isinstance(turn, FanOut):
            self._suspicious = turn.tell(self._look_after, self._awaited, self._suspicious)
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
                now = time.perf_counter()
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
