"""The ground truth: what was committed, in order, and what every key was worth at each revision."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from typing import Self

from etcd_watcher.event import Event, EventType, Gap, Status
from etcd_watcher.journal import Record
from etcd_watcher.keys import KeyRange, to_bytes
from etcd_watcher.stores.base import KeyValue, Snapshot, Store
from etcd_watcher.stores.history import replay
from etcd_watcher.table import plural
from etcd_watcher.testing.violation import quoted

__all__ = ["ALL", "Change", "History", "Transaction", "event", "only_key", "put"]

ALL = KeyRange.of_prefix(b"")
"""Every key."""

RENEWING = {"set", "create"}
"""v2's words for a put that begins a new life even where the key exists: `set` puts a new node in
the old one's place. `update` and `compareAndSwap` go on with the old one."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key's change within a transaction.

    Attributes
    ----------
    raw_key : bytes
        The key.
    raw_value : bytes or None
        Its new value; None for a deletion.
    renews : bool
        Whether a put begins a new life of a key that exists, as v2's `set` does.
    """

    raw_key: bytes
    raw_value: bytes | None
    renews: bool = False


def put(key: str | bytes, value: str | bytes, *, renews: bool = False) -> Change:
    """Give the change that a put makes; text is UTF-8 with surrogateescape."""
    return Change(to_bytes(key), to_bytes(value), renews)


def event(  # noqa: PLR0913 - what etcd says of a change
    key: str | bytes,
    value: str | bytes | None,
    revision: int,
    *,
    created: int = 0,
    version: int = 0,
    prev_value: str | bytes | None = None,
) -> Event:
    """Give a change as some other client told it, to `check` that client's stream.

    Parameters
    ----------
    key, value : str or bytes
        Text is UTF-8 with surrogateescape. The value is None for a deletion.
    revision : int
        etcd's `mod_revision` (v2: modifiedIndex).
    created, version : int
        etcd's `create_revision` and `version`; both 0 for a deletion.
    prev_value : str or bytes, optional
        The value before, where the client told it.

    Examples
    --------
    >>> event("nokia", "hello", 7, created=5, version=2)
    Event(PUT 'nokia'='hello', revision=7)
    """
    return _event(
        EventType.DELETE if value is None else EventType.PUT,
        to_bytes(key),
        None if value is None else to_bytes(value),
        None if prev_value is None else to_bytes(prev_value),
        revision,
        created,
        version,
    )


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one revision changed, in the order in which the server tells it.

    etcd v3 tells the changes of a transaction in the order of its operations, and the keys of a
    range deletion sorted. v2 has one change an index, except that the deletion of a directory is
    the deletion of every key below, sorted.
    """

    revision: int
    changes: tuple[Change, ...]


class History:
    """Everything that was committed in some range of keys, as the truth to compare streams with.

    Where to get one: from a full watch of a healthy server (`from_events`, or `read`, which makes
    that watch itself), or from what the writers were told (`etcd_watcher.testing.from_writes`).

    Parameters
    ----------
    transactions : iterable of Transaction
        With rising revisions. A revision without a transaction changed no key that matters.
    base : Snapshot, optional
        The keys as they stood just before; none where the history begins with an empty server.
    last : int, optional
        The newest revision that the history knows of: no change up to it is missing here. By
        default the last transaction's.
    compactions : iterable of int, optional
        Every revision at which the server was compacted: each time it gave up those before. With
        None that is not known, and gaps are held to less.
    versions : bool
        Whether the server counts how often a key was written (v3 does, v2 does not).

    Raises
    ------
    ValueError
        What was given cannot have happened: revisions that do not rise, a key that changes twice
        in a transaction, the deletion of a key that is not there.

    Examples
    --------
    >>> history = History([Transaction(2, (put("nokia", "hello"),))])
    >>> history.events()
    [Event(PUT 'nokia'='hello', revision=2)]
    """

    def __init__(
        self,
        transactions: Iterable[Transaction] = (),
        *,
        base: Snapshot | None = None,
        last: int | None = None,
        compactions: Iterable[int] | None = None,
        versions: bool = True,
    ) -> None:
        self.first = 1 if base is None else base.revision + 1
        self.compactions = None if compactions is None else frozenset(compactions)
        self._versions = versions
        self._base = {} if base is None else {item.raw_key: item for item in base.items}
        self._events: list[Event] = []
        """The true events. Their places here, called ordinals, order them."""
        self._of_key: dict[bytes, list[int]] = {}
        """The ordinals of each key's events."""
        newest = self.first - 1
        for transaction in transactions:
            if transaction.revision <= newest:
                raise ValueError(
                    f"revision {transaction.revision} comes behind {newest}: the revisions of a "
                    "history rise"
                )
            newest = transaction.revision
            for change in transaction.changes:
                self._commit(newest, change)
        self.last = newest if last is None else last
        if self.last < newest:
            raise ValueError(f"last={last}, but the history goes up to revision {newest}")

    def _commit(self, revision: int, change: Change) -> None:
        key, value = change.raw_key, change.raw_value
        before = self.at(key, revision)
        if before is not None and before.revision == revision:
            raise ValueError(f"revision {revision} changes key {quoted(key)} twice")
        previous = None if before is None else before.raw_value
        if value is None:
            if before is None:
                raise ValueError(
                    f"revision {revision} deletes key {quoted(key)}, which is not there"
                )
            event = _event(EventType.DELETE, key, None, previous, revision, 0, 0)
        else:
            created, version = revision, 1
            if before is not None and not change.renews:
                created, version = before.created, before.version + 1
            version = version if self._versions else 0
            event = _event(EventType.PUT, key, value, previous, revision, created, version)
        self._of_key.setdefault(key, []).append(len(self._events))
        self._events.append(event)

    @classmethod
    def from_events(
        cls,
        events: Iterable[Record],
        *,
        base: Snapshot | None = None,
        last: int | None = None,
        compactions: Iterable[int] | None = None,
    ) -> Self:
        """Make a history of what a full watch of a healthy server told.

        Only their types, keys, values and revisions are believed, and v2's words for what happened:
        what follows from these (lives, versions, values before) is worked out anew, so that
        `check(events, History.from_events(events), ...)` checks those of the watch itself.

        Raises
        ------
        ValueError
            There are gaps or synthetic events among them, or they cannot have happened.
        """
        true = [each for each in events if not isinstance(each, Status)]
        told: list[Event] = []
        for each in true:
            if isinstance(each, Gap) or each.synthetic:
                raise ValueError(f"a history has no gaps, but there is {each}")
            told.append(each)
        puts = [each for each in told if each.type is EventType.PUT]
        transactions = (
            Transaction(revision, tuple(map(_change, together)))
            for revision, together in groupby(told, attrgetter("revision"))
        )
        versions = not puts or any(each.version for each in puts)
        return cls(transactions, base=base, last=last, compactions=compactions, versions=versions)

    @classmethod
    def read(  # noqa: PLR0913 - which store, which part of it, and how long
        cls,
        store: Store,
        scope: KeyRange = ALL,
        *,
        first: int = 1,
        last: int | None = None,
        compactions: Iterable[int] | None = None,
        timeout: float = 10.0,
    ) -> Self:
        """Make a history of what a v3 server tells of its past, in one plain watch.

        Read it when all is well again, from a member that has been healthy, and use a store of its
        own: not the one of the stream that is to be checked.

        Parameters
        ----------
        store : Store
            Where to read.
        scope : KeyRange
            Of which keys.
        first, last : int
            From where and up to where; up to the present by default.
        timeout : float
            Seconds for each request.

        Raises
        ------
        Compacted
            The server has given up the revision before `first`.
        ValueError
            The store is a v2 server, which cannot look back.
        ConnectionFailed, RequestRejected
        """
        if store.api == "v2":
            raise ValueError(
                "etcd v2 cannot tell its past: take a snapshot first, watch on from there, and "
                "give both to History.from_events"
            )
        newest = store.revision(timeout) if last is None else last
        base = store.snapshot(scope, first - 1, timeout) if first > 1 else None
        batches = replay(store, scope, first, newest) if newest >= first else iter(())
        events = chain.from_iterable(batches)
        return cls.from_events(events, base=base, last=newest, compactions=compactions)

    def events(self, scope: KeyRange = ALL, since: int = 1) -> list[Event]:
        """Give the stream that a watch of `scope` from revision `since` on should be told."""
        return [each for each in self.between(since, self.last) if each.raw_key in scope]

    def at(self, raw_key: bytes, revision: int) -> KeyValue | None:
        """Give a key as it stood once `revision` was committed; None where there was none."""
        ordinals = self._of_key.get(raw_key, ())
        place = bisect_right(ordinals, revision, key=self._revision)
        if not place:
            return self._base.get(raw_key)
        event = self._events[ordinals[place - 1]]
        if event.raw_value is None:
            return None
        return KeyValue(
            raw_key, event.raw_value, event.revision, event.created, event.version, event.lease
        )

    def living(self, scope: KeyRange, revision: int) -> list[bytes]:
        """Give the keys of a range that there were once `revision` was committed, sorted."""
        key = only_key(scope)
        if key is not None:
            return [] if self.at(key, revision) is None else [key]
        keys = sorted(key for key in self._base.keys() | self._of_key.keys() if key in scope)
        return [key for key in keys if self.at(key, revision) is not None]

    def ordinal(self, revision: int, raw_key: bytes) -> int | None:
        """Give the place of a change among all of them; None where it never happened."""
        ordinals = self._of_key.get(raw_key, ())
        place = bisect_left(ordinals, revision, key=self._revision)
        found = place < len(ordinals) and self._revision(ordinals[place]) == revision
        return ordinals[place] if found else None

    def between(self, first: int, last: int) -> list[Event]:
        """Give the events of revisions `first` to `last`, both included."""
        start = bisect_left(self._events, first, key=attrgetter("revision"))
        return self._events[start : bisect_right(self._events, last, key=attrgetter("revision"))]

    def _revision(self, ordinal: int) -> int:
        return self._events[ordinal].revision

    def __getitem__(self, ordinal: int) -> Event:
        return self._events[ordinal]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __repr__(self) -> str:
        return f"History({plural(len(self), 'event')}, revisions {self.first} to {self.last})"


def only_key(scope: KeyRange) -> bytes | None:
    """Give the key of a range that has exactly one."""
    return scope.start if scope.end == scope.start + b"\0" else None


def _change(event: Event) -> Change:
    return Change(event.raw_key, event.raw_value, event.action in RENEWING)


def _event(  # noqa: PLR0913, PLR0917 - what an event says
    kind: EventType,
    key: bytes,
    value: bytes | None,
    previous: bytes | None,
    revision: int,
    created: int,
    version: int,
) -> Event:
    action = "put" if kind is EventType.PUT else "delete"
    return Event(
        kind,
        key,
        value,
        previous,
        revision,
        created,
        version,
        lease=0,
        action=action,
        expired=False,
        synthetic=False,
    )
