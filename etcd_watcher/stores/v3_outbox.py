"""What a watch has to ask of etcd v3."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.rpc import Call

__all__ = ["Outbox", "ask_progress", "cancel", "create", "range_end"]

ASK_AGAIN = 0.05
"""Seconds until progress is asked for again: a server from 3.5.8 on drops the request while the
watcher is behind, and a member may be behind its leader."""

ASK_IDLY = 5.0
"""Seconds of quiet after which progress is asked for although nobody waits: what we are known to be
complete up to cannot get lost any more, however soon the server compacts it."""


class Outbox:
    """The requests of one watch.

    Parameters
    ----------
    call : Call
        Its stream.
    wants_progress : callable
        Tells whether somebody waits for how far it is: then it is asked for every `ASK_AGAIN`
        seconds, else every `ASK_IDLY` seconds.
    """

    def __init__(self, call: Call, wants_progress: Callable[[], bool]) -> None:
        self._call = call
        self._wants_progress = wants_progress
        self._sent = time.monotonic()

    def put(self, request: Any) -> None:
        """Send a request, from any thread."""
        self._sent = time.monotonic()
        self._call.send(request)

    def remind(self) -> float:
        """Ask for progress if it is time; give the seconds until it is again."""
        left = self._left()
        if left > 0:
            return left
        self.put(ask_progress())
        return self._left()

    def _left(self) -> float:
        pause = ASK_AGAIN if self._wants_progress() else ASK_IDLY
        return self._sent + pause - time.monotonic()


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
