"""Event loops, and blocking calls from a coroutine, on a thread that is gone when they are done.

asyncio takes longer to import than all of ours. Whoever runs a loop has imported it; nobody else
needs it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["run_in_thread", "running_loop"]

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop that this thread runs; None where it runs none."""
    loaded = sys.modules.get("asyncio")
    try:
        return None if loaded is None else loaded.get_running_loop()
    except RuntimeError:
        return None


async def run_in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call without blocking the loop.

    `asyncio.to_thread` would leave an idle thread of its executor behind for the loop's life.
    """
    __tracebackhide__ = True  # of pytest: what `call` raises is the caller's
    loop = running_loop()
    assert loop is not None, "this is a coroutine"  # noqa: S101
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
