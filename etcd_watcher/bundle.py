"""Mailboxes whose turn comes together, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from operator import length_hint

import etcd_watcher.onlooker as onlookers
from etcd_watcher.event import Event
from etcd_watcher.mailbox import SLOW, Mailbox
from etcd_watcher.pool import Told, give_up

__all__ = ["Bundle", "FanOut"]

TIMED_TOGETHER = 16
"""Callbacks of a fan-out that are timed together, as long as they are quick together."""


class Bundle:
    """Mailboxes that were scheduled together, and are emptied one after the other.

    Attributes
    ----------
    mailboxes : list of Mailbox
        All of them: until the last one is done, here is where `settle` finds them.
    waiting : iterator of Mailbox
        Those whose turn has not come. Whoever takes one out of it, without a lock, empties it.
    """

    __slots__ = ("mailboxes", "waiting")

    def __init__(self, mailboxes: list[Mailbox]) -> None:
        self.mailboxes = mailboxes
        self.waiting = iter(mailboxes)

    @property
    def left(self) -> int:
        """How many wait still."""
        return length_hint(self.waiting)

    def rest(self) -> Bundle:
        """Take out those that wait still, as a bundle of their own."""
        return Bundle(list(self.waiting))


class FanOut:
    """A bundle of mailboxes that are all to be told of one event, which none has in its queue.

    Attributes
    ----------
    event : Event
    told : list of (Subscription, Mailbox)
        All who are told.
    waiting : iterator of (Subscription, Mailbox)
        As a bundle has it.
    """

    __slots__ = ("event", "told", "waiting")

    def __init__(self, event: Event, told: list[Told]) -> None:
        self.event = event
        self.told = told
        self.waiting: Iterator[Told] = iter(told)

    @property
    def left(self) -> int:
        return length_hint(self.waiting)

    @property
    def mailboxes(self) -> list[Mailbox]:
        return [mailbox for _, mailbox in self.told]

    def rest(self) -> FanOut:
        """As a bundle does; who is being told holds them up, and counts as slow from now on."""
        left = self.left
        if left < len(self.told):
            _, mailbox = self.told[-1 - left]
            mailbox.slow = True
        return FanOut(self.event, list(self.waiting))

    def tell(
        self,
        look_after: Callable[[Mailbox], None],
        awaited: Collection[Mailbox],
        suspicious: bool,  # noqa: FBT001 - what it gave the last time
    ) -> bool:
        """Tell all those whose turn has not come. Without the pool's lock.

        This is `Mailbox.run` for one event, written out, and a clock for several: from the event to
        the last callback that takes 0.45 us a subscriber instead of 0.83, with a clock for each
        0.55. A loop that only calls the callbacks takes 0.12.

        Parameters
        ----------
        look_after : callable
            Called with a mailbox that has more, or may be waited for.
        awaited : collection of Mailbox
            Those that are.
        suspicious : bool
            Whether to time them one by one.

        Returns
        -------
        Whether one was slow of several that were timed together.
        """
        event, waiting = self.event, self.waiting
        attended = onlookers.present is not None
        one_by_one = suspicious or self.left <= TIMED_TOGETHER
        suspicious = False
        now = time.perf_counter()
        while self.left:
            for subscription, mailbox in islice(waiting, TIMED_TOGETHER):
                if attended or mailbox.closed or subscription.ended:
                    _call_for(mailbox, mailbox.tell, event, subscription)
                else:
                    try:
                        result: object = mailbox.within(subscription.call, event)
                    except BaseException:  # noqa: BLE001 - as in `Mailbox.tell`
                        _call_for(mailbox, mailbox.failed, event)
                    else:
                        if result is None:
                            mailbox.delivery.delivered += 1
                        else:
                            _call_for(mailbox, mailbox.returned, event, result)
                mailbox.busy = None
                if one_by_one:
                    ended = time.perf_counter()
                    mailbox.slow = ended - now > SLOW
                    now = ended
                mailbox.scheduled = False  # and then look, as `WorkerPool._empty` does
                if mailbox.queue or mailbox.lag_from is not None or awaited:
                    look_after(mailbox)
            ended = time.perf_counter()
            if not one_by_one and ended - now > SLOW:
                one_by_one = suspicious = True
            now = ended
        return suspicious


def _call_for(mailbox: Mailbox, call: Callable[..., object], *arguments: object) -> None:
    """Call a method of a mailbox within its context; it is closed where that raises."""
    try:
        mailbox.within(call, *arguments)
    except BaseException:  # noqa: BLE001 - it is logged
        give_up(mailbox)
