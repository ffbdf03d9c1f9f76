"""What a watcher asks of those who call callbacks, and what they have in common."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from etcd_watcher.background import running_loop
from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.log import logger
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription

__all__ = ["LOOP_LOOK", "Pool", "Told", "await_settled", "give_up"]

LOOP_LOOK = 0.1
"""Seconds between two looks whether an event loop that has callbacks to run was closed."""

Told = tuple[Subscription, Mailbox]
"""A subscription that an event belongs to, and whose it is."""


class Pool(Protocol):
    """Empties mailboxes."""

    def schedule(self, mailboxes: Iterable[Mailbox]) -> None:
        """See to it that these mailboxes are emptied."""
        ...

    def fan_out(self, event: Event, told: list[Told]) -> None:
        """See to it that these are told an event that they do not have in their mailboxes.

        Their mailboxes are empty, `busy` with it, and `scheduled` already.
        """
        ...

    def lend(self, mailboxes: Iterable[Mailbox], relieve: Callable[[], None]) -> int:
        """As `schedule`, but some may be left to this thread, which calls `work_off` next.

        Should a callback hold it up there, `relieve` is called, on another thread. Returns how many
        are left to it.
        """
        ...

    def work_off(self) -> bool:
        """Empty what `lend` has left to this thread; False where it was relieved meanwhile."""
        ...

    def settle(self, revision: int, timeout: float) -> list[Mailbox]:
        """Wait until every event up to `revision` has been delivered, `timeout` seconds at most.

        The mailbox that the calling thread is delivering does not count: it would wait for itself.

        Returns
        -------
        The mailboxes that still have some to deliver: empty for success.

        Raises
        ------
        RuntimeError
            When one waits for the event loop that this very thread runs.
        """
        ...

    def close(self, timeout: float = 1.0) -> None:
        """Start no more callbacks, and wait for those under way, `timeout` seconds at most."""
        ...


def give_up(mailbox: Mailbox) -> str:
    """Close a mailbox whose `Mailbox.run` raised what is being handled; give what came of it."""
    mailbox.closed = True
    if not isinstance(sys.exception(), StoreClosed):
        # Callbacks' errors do not come here; whatever does, the way back to the live events is
        # gone (no permission any more, say, or a defect of ours), and there are others to serve.
        logger.exception("%r gets no more events", mailbox.who)  # noqa: LOG004 - our callers handle one
    return "idle"


def await_settled(
    late: Callable[[], list[Mailbox]], wait: Callable[[list[Mailbox], float], bool], timeout: float
) -> list[Mailbox]:
    """Do what `Pool.settle` promises, for whichever pool; within its lock.

    Parameters
    ----------
    late : callable
        Gives the mailboxes that are still to be waited for.
    wait : callable
        Waits until some of these may be settled, so many seconds at most; False to wait no more.
    """
    deadline = time.monotonic() + timeout
    loop = running_loop()
    while True:
        held = late()
        if loop is not None and any(each.parked_on is loop for each in held):
            raise RuntimeError(
                "an async callback is waiting for the event loop that this call would block: use "
                "`await watcher.sync_async()` here"
            )
        remaining = deadline - time.monotonic()
        if not held or remaining <= 0 or not wait(held, remaining):
            return held
