"""Blocking calls from a coroutine, on a thread that is gone when they are done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

__all__ = ["run_in_thread"]

T = TypeVar("T")


async def run_in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call without blocking the loop.

    `asyncio.to_thread` would leave an idle thread of its executor behind for the loop's life.
    """
    __tracebackhide__ = True  # of pytest: what `call` raises is the caller's
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def report(set_outcome: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: None if done.done() else set_outcome())

    context = copy_context()

    def run() -> None:
        __tracebackhide__ = True
        try:
            result = context.run(call)
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            caught = error
            report(lambda: done.set_exception(caught))
        else:
            report(lambda: done.set_result(result))

    threading.Thread(target=run, name="etcd_watcher-wait", daemon=True).start()
    return await done
