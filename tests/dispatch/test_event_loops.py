"""Mailboxes that an event loop has for a while."""

from __future__ import annotations

import asyncio
import threading

import pytest

from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.event import Event
from tests.dispatch.boxes import Box, comes_true
from tests.fake_store import PATIENCE


def test_async_callbacks_are_told_and_waited_for(pool: WorkerPool) -> None:
    log: list[tuple[str, int]] = []

    async def callback(each: Event) -> None:
        log.append(("begin", each.revision))
        await asyncio.sleep(0)
        log.append(("end", each.revision))

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())
        for revision in range(1, 201):
            box.put(revision)
        assert await asyncio.to_thread(pool.settle, 200, PATIENCE) == []

    asyncio.run(main())
    assert log == [(step, number) for number in range(1, 201) for step in ("begin", "end")]


def test_settling_on_the_loop_that_has_the_events_is_refused(pool: WorkerPool) -> None:
    async def callback(_: Event) -> None: ...

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())
        box.put(1)
        assert comes_true(lambda: box.mailbox.parked_on, pool)
        with pytest.raises(RuntimeError, match=r"await watcher\.sync_async\(\)"):
            pool.settle(1, PATIENCE)
        assert await asyncio.to_thread(pool.settle, 1, PATIENCE) == []
        assert pool.settle(1, PATIENCE) == []  # nothing is in its hands any more

    asyncio.run(main())


@pytest.mark.usefixtures("eager_threads", "unbounded")
def test_no_event_is_forgotten_where_one_comes_as_the_loop_gives_the_mailbox_back(
    pool: WorkerPool,
) -> None:
    told: list[int] = []

    async def callback(each: Event) -> None:
        told.append(each.revision)

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())

        def put_all() -> None:
            for revision in range(1, 5001):
                box.put(revision)

        await asyncio.to_thread(put_all)
        assert await asyncio.to_thread(pool.settle, 5000, PATIENCE) == []

    asyncio.run(main())
    assert told == list(range(1, 5001))


def test_a_loop_that_is_closed_before_it_ran_what_it_was_given_holds_up_nobody(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()

    async def callback(_: Event) -> None: ...

    box = Box(pool, callback, loop=loop)
    box.put(1)
    assert comes_true(lambda: box.mailbox.parked_on, pool)
    loop.close()
    assert pool.settle(1, PATIENCE) == []
    assert box.mailbox.delivery.failed == 1
    assert "closed" in box.mailbox.delivery.last_error
    box.subscription.loop, told = None, threading.Event()
    box.subscription.call = lambda _: told.set()
    box.put(2)
    assert told.wait(PATIENCE)


def test_events_that_were_handed_over_with_one_that_was_cancelled_are_told(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    async def callback(each: Event) -> None:
        told.append(each.revision)
        if each.revision % 3 == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    async def main() -> None:
        box = Box(pool, callback, loop=asyncio.get_running_loop())
        box.put(*range(1, 101))
        assert await asyncio.to_thread(pool.settle, 100, PATIENCE) == []
        assert box.mailbox.delivery.failed == 33

    asyncio.run(main())
    assert told == list(range(1, 101))
