"""What the tests of workers have in common: mailboxes to put events in, and callbacks that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription
from tests.eventually import eventually
from tests.fake_store import PATIENCE, event


def no_refill(mailbox: Mailbox) -> None:
    pytest.fail("there was nothing to catch up with")


class Box:
    """A mailbox with one subscription, and the numbers of the events to come."""

    def __init__(
        self,
        pool: WorkerPool,
        call: Callable[[Event], Any],
        name: str = "who",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.pool = pool
        self.mailbox = Mailbox(name, no_refill, None)
        self.subscription = Subscription(
            "k", KeyRange.of_key(b"k"), prefix=False, who=name, call=call, loop=loop
        )
        self.mailbox.add(self.subscription)

    def put(self, *revisions: int) -> None:
        for revision in revisions:
            self.mailbox.offer(event(revision), self.subscription)
        self.pool.schedule([self.mailbox])


class Blocked:
    """A callback that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.ended = threading.Event()

    def __call__(self, _: Event) -> None:
        self.begun.release()
        self.go_on.wait(3 * PATIENCE)
        self.ended.set()

    def has_begun(self) -> bool:
        return self.begun.acquire(timeout=PATIENCE)


def blocking(
    pool: WorkerPool,
    callback: Blocked,
    *revisions: int,
    name: str = "blocked",
    slow: bool = False,
) -> Box:
    """Give a mailbox whose callback has begun, and does not return."""
    box = Box(pool, callback, name)
    box.mailbox.slow = slow
    box.put(*revisions)
    assert callback.has_begun()
    return box


def workers_of(pool: WorkerPool) -> list[threading.Thread]:
    with pool._work:
        return [each for each in pool._workers if each.is_alive()]


def comes_true(condition: Callable[[], object], pool: WorkerPool) -> bool:
    """Tell whether something comes true of a pool that nothing announces."""

    def holds() -> object:
        with pool._work:
            return condition()

    return eventually(holds)
