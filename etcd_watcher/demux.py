"""Where the one stream of events becomes many: the journal, and each subscriber's mailbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.lagging import end_lag, refill
from etcd_watcher.lives import Lives
from etcd_watcher.log import logger
from etcd_watcher.mailbox import Mailbox, room_for
from etcd_watcher.pool import Pool, Told
from etcd_watcher.relay import Relieved
from etcd_watcher.router import Router
from etcd_watcher.stores.base import Batch

__all__ = ["Demux"]

FEW = 16
"""Events and mailboxes up to which those who empty them go first, or the feed's thread does it."""


class Demux:
    """Hands each event to the journal and to the mailboxes it belongs to.

    Whatever must not be seen half-done (an event in the journal but not yet in a mailbox, a
    mailbox that turns from lagging to live, a new subscription) happens under `lock`.
    """

    def __init__(self, journal: Journal, pool: Pool) -> None:
        self.lock = threading.RLock()
        """Guards the router, the subscriptions of its routes, and every mailbox's `lag_from`."""
        self.journal = journal
        self.pool = pool
        self.router = Router()
        self.lives = Lives()
        """The watched keys that exist. Guarded by `lock`."""
        self.complete = 0
        """Every change up to this revision in the watched range has been published, or lies in a
        `Gap`. Guarded by `lock`."""
        self.era = 0
        """How often the server's data was replaced. Guarded by `lock`."""
        self.relieve: Callable[[], None] | None = None
        """Has another thread read on; None where a publication's thread is not to be kept."""
        self._woken = 0
        """For how many mailboxes the last publication woke others. The feed's thread alone has it."""
        self._lagging: set[Mailbox] = set()
        """The mailboxes that lag, and some that did."""

    def take(self, batch: Batch) -> None:
        """Publish what a watch gave."""
        if batch.taken is not None:
            batch.taken()
        if batch.notes:
            self.journal.append(batch.notes)
        if batch.anew:
            self.begin_anew()
        self.complete = max(self.complete, batch.complete)
        if batch.events:
            self.publish(batch.events, relieve=self.relieve if len(batch.events) <= FEW else None)

    def publish(
        self,
        events: Sequence[Event],
        gap: Gap | None = None,
        relieve: Callable[[], None] | None = None,
    ) -> None:
        """Append the events of watched keys to the journal and put them in their mailboxes.

        With `relieve` some may be left to this thread: see `Pool.lend`.
        """
        if gap is None and len(events) == 1 and (relieve is None or self._has_many(events[0])):
            self._publish_one(events[0])
        else:
            # By the mailboxes, as several events must go: those that are left to this thread, too.
            # To lend it a fan-out would be one way more, not one less.
            self._publish_batch(events, gap, relieve)

    def _has_many(self, event: Event) -> bool:
        count = 0
        for each in self.router.match(event.raw_key):
            count += len(each.subscriptions)
        return count > FEW

    def _publish_batch(
        self, events: Sequence[Event], gap: Gap | None, relieve: Callable[[], None] | None
    ) -> None:
        match = self.router.match
        ours: list[Event | Gap | Status] = [] if gap is None else [gap]
        touched: dict[Mailbox, None] = {}
        for event in events:
            revision = event.revision
            watched = False
            room = room_for(event)
            for route in match(event.raw_key):
                if revision <= route.start:
                    continue
                watched = True
                for subscription, mailbox in route.subscriptions:
                    if revision > subscription.start:
                        # As `offer` does where there is room, without a call for each subscriber.
                        if mailbox.lag_from is None and len(mailbox.queue) < room:
                            mailbox.queue.append((event, subscription))
                        elif mailbox.offer(event, subscription, room):
                            self._lagging.add(mailbox)
                        touched[mailbox] = None
            if watched:
                ours.append(event)
        if events:
            self.complete = max(self.complete, events[-1].revision)
        self._note_lives(ours)
        self.journal.append(ours)
        self._wake(touched, gap, relieve)

    def _publish_one(self, event: Event) -> None:
        """Publish one event: whoever has nothing else to be told is told of it straight.

        Their mailboxes note that they are busy with it, and nothing is put in a queue to be taken
        out again: for 1,000 subscribers that halves the time to the last callback.
        """
        revision, room = event.revision, room_for(event)
        straight: list[Told] = []
        touched: dict[Mailbox, None] = {}
        routes = [each for each in self.router.match(event.raw_key) if revision > each.start]
        for route in routes:
            for told in route.subscriptions:
                subscription, mailbox = told
                if revision <= subscription.start:
                    continue
                if (
                    mailbox.scheduled
                    or mailbox.queue
                    or mailbox.lag_from is not None
                    or mailbox.slow
                    or mailbox.notify is not None
                    or subscription.loop is not None
                ):
                    if mailbox.offer(event, subscription, room):
                        self._lagging.add(mailbox)
                    touched[mailbox] = None
                else:
                    # In this order: whoever looks without a lock sees it busy first.
                    mailbox.busy = revision
                    mailbox.scheduled = True
                    straight.append(told)
        self.complete = max(self.complete, revision)
        try:
            if routes:
                self._note_lives([event])
                self.journal.append([event])
        finally:  # whatever happened, they are scheduled
            self._wake(touched, None)
            if straight:
                self._woken += len(straight)
                self.pool.fan_out(event, straight)

    def _note_lives(self, records: Sequence[Event | Gap | Status]) -> None:
        lagging_since: int | None = None
        for event in records:
            if type(event) is not Event:
                continue
            if event.raw_value is not None:
                self.lives.put(event.raw_key, event.created)
            else:
                if lagging_since is None:
                    lagging_since = self._lagging_since()
                self.lives.delete(event.raw_key, event.revision, lagging_since)

    def resume(
        self, gap: Gap | None, events: Sequence[Event], revision: int, *, anew: bool
    ) -> None:
        """Go on behind a loss, with the state that the store had at a revision.

        Parameters
        ----------
        gap : Gap or None
            What is lost.
        events : sequence of Event
            What leads to that state.
        anew : bool
            Whether the server's data was replaced, and its revisions count from 1 again.
        """
        if anew:
            logger.warning("%r: everything is told anew", gap)
            self.publish((), gap)
            self.begin_anew()
            self.publish(events)
        else:
            late = {each.raw_key: born for each in events if (born := self._came_in_a_gap(each))}
            self.publish([each for each in events if each.raw_key not in late], gap)
            for event in events:
                if event.raw_key in late:
                    self._tell_since(late[event.raw_key], event, gap)
        self.complete = revision

    def _came_in_a_gap(self, event: Event) -> int:
        """Give when a key came that also went within the gap; 0 for another."""
        born = self.lives.born(event.raw_key)
        return born if event.raw_value is None and born > self.complete else 0

    def _tell_since(self, born: int, event: Event, gap: Gap | None) -> None:
        """Tell a deletion to those who have subscribed while the key was there, and nobody else.

        Not to the journal either, in which it never came: they have nothing to read there yet.
        """
        touched: dict[Mailbox, None] = {}
        for route in self.router.match(event.raw_key):
            for subscription, mailbox in route.subscriptions:
                if born <= subscription.start < event.revision:
                    mailbox.offer(event, subscription)
                    touched[mailbox] = None
        self._note_lives([event])
        self._wake(touched, gap)

    def known(self, scope: KeyRange) -> list[bytes]:
        """Give the keys of a range that somebody may believe to exist.

        Not those that a census found although they had come behind all that was published, unless
        somebody has subscribed since.
        """
        return [key for key in self.lives.within(scope) if self._is_known(key)]

    def _is_known(self, key: bytes) -> bool:
        born = self.lives.born(key)
        return born <= self.complete or any(
            subscription.start >= born
            for route in self.router.match(key)
            for subscription, _ in route.subscriptions
        )

    def _lagging_since(self) -> int:
        """Give the newest revision from which a mailbox has still to be told; 0 where none lags."""
        if not self._lagging:
            return 0
        self._lagging = {each for each in self._lagging if each.lags}
        if not self._lagging:
            self.lives.forget_graves()
        return max((each.lag_from or 0 for each in self._lagging), default=0)

    def begin_anew(self) -> None:
        """Forget every revision: the server's data was replaced, and counts from 1 again.

        Who lagged is given what the journal still has of the old data, and a `Gap` for the rest.
        """
        with self.lock:
            for mailbox in self.mailboxes():
                end_lag(mailbox, self.journal, self.complete)
                mailbox.begin_anew()
            for route in self.router:
                route.start = 0
                for subscription, _ in route.subscriptions:
                    subscription.start = 0
            self.lives = Lives()
            self.era += 1
            self.complete = 0
            self._lagging.clear()
            self.journal.begin_anew()

    def mailboxes(self) -> list[Mailbox]:
        """Give every mailbox there is, those of streams too."""
        with self.lock:
            found = (box for route in self.router for _, box in route.subscriptions)
            return list(dict.fromkeys(found))

    def forget(self, scope: KeyRange) -> None:
        """Forget what exists in a range, where it is not watched any more in another way."""
        with self.lock:
            for key in self.lives.within(scope):
                if not self.router.match(key):
                    self.lives.forget(key)

    def covers(self, scope: KeyRange) -> bool:
        """Tell whether all of a range is watched, by one route."""
        with self.lock:
            return any(route.scope.covers(scope) for route in self.router.match(scope.start))

    def note(self, status: Status) -> None:
        """Put the connection's state in the journal."""
        with self.lock:
            self.journal.append([status])

    def deliver(self) -> None:
        """Call on this thread who may be, or let a worker go first. Without the lock.

        A worker that was just woken waits for Python's lock, which this thread else keeps until its
        next read waits: with it at once, a callback is called 60 us earlier. A thousand of them
        take longer so.

        Raises
        ------
        Relieved
            A callback held this thread up: somebody else reads on.
        """
        few, self._woken = 0 < self._woken <= FEW, 0
        if not self.pool.work_off():
            raise Relieved
        if few:
            time.sleep(0)

    def _wake(
        self,
        mailboxes: dict[Mailbox, None],
        gap: Gap | None,
        relieve: Callable[[], None] | None = None,
    ) -> None:
        self._woken = len(mailboxes)
        if gap is not None:
            for mailbox in mailboxes:
                mailbox.stand_in(gap)
        for_workers = [each for each in mailboxes if each.notify is None]
        if len(for_workers) < len(mailboxes):
            for mailbox in mailboxes:
                if mailbox.notify is not None:
                    mailbox.notify()
        if relieve is not None and 0 < len(for_workers) <= FEW:
            self._woken -= self.pool.lend(for_workers, relieve)
        elif for_workers:
            self.pool.schedule(for_workers)

    def refill_from_journal(self, mailbox: Mailbox, limit: int) -> bool:
        """Give a lagging mailbox its next events from the journal: see `lagging.refill`."""
        with self.lock:
            return refill(mailbox, self.journal, limit)

    def scope_of(self, mailbox: Mailbox) -> KeyRange | None:
        """Give the hull of what a mailbox asks for; None when it asks for nothing any more."""
        with self.lock:
            scopes = [each.scope for each in mailbox.subscriptions]
        return KeyRange.hull(scopes) if scopes else None
