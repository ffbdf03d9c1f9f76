"""Events as an iterator: pulled by a `for` or an `async for`, in a thread or on a loop."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from etcd_watcher.arguments import Key, name_of
from etcd_watcher.background import run_in_thread
from etcd_watcher.catchup import CatchUp
from etcd_watcher.demux import Demux
from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.registry import Registry
from etcd_watcher.subscriber import Subscription

if TYPE_CHECKING:
    import asyncio

__all__ = ["EventStream", "Signal", "open_stream"]


class Signal:
    """Wakes whoever waits for a stream's mailbox. Set from the feed's thread.

    It does not know the stream, so that a stream that nobody holds any more can end.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def set(self) -> None:
        with self._changed:
            self._changed.notify_all()
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

    def wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(ready)

    async def wait_async(self, ready: Callable[[], bool]) -> None:
        import asyncio  # noqa: PLC0415 - see `background`

        event = asyncio.Event()
        with self._changed:
            if ready():
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


class EventStream:
    """The events of a key or prefix, in revision order, for as long as the watcher is open.

    It is an iterator and an async iterator, and made by `Watcher.events`. Nothing is lost while
    nobody asks for the next event: behind a bounded queue it goes back to the journal, and to the
    server's own history where the journal has moved on. It ends with `close()`, with the watcher,
    or when nobody refers to it any more.

    Raises
    ------
    Compacted
        From the iteration, when the history that it needs is dropped by the server.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        signal: Signal,
        end: Callable[[], None],
        orphans: deque[Callable[[], None]],
    ) -> None:
        self._mailbox = mailbox
        self._signal = signal
        self._end = end
        self._last: Event | None = None
        self._collected = weakref.finalize(self, orphans.append, end)
        self._collected.atexit = False

    def _ready(self) -> bool:
        return self._mailbox.closed or self._mailbox.has_more()

    def _pop(self) -> Event | None:
        """Give the next event that is here; None where there is none yet."""
        mailbox = self._mailbox
        while mailbox.queue:
            event, _ = mailbox.queue.popleft()
            if event is self._last:
                continue  # it belongs to several of our keys and prefixes
            self._last = event
            mailbox.delivery.delivered += 1
            return event
        return None

    def __iter__(self) -> Iterator[Event]:
        """As `__next__`, without a call for each event."""
        mailbox, delivery = self._mailbox, self._mailbox.delivery
        queue = mailbox.queue
        while not mailbox.closed:
            if queue:
                event, _ = queue.popleft()
                if event is not self._last:
                    self._last = event
                    delivery.delivered += 1
                    yield event
            elif not self._refill():
                self._signal.wait(self._ready)

    def __next__(self) -> Event:
        while not self._mailbox.closed:
            event = self._pop()
            if event is not None:
                return event
            if not self._refill():
                self._signal.wait(self._ready)
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._mailbox.closed:
            event = self._pop()
            if event is not None:
                return event
            if self._mailbox.lag_from is not None:
                await run_in_thread(self._refill)
            else:
                await self._signal.wait_async(self._ready)
        raise StopAsyncIteration

    def _refill(self) -> bool:
        """Catch up where the mailbox lags; tell whether it did."""
        if self._mailbox.lag_from is None:
            return False
        try:
            self._mailbox.refill()
        except StoreClosed:
            self.close()
        return True

    def close(self) -> None:
        """End the iteration; idempotent."""
        if self._collected.detach() is not None:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EventStream({'closed' if self._mailbox.closed else 'open'})"


def open_stream(  # noqa: PLR0913 - the parts of a watcher that a stream needs
    registry: Registry,
    demux: Demux,
    catch_up: CatchUp,
    keys: Sequence[Key],
    *,
    prefix: bool,
    since: int | None,
) -> EventStream:
    """Begin a stream of the events of some keys: from now on, or from a revision in the past."""
    signal = Signal()
    mailbox = Mailbox(None, catch_up, signal.set)
    mailbox.raises_compacted = True

    def end() -> None:
        registry.end(mailbox)
        catch_up.forget(mailbox)
        signal.set()

    def make(key: Key, scope: KeyRange) -> Subscription:
        return Subscription(name_of(key), scope, prefix)

    registry.watch(keys, prefix=prefix, make=make, mailbox=lambda: mailbox)
    if since is not None:
        with demux.lock:  # it is as one that lags behind from there
            mailbox.queue.clear()
            for subscription in mailbox.subscriptions:
                route = demux.router.find(subscription.scope, prefix=subscription.prefix)
                began = subscription.start if route is None else route.start
                mailbox.covered_from = max(mailbox.covered_from, began + 1)
                subscription.start = since - 1
            mailbox.lag_from = since
    return EventStream(mailbox, signal, end, registry.orphans)
