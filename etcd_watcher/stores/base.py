"""What the feed asks of a place that changes come from. A store knows its wire; nothing else does.

A store is used from several threads at once: its `Watch` is read by the feed's thread alone, all
else may be called from any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange

__all__ = ["Batch", "KeyValue", "Snapshot", "Store", "Watch"]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it stands: what a read gives."""

    raw_key: bytes
    raw_value: bytes
    revision: int
    created: int
    version: int
    lease: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every key of a range as it stood at one revision, sorted by key."""

    revision: int
    items: list[KeyValue]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read of a watch gives.

    Attributes
    ----------
    events : list of Event
        Whole transactions, in revision order, all newer than those of the batch before.
    complete : int
        A revision up to which every change in the watch's range has been given, by this batch at
        the latest. 0 where the server said nothing beyond the events themselves.
    opened : bool
        True on the first batch after `Store.watch` or `Watch.retarget`: the server has acknowledged
        the range, so a change that is committed from now on will be given.
    scope : KeyRange
        The range that the batch belongs to: the very object that `watch` or `retarget` was given.
    """

    scope: KeyRange
    events: list[Event] = field(default_factory=list)
    complete: int = 0
    opened: bool = False


class Watch(Protocol):
    """One ordered stream of the changes in one range of keys."""

    def read(self) -> Batch:
        """Block until there is something to tell.

        Raises
        ------
        Compacted
            The server dropped the revisions that were to come next.
        ConnectionFailed
            The connection is lost or the server has gone silent; the watch is of no more use.
        RequestRejected
            The server refuses this range, whatever the connection.
        StoreClosed
            `close` was called.
        """
        ...

    def retarget(self, scope: KeyRange, after: int) -> None:
        """Watch `scope` from revision `after` + 1 on instead; what was under way is dropped.

        Returns at once. The next batch from `read` that has `opened` set, and all behind it,
        belong to the new range; no batch of the old one is given any more.
        """
        ...

    def probe(self, revision: int) -> None:
        """Have a later batch say that it is `complete` up to at least `revision`.

        `revision` is one that the store has already given out. Returns at once, or after one
        request of its own.
        """
        ...

    def close(self) -> None:
        """End the watch, from any thread: a blocked `read` raises `StoreClosed` within 1 s."""
        ...


class Store(Protocol):
    """A place where changes come from and go to.

    Every call with a `timeout` (seconds) raises `ConnectionFailed` when no endpoint answered in
    that time, `RequestRejected` when one refused, and `StoreClosed` after `close`.
    """

    api: str
    """"v2", "v3" or "recording"."""

    endpoints: tuple[str, ...]
    """The URLs to choose from, without user or password."""

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        ...

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        """Give the range of raw keys that a key, or a prefix, names in this store.

        Raises
        ------
        ValueError
            For a key that this store cannot have.
        """
        ...

    def revision(self, timeout: float) -> int:
        """Give the newest committed revision (a linearizable read)."""
        ...

    def get(self, key: bytes, timeout: float) -> KeyValue | None:
        """Read one key (linearizable); None where there is none."""
        ...

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:
        """Write one key, for `ttl` seconds or for good, and give the revision of that write."""
        ...

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:
        """Delete a key, or every key of a prefix, and give the number of keys deleted."""
        ...

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:
        """Read every key of a range, as it was at revision `at` where the store can look back.

        Raises
        ------
        Compacted
            The store no longer knows that revision.
        """
        ...

    def watch(self, scope: KeyRange, after: int) -> Watch:
        """Open a watch of `scope` that begins with revision `after` + 1."""
        ...

    def rotate(self) -> None:
        """Use the next endpoint from now on: the feed calls it before it tries again."""
        ...

    def close(self) -> None:
        """Close every connection; idempotent."""
        ...
