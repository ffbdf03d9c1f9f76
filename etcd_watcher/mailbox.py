"""What one subscriber has still to be told: a bounded queue, and a place in history behind it."""

from __future__ import annotations

import inspect
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

import etcd_watcher.onlooker as onlookers
from etcd_watcher.event import Event, Gap
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.log import logger
from etcd_watcher.subscriber import Delivery, Subscriber, Subscription, shown

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "DELIVERING",
    "MAILBOX_BYTES",
    "MAILBOX_EVENTS",
    "SLOW",
    "Mailbox",
    "Refill",
    "room_for",
]

MAILBOX_EVENTS = 2048
"""Events that a mailbox holds before its subscriber counts as lagging. They are the journal's own
objects, so that a full mailbox costs about 16 bytes an event."""

MAILBOX_BYTES = 16 * 1024 * 1024
"""Bytes that large values may take in a mailbox, once the journal has forgotten their events."""

LARGE = MAILBOX_BYTES // (2 * MAILBOX_EVENTS)
"""Bytes from which a value is large: it comes twice, as the value and as that before the next."""

SLICE = 0.005
"""Seconds for which one mailbox keeps a worker before others get their turn."""

SLOW = SLICE / 4
"""Seconds on average from which a callback is slow: a handful of events fill a slice."""

LOOP_CHUNK = 64
"""Events handed to an event loop in one wake-up: with one each a flood delayed `1+1` by 2 s."""

DELIVERING: ContextVar[Mailbox | None] = ContextVar("etcd_watcher_delivering", default=None)
"""The mailbox whose callback this code belongs to: on a worker, in a task, or waiting for them."""

ERRORS_SHOWN = 100
"""Different errors of one subscriber that are logged; all are counted."""

UNAWAITED = (
    "TypeError: the callback gave a coroutine, which nobody awaits here: register the `async def` "
    "itself, in a running event loop\n"
)


def room_for(event: Event) -> int:
    """Give how many events such as this one a mailbox holds."""
    size = len(event.raw_value or b"")
    return MAILBOX_EVENTS if size < LARGE else max(1, MAILBOX_BYTES // (2 * size))


class Refill(Protocol):
    """Brings a lagging mailbox the next events it has to tell."""

    def __call__(self, mailbox: Mailbox) -> None:
        """Extend `mailbox.queue`, and move or clear its `lag_from`.

        It may block, and raises what ends the mailbox.
        """
        ...


def _context_of(mailbox: Mailbox) -> Context:
    context = Context()
    context.run(DELIVERING.set, mailbox)
    return context


class Mailbox:
    """One subscriber's events, in revision order over all of its keys.

    The feed's thread puts events in, one consumer at a time (a worker, a loop, an iterator) takes
    them out. When it is full it lags: the feed passes it by, and the consumer catches up from the
    journal, or from the server's history, until it is with the live events again.
    """

    __slots__ = (
        "__weakref__", "_handed", "_mixed", "_refill", "_shown", "_stand_in", "_task", "busy", "closed",
        "covered_from", "delivery", "ended", "exact", "journal", "lag_from", "notify", "parked_on",
        "prefixes", "queue", "raises_compacted", "scheduled", "slow", "who", "within",
    )  # fmt: skip
    """A fan-out goes through thousands: with a dict each, one would touch more of the memory."""

    def __init__(self, who: object, refill: Refill, notify: Callable[[], None] | None) -> None:
        self.who = who
        self.notify = notify
        """Called after events were put in; None for a mailbox that a worker empties."""
        self.delivery = who.delivery if isinstance(who, Subscriber) else Delivery()
        self.journal: Journal | None = None
        """Its watcher's, which is how one tells whose mailbox it is."""
        self.exact: dict[bytes, Subscription] = {}
        self.prefixes: list[Subscription] = []
        self.queue: deque[tuple[Event, Subscription]] = deque()
        self.lag_from: int | None = None
        """The first revision that is still to be fetched from the journal or the server's history;
        None while live. Guarded by the demux's lock."""
        self.covered_from = 0
        """The first revision from which the journal can have every event of ours: other than 0 for
        one who asked for what was before the watch began."""
        self.busy: int | None = None
        """The revision that is being delivered now, or about to be without having been in the queue
        (`Demux`). Set before its event leaves the queue: `settled` never looks in between."""
        self.parked_on: asyncio.AbstractEventLoop | None = None
        """The event loop that has the next events to deliver; None while none has."""
        self._handed: deque[tuple[Event, Subscription]] = deque()
        """What that loop has still to deliver."""
        self._task: asyncio.Task[None] | None = None
        """What runs on that loop."""
        self.raises_compacted = False
        """Whether history that the server has dropped is an error for the consumer, who asked for
        it; otherwise the mailbox goes on behind it."""
        self.closed = False
        self.slow = False
        """Whether its callbacks take long: it then has a worker of its own for the while."""
        self.ended = 0.0
        """When `run` last ended, which is when the next mailbox on that thread begins."""
        self.scheduled = False
        """Whether a worker or a loop has it, or it waits for one. Set by the pool under its lock, or
        by the demux under its own where nothing is in the mailbox; whoever has it clears it."""
        self._stand_in = (0, 0)
        """The revisions that a loss began and ended with, for which synthetic events stand."""
        self.within: Callable[..., Any] = _context_of(self).run
        """Calls a function as this subscriber's. A context each, because to set a variable for
        each call takes longer than the call."""
        self._mixed = False
        """Whether events of replaced data are before us still, whose revisions tell nothing."""
        self._refill = refill
        self._shown: set[str] = set()
        """Errors that were logged already: a callback that always fails is shown once."""

    def __len__(self) -> int:
        return len(self.exact) + len(self.prefixes)

    @property
    def subscriptions(self) -> list[Subscription]:
        """What we ask for: exact keys, then prefixes."""
        return [*self.exact.values(), *self.prefixes]

    def add(self, subscription: Subscription) -> None:
        """Ask for one more key or prefix."""
        if subscription.prefix:
            self.prefixes.append(subscription)
        else:
            self.exact[subscription.scope.start] = subscription

    def remove(self, subscription: Subscription) -> None:
        """Ask no more for a key or prefix; what is in the queue for it is dropped."""
        if subscription.prefix:
            self.prefixes.remove(subscription)
        else:
            del self.exact[subscription.scope.start]
        subscription.ended = True

    def find(self, scope: KeyRange, *, prefix: bool) -> Subscription | None:
        """Give our subscription to exactly this key or prefix."""
        if not prefix:
            return self.exact.get(scope.start)
        return next((each for each in self.prefixes if each.scope == scope), None)

    def wants(self, raw_key: bytes) -> bool:
        """Tell whether we asked for a key."""
        return raw_key in self.exact or any(raw_key in each.scope for each in self.prefixes)

    def match(self, event: Event) -> list[Subscription]:
        """Give our subscriptions that an event belongs to."""
        found = [each for each in self.prefixes if event.raw_key in each.scope]
        exact = self.exact.get(event.raw_key)
        if exact is not None:
            found.insert(0, exact)
        return [each for each in found if event.revision > each.start]

    def offer(self, event: Event, subscription: Subscription, room: int | None = None) -> bool:
        """Put one event in, or begin to lag where there are `room` already; True when it just began.

        Called by the feed's thread under the demux's lock.
        """
        queue = self.queue
        if self.lag_from is not None:
            return False
        room = MAILBOX_EVENTS if room is None else room
        # A resync is let in whole: half of it would leave some keys at values that are not true.
        if len(queue) >= room and not event.synthetic:
            with suppress(IndexError):  # a worker has taken all since they were counted
                if queue[-1][0].revision != event.revision:
                    self.lag_from = event.revision
                    return True
        queue.append((event, subscription))
        return False

    @property
    def lags(self) -> bool:
        return self.lag_from is not None and not self.closed

    def begin_anew(self) -> None:
        """Take events of data that has replaced the old, with revisions that begin anew.

        Where old ones are still to be delivered, revisions do not say what has been until we are
        empty.
        """
        self.covered_from = 0
        self._mixed = bool(self.queue) or self.busy is not None
        self._stand_in = (0, 0)

    def stand_in(self, gap: Gap) -> None:
        """Note that synthetic events stand for what is lost in a gap: up to the revision behind it.

        Who waits for a lost change waits for these, whose revisions may be later.
        """
        first, last = self._stand_in
        waits = self.busy is not None or self.has_more()
        self._stand_in = (first if waits and last else gap.first, gap.last + 1)

    def refill(self) -> None:
        """Bring a lagging mailbox its next events; blocks while the server is asked for them."""
        self._refill(self)

    def report(self, newest: int) -> Delivery:
        """Tell how deliveries went, and how far we are behind the journal's `newest` revision."""
        lag_from = self.lag_from
        self.delivery.lagging = 0 if lag_from is None else max(1, newest + 1 - lag_from)
        return self.delivery

    def has_more(self) -> bool:
        return bool(self.queue) or self.lag_from is not None

    def settled(self, revision: int) -> bool:
        """Tell whether every event up to `revision` that was put in has been delivered.

        Events go from `lag_from` to the queue to `busy`; looking in that order, none slips past us.
        """
        if self._mixed:
            if self.has_more() or self.busy is not None:
                return False
            self._mixed = False
        first, last = self._stand_in
        if first <= revision <= last:
            revision = last
        lag_from = self.lag_from
        if lag_from is not None and lag_from <= revision:
            return False
        try:
            if self.queue[0][0].revision <= revision:
                return False
        except IndexError:
            pass
        busy = self.busy
        return busy is None or busy > revision

    def run(self, parked: Callable[[], None], begun: float) -> str:
        """Deliver for one time slice on this thread, which began just now; see `ended`.

        Returns
        -------
        "idle", "more", or "parked": an event loop has it now, and `parked` is called when it is
        done.
        """
        queue, now = self.queue, begun
        count = 0
        while not self.closed and now - begun < SLICE:
            if not queue:
                if self.lag_from is None:
                    break
                self.refill()
                now = time.perf_counter()
                continue
            event, subscription = queue[0]
            if subscription.loop is not None:
                if self._hand_over(subscription.loop, parked):
                    return "parked"
                continue
            self.busy = event.revision
            queue.popleft()
            self.tell(event, subscription)
            count += 1
            now = time.perf_counter()
        if self.closed and self.lag_from is not None:
            self.refill()  # it lets go of the history that it reads
        self.busy = None
        self.ended = now
        if count:
            self.slow = now - begun > SLOW * count
        return "more" if queue or self.lag_from is not None else "idle"

    def tell(self, event: Event, subscription: Subscription) -> None:
        """Call one callback, of whom still wants to be told."""
        if subscription.ended or self.closed:
            return
        onlooker = onlookers.present
        if onlooker is not None:
            onlooker.begin(self)
        try:
            result: object = subscription.call(event)
        except BaseException:  # noqa: BLE001 - whatever it raises, SystemExit too, is its own affair
            self.failed(event)
        else:
            self.returned(event, result)
        if onlooker is not None:
            onlooker.end(self)

    def returned(self, event: Event, result: object) -> None:
        """Count a callback that returned."""
        if type(result) is CoroutineType:  # asked of the type: a result may be any object
            result.close()
            self.failed(event, UNAWAITED)
        else:
            self.delivery.delivered += 1

    def failed(self, event: Event, text: str | None = None) -> None:
        """Keep, count and log a failure: the exception that is being handled, or what `text` says."""
        text = text or traceback.format_exc()
        self.delivery.failed += 1
        self.delivery.last_error = text
        onlooker = onlookers.present
        if onlooker is not None and onlooker.failed(self, text):
            return
        if text not in self._shown and len(self._shown) < ERRORS_SHOWN:
            self._shown.add(text)
            logger.error("a callback of %s failed on %r\n%s", shown(self.who), event, text)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, parked: Callable[[], None]) -> bool:
        """Give the next events for `loop` to it; False when it is closed, and they have failed."""
        queue, handed = self.queue, self._handed
        self.busy = queue[0][0].revision
        self.parked_on = loop
        while queue and queue[0][1].loop is loop and len(handed) < LOOP_CHUNK:
            handed.append(queue.popleft())
        try:
            loop.call_soon_threadsafe(self._start_task, loop, parked)
        except RuntimeError:  # it is closed
            self.fail_handed()
            return False
        return True

    def fail_handed(self) -> None:
        """Count as failed what was handed to an event loop that is closed."""
        for event, _ in self._handed:
            self.failed(event, "RuntimeError: the event loop of this callback is closed\n")
        self._handed.clear()
        self.busy = self.parked_on = self._task = None

    def _start_task(self, loop: asyncio.AbstractEventLoop, parked: Callable[[], None]) -> None:
        def done(_: asyncio.Task[None]) -> None:
            # A task that was interrupted or cancelled leaves the rest: it is not lost.
            self.queue.extendleft(reversed(self._handed))
            self._handed.clear()
            self.busy = self.parked_on = self._task = None
            parked()

        self._task = loop.create_task(self._tell_on_loop())  # a loop holds its tasks weakly
        self._task.add_done_callback(done)

    async def _tell_on_loop(self) -> None:
        DELIVERING.set(self)  # a task has a context of its own
        while self._handed:
            event, subscription = self._handed.popleft()
            self.busy = event.revision
            if self.closed or subscription.ended:
                continue
            onlooker = onlookers.present
            if onlooker is not None:
                onlooker.begin(self)
            try:
                result = subscription.call(event)
                if inspect.isawaitable(result):
                    await result
            except BaseException as error:
                self.failed(event)
                if not isinstance(error, Exception):  # the loop has to know of an interrupt
                    raise
            else:
                self.delivery.delivered += 1
            finally:
                if onlooker is not None:
                    onlooker.end(self)
