"""Mailboxes whose turn comes together, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint

from etcd_watcher.event import Event
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.pool import Told

__all__ = ["Bundle", "FanOut"]


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
