"""Callbacks one at a time, in the order in which their events came."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription
from etcd_watcher.turns import Turns
from tests.eventually import eventually
from tests.fake_store import PATIENCE, event
from tests.threads import threads_left

ALL = KeyRange.of_prefix(b"")


@pytest.fixture
def turns() -> Iterator[Turns]:
    turns = Turns()
    yield turns
    turns.close()
    assert not threads_left()


def mailbox(name: str, subscription: Subscription, *revisions: int) -> Mailbox:
    box = Mailbox(name, lambda _: None, None)
    box.add(subscription)
    for revision in revisions:
        box.queue.append((event(revision), subscription))
    return box


def test_each_is_emptied_before_the_next_one_begins(turns: Turns) -> None:
    told: list[tuple[str, int]] = []

    def box(name: str) -> Mailbox:
        call = Subscription("", ALL, True, name, lambda event: told.append((name, event.revision)))  # noqa: FBT003
        return mailbox(name, call, 1, 2)

    turns.schedule([box("a"), box("b"), box("c")])
    assert turns.settle(2, PATIENCE) == []
    assert told == [(name, revision) for name in "abc" for revision in (1, 2)]


def test_it_rests_only_when_the_last_callback_has_returned(turns: Turns) -> None:
    begun, go_on, rested = threading.Event(), threading.Event(), threading.Event()

    def call(_: Event) -> None:
        begun.set()
        go_on.wait(PATIENCE)

    turns.on_rest = rested.set
    box = mailbox("a", Subscription("", ALL, True, "a", call), 1)  # noqa: FBT003
    turns.schedule([box])
    assert begun.wait(PATIENCE)
    assert not turns.resting()
    assert turns.settle(1, 0.01) == [box]
    go_on.set()
    assert rested.wait(PATIENCE)
    assert turns.resting()


def test_one_that_is_scheduled_twice_waits_once(turns: Turns) -> None:
    go_on = threading.Event()
    told: list[int] = []

    def call(event: Event) -> None:
        go_on.wait(PATIENCE)
        told.append(event.revision)

    first = mailbox("a", Subscription("", ALL, True, "a", call), 1)  # noqa: FBT003
    second = mailbox("b", Subscription("", ALL, True, "b", call), 2)  # noqa: FBT003
    turns.schedule([first])
    turns.schedule([second])
    turns.schedule([second, first])
    go_on.set()
    assert turns.settle(2, PATIENCE) == []
    assert told == [1, 2]


def test_what_one_sets_in_its_context_no_other_sees(turns: Turns) -> None:
    mood: ContextVar[str] = ContextVar("mood", default="calm")
    seen: list[str] = []

    def call(_: Event) -> None:
        seen.append(mood.get())
        mood.set("upset")

    subscription = Subscription("", ALL, True, "a", call)  # noqa: FBT003
    turns.schedule([mailbox("a", subscription, 1, 2), mailbox("b", subscription, 1)])
    assert turns.settle(2, PATIENCE) == []
    assert seen == ["calm", "upset", "calm"]


def test_a_loop_that_was_closed_holds_up_nobody(turns: Turns) -> None:
    loop = asyncio.new_event_loop()

    async def never(_: Event) -> None: ...

    subscription = Subscription("", ALL, True, "a", never, loop)  # noqa: FBT003
    box = mailbox("a", subscription, 1)
    turns.schedule([box])
    loop.call_soon(loop.stop)
    assert eventually(lambda: box.parked_on is not None)
    loop.close()
    assert turns.settle(1, PATIENCE) == []
    assert box.delivery.failed == 1


def test_aside_others_have_their_turn(turns: Turns) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def call(_: Event) -> None:
        with turns.aside():
            inside.set()
            go_on.wait(PATIENCE)

    turns.schedule([mailbox("a", Subscription("", ALL, True, "a", call), 1)])  # noqa: FBT003
    assert inside.wait(PATIENCE)
    assert turns.resting()
    go_on.set()
    assert turns.settle(1, PATIENCE) == []
    with turns.aside():  # of nobody's callback
        pass


def test_closed_it_calls_nobody(turns: Turns) -> None:
    told: list[int] = []
    turns.close()
    call = Subscription("", ALL, True, "a", lambda event: told.append(event.revision))  # noqa: FBT003
    turns.schedule([mailbox("a", call, 1)])
    assert turns.settle(1, PATIENCE) == []
    assert told == []
