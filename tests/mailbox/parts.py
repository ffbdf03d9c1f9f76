"""What the tests of mailboxes have in common."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from etcd_watcher import mailbox as module
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription

BOUND = 5


class Clock:
    """Stands still unless a callback takes its time."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def run(mailbox: Mailbox, parked: Callable[[], None]) -> str:
    """Empty it as a worker does whose slice begins now."""
    return mailbox.run(parked, vars(module)["time"].perf_counter())


def no_refill(mailbox: Mailbox) -> None:
    pytest.fail("there was nothing to catch up with")


def not_parked() -> None:
    pytest.fail("no loop had it")


def drain(mailbox: Mailbox) -> None:
    """Run it until there is nothing more; one run ends with its slice of time."""
    while mailbox.has_more() and not mailbox.closed:
        run(mailbox, not_parked)


def subscribe(
    mailbox: Mailbox,
    call: Callable[[Event], Any],
    key: bytes = b"k",
    *,
    prefix: bool = False,
    start: int = 0,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Subscription:
    scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
    made = Subscription(key.decode(), scope, prefix, "who", call, loop, start)
    mailbox.add(made)
    return made


class Watched(deque[tuple[Event, Subscription]]):
    """A queue that does something as soon as an event has been taken out of it."""

    then: Callable[[], object]

    def popleft(self) -> tuple[Event, Subscription]:
        item = super().popleft()
        self.then()
        return item


def watched(mailbox: Mailbox, then: Callable[[], object]) -> Watched:
    queue = Watched(mailbox.queue)
    queue.then = then
    return queue
