"""What a watch has to ask of etcd v3, as the iterator that gRPC's sending thread reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire

__all__ = ["Outbox", "ask_progress", "cancel", "create", "range_end"]

ASK_AGAIN = 0.05
"""Seconds until progress is asked for again: a server from 3.5.8 on drops the request while the
watcher is behind, and a member may be behind its leader."""

ASK_IDLY = 5.0
"""Seconds of quiet after which progress is asked for although nobody waits: what we are known to be
complete up to cannot get lost any more, however soon the server compacts it."""


class Outbox:
    """The requests of one watch.

    While `wants_progress` says so, it asks for progress every `ASK_AGAIN` seconds by itself, else
    every `ASK_IDLY` seconds.
    """

    def __init__(self, wants_progress: Callable[[], bool]) -> None:
        self._wants_progress = wants_progress
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self.reader: threading.Thread | None = None
        """gRPC's thread that sits in `__next__`: it ends once we do."""

    def put(self, request: Any) -> None:
        self._queue.put(request)

    def close(self, timeout: float = 0.0) -> None:
        """End the iterator, and wait for gRPC's thread to be gone, `timeout` seconds at most."""
        self._queue.put(None)
        if timeout and self.reader is not None:
            self.reader.join(timeout)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.reader = threading.current_thread()
        try:
            request = self._queue.get(timeout=ASK_AGAIN if self._wants_progress() else ASK_IDLY)
        except Empty:
            return ask_progress()
        if request is None:
            self._queue.put(None)
            raise StopIteration
        return request


def range_end(scope: KeyRange) -> bytes:
    """Give a range's end as etcd writes it: a single NUL for "no end"."""
    return b"\0" if scope.end is None else scope.end


def create(scope: KeyRange, after: int, *, prev_values: bool, fragment: bool) -> Any:
    """Ask for a watcher of a range, from behind a revision on."""
    request = wire.WatchCreateRequest(
        key=scope.start or b"\0",
        range_end=range_end(scope),
        start_revision=after + 1,
        prev_kv=prev_values,
        fragment=fragment,
    )
    return wire.WatchRequest(create_request=request)


def cancel(watch_id: int) -> Any:
    """Ask for the end of a watcher."""
    return wire.WatchRequest(cancel_request=wire.WatchCancelRequest(watch_id=watch_id))


def ask_progress() -> Any:
    """Ask how far the stream is."""
    return wire.WatchRequest(progress_request=wire.WatchProgressRequest())
