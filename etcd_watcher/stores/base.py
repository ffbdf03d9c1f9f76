"""What the feed asks of a place that changes come from. A store knows its wire; nothing else does.

A store is used from several threads at once: its `Watch` is read by the feed's thread alone, all
else may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.keys import KeyRange

__all__ = [
    "Batch",
    "Cluster",
    "KeyHead",
    "KeyPage",
    "KeyValue",
    "Member",
    "Snapshot",
    "Store",
    "TimeToLive",
    "Watch",
]


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
class KeyHead:
    """A key as it stands, without its value.

    Attributes
    ----------
    expires : bool
        Whether it hangs on a lease, or has a TTL of its own (v2): `Store.time_left` tells more.
    """

    raw_key: bytes
    revision: int
    created: int
    version: int
    lease: int
    expires: bool


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Some of the keys in a range, in order.

    Attributes
    ----------
    revision : int
        The store's revision when it was asked.
    heads : list of KeyHead
        The keys; there may be none although more follow (v2: many empty directories).
    after : bytes or None
        What to ask for next: the keys behind this one. None at the end of the range.
    count : int or None
        How many keys there are from the page's first one to the end of the range; None where the
        store does not count (v2).
    """

    revision: int
    heads: list[KeyHead]
    after: bytes | None
    count: int | None


@dataclass(frozen=True, slots=True)
class TimeToLive:
    """How long a key has to live.

    Attributes
    ----------
    left : int
        Seconds.
    granted : int
        Seconds that its lease was granted for, which it has again at each keep-alive; 0 where the
        store does not tell (v2).
    lease : int
        Its lease; 0 on v2, which has none.
    """

    left: int
    granted: int
    lease: int


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the cluster; its name is "" until it has started."""

    name: str
    urls: tuple[str, ...]
    leads: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """How the cluster stands, as one of its members tells.

    Attributes
    ----------
    version : str
        Of the member that was asked.
    revision : int
        The newest revision that this member has.
    members : tuple of Member
        All of them; empty where our user may not know.
    size : int
        Bytes of this member's database; 0 where it does not tell (v2).
    """

    version: str
    revision: int
    members: tuple[Member, ...]
    size: int

    @property
    def leader(self) -> str:
        """The leader's name; "" where there is none, or nobody tells."""
        return next((each.name for each in self.members if each.leads), "")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every key of a range as it stood at one revision, sorted by key."""

    revision: int
    items: list[KeyValue]


@dataclass(slots=True)  # not frozen: to make one would take three times as long
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
    notes : tuple of Gap or Status
        What comes before the events: a recording tells of losses and of the connection.
    anew : bool
        Whether revisions begin anew with the events.
    taken : callable, optional
        Called just before the batch is published; never where its range was replaced meanwhile.
    """

    scope: KeyRange
    events: list[Event] = field(default_factory=list)
    complete: int = 0
    opened: bool = False
    notes: tuple[Gap | Status, ...] = ()
    anew: bool = False
    taken: Callable[[], None] | None = None


class Watch(Protocol):
    """One ordered stream of the changes in one range of keys."""

    def read(self) -> Batch:
        """Block until there is something to tell.

        Raises
        ------
        Compacted
            The server dropped the revisions that were to come next.
        HistoryReplaced
            The server has begun anew, and is not as far as we were.
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

    def watches(self, scope: KeyRange) -> bool:
        """Tell whether a range within the acknowledged one is watched.

        It is not where our user had no right to read it when the watch was opened.
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

    @property
    def turn(self) -> int:
        """How often the store has gone on to another endpoint."""
        ...

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        """Give the range of raw keys that a key, or a prefix, names in this store.

        Raises
        ------
        ValueError
            For a key that this store cannot have.
        """
        ...

    def admit(self, scopes: Sequence[KeyRange], timeout: float, *, whole: bool = True) -> None:
        """Let ranges be watched, where our user may read them: asked before `watch` or `retarget`.

        With `whole=False` let them be looked at, where our user may read a part of each.

        Raises
        ------
        RequestRejected
            It names a range that our user may not read, where that can be known beforehand.
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

    def keys(self, scope: KeyRange, after: bytes | None, limit: int, timeout: float) -> KeyPage:
        """List at most `limit` keys of a range behind the key `after`, without their values.

        The cost is that of the page, not of the range, but for v2: it sends the directories that
        the page's keys are in, one level each, with all of their values.
        """
        ...

    def compare_and_put(  # noqa: PLR0913 - what a put has, and the revision
        self,
        key: bytes,
        value: bytes,
        revision: int,
        timeout: float,
        *,
        ttl: int | None = None,
        lease: int = 0,
    ) -> int:
        """Write a key if `revision` is still its last one; 0: if there is no such key.

        Parameters
        ----------
        ttl : int, optional
            Let it live for so many seconds.
        lease : int
            Or hang it on this lease, such as the one that it hangs on (v3; 0 for none).

        Returns
        -------
        int
            The revision of the write.

        Raises
        ------
        Conflict
            Somebody else wrote it meanwhile; nothing was written.
        """
        ...

    def compare_and_delete(self, key: bytes, revision: int, timeout: float) -> None:
        """Delete a key if `revision` is still its last one.

        Raises
        ------
        Conflict
            Somebody else wrote or deleted it meanwhile; nothing was deleted.
        """
        ...

    def time_left(self, key: bytes, timeout: float) -> TimeToLive | None:
        """Tell how long a key has to live; None for one that stays, or is not there."""
        ...

    def cluster(self, timeout: float) -> Cluster:
        """Ask the member in use how the cluster stands."""
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

    def rotate(self, turn: int) -> None:
        """Use the next endpoint from now on, unless the store has gone on by itself since `turn`.

        The feed calls it before it tries again.
        """
        ...

    def close(self) -> None:
        """Close every connection; idempotent."""
        ...
