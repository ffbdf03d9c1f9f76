"""Keys as they were: from the journal, else from etcd's own history."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from etcd_watcher.demux import Demux
from etcd_watcher.errors import Compacted, ConnectionFailed
from etcd_watcher.event import Event, Gap
from etcd_watcher.feed import Feed
from etcd_watcher.keys import KeyRange
from etcd_watcher.moment import History, Moment
from etcd_watcher.states import UNKNOWN, States
from etcd_watcher.stores.base import KeyValue, Snapshot, Store
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.synthetic import told, written

__all__ = ["TimeMachine"]

BASES = 16
"""Readings of the server that are kept, to go from there to other revisions by the journal."""

AHEAD = (0.0, 0.1, 0.5, 1.0)
"""Where a past is read that is being lost as it is read: at first from the oldest that the store says
to have whole, then this part of the way from there to its present. On v2, whose history is the last
1,000 changes, that oldest one is lost with the next write."""

RANGES = 16
"""Watched ranges that are read one by one; more are read together, with what lies between them."""


class TimeMachine:
    """Finds what keys were worth at a revision.

    What the server says of one revision, and the journal of all changes around it, give every
    revision that the journal reaches to: without asking again, and when the server has long
    forgotten it.

    Parameters
    ----------
    store, demux, feed
        The watcher's parts.
    timeout : float
        Seconds for one request to the store.
    """

    def __init__(self, store: Store, demux: Demux, feed: Feed, timeout: float) -> None:
        self._store = store
        self._demux = demux
        self._feed = feed
        self._timeout = timeout
        self._lock = threading.Lock()
        """Guards all below."""
        self._states = States()
        """What the journal tells since its last gap, by revision."""
        self._position = 0
        """The position of the journal's first record that is not in there."""
        self._newest = 0
        """The newest revision in there."""
        self._from: int | None = 0
        """The revision from which on every change is in there; None until that is known."""
        self._size = 0
        """Records in there."""
        self._bases: dict[KeyRange, Snapshot] = {}
        """What the store said of some ranges, the last ones behind."""
        self._gone = 0
        """The newest revision that the store has been found not to know any more."""

    def at(self, revision: int, scopes: Sequence[KeyRange]) -> Moment:
        """Give the keys of some ranges as they were; see `Watcher.at`."""
        ranges = [KeyRange.hull(scopes)] if len(scopes) > RANGES else scopes
        found: dict[bytes, KeyValue] = {}
        with self._lock:
            for scope in ranges:
                found |= {each.raw_key: each for each in self._items(scope, revision)}
        if ranges is not scopes:
            match = self._demux.router.match
            with self._demux.lock:
                found = {key: each for key, each in found.items() if match(key)}
        return Moment(revision, list(found.values()))

    def history(self, scopes: Sequence[KeyRange], first: int, last: int) -> History:
        """Give what happened to some keys between two revisions; see `Watcher.history`.

        It begins later where nobody knows the beginning any more.
        """
        scope = KeyRange.hull(scopes)
        with self._lock:
            known_from = self._known_from(scope)
        found: dict[tuple[int, bytes], Event] = {}
        begin = first
        until = last if known_from is None else min(known_from, last)
        if first <= until:
            begin = self._past(scope, first, until, found)
        journal, _ = self._demux.journal.since(first)
        for event in journal:
            if not isinstance(event, Event) or event.revision > last or event.raw_key not in scope:
                continue
            if not (event.synthetic and begin <= event.revision <= until):  # the store told it
                found.setdefault((event.revision, event.raw_key), event)
        # Within a transaction as they came.
        events = sorted(found.values(), key=lambda event: event.revision)
        if len(scopes) > 1:
            events = [event for event in events if any(event.raw_key in each for each in scopes)]
        return History(events, begin, last)

    def _past(
        self, scope: KeyRange, first: int, last: int, found: dict[tuple[int, bytes], Event]
    ) -> int:
        """Find what the store tells of its past; give the revision from which on nothing is missing."""
        ahead = iter(AHEAD)
        begin = first
        while begin <= last:
            try:
                if begin < first:  # its deletions may be forgotten; what was written is there
                    found |= _by_place(self._written_in(scope, begin))
                for events in self._replay(scope, first, last):
                    found |= _by_place(events)
            except Compacted as lost:
                found.clear()
                way = max(0, lost.revision - lost.whole_from)
                first = max(first + 1, lost.whole_from + int(way * next(ahead, 1.0)))
                begin = lost.revision if lost.revision < lost.whole_from else first
            else:
                break
        return min(first, last + 1)

    def _written_in(self, scope: KeyRange, revision: int) -> list[Event]:
        """Give the puts of a revision of which the store still knows the state."""
        items = self._store.snapshot(scope, revision, self._timeout).items
        here = [each for each in items if each.revision == revision]
        return [told(written(each, revision, action="put")) for each in here]

    def _items(self, scope: KeyRange, revision: int) -> Sequence[KeyValue]:
        base = self._bases.get(scope)
        told: Sequence[KeyValue] | None = None
        if base is not None and self._reaches(scope, base.revision, revision):
            told = self._from_journal(scope, base, revision)
            # Going back, of some keys the journal knows the value alone.
            if revision <= self._gone or all(each.revision for each in told):
                return told
        base = self._read(scope, revision)
        if base.revision == revision:
            self._keep(scope, base)
            return base.items
        # The server has forgotten that revision, or never looks back: we go back from a later one.
        self._gone = max(self._gone, revision)
        if told is not None:
            return told
        self._keep(scope, base)
        self._feed.wait_complete(base.revision, self._timeout)
        if self._reaches(scope, base.revision, revision):
            return self._from_journal(scope, base, revision)
        return self._from_history(scope, base, revision)

    def _keep(self, scope: KeyRange, base: Snapshot) -> None:
        self._bases.pop(scope, None)
        self._bases[scope] = base
        if len(self._bases) > BASES:
            del self._bases[next(iter(self._bases))]

    def _read(self, scope: KeyRange, revision: int) -> Snapshot:
        """Ask the store for a revision, or for what it has."""
        if revision > self._gone:
            try:
                return self._store.snapshot(scope, revision, self._timeout)
            except Compacted:
                pass
        return self._store.snapshot(scope, None, self._timeout)

    def _reaches(self, scope: KeyRange, one: int, other: int) -> bool:
        """Tell whether the journal has every change of a range between two revisions."""
        first, last = min(one, other), max(one, other)
        known_from = self._known_from(scope)
        return known_from is not None and known_from <= first and last <= self._demux.complete

    def _known_from(self, scope: KeyRange) -> int | None:
        """Give the revision behind which the journal has every change of a range; None for none."""
        begun = self.begun(scope)
        if begun is None:
            return None
        self._catch_up()
        with self._demux.lock:
            # Behind a gap, and with nothing told since, that is the present.
            here = self._demux.complete if self._from is None else self._from
            return max(begun, here, self._demux.journal.forgotten)

    def begun(self, scope: KeyRange) -> int | None:
        """Give the revision behind which all of a range is watched; None where it is not."""
        with self._demux.lock:
            starts = [
                route.start
                for route in self._demux.router.match(scope.start)
                if route.scope.covers(scope)
            ]
        return min(starts, default=None)

    def falls_short(self, name: str, scope: KeyRange, since: int) -> str:
        """Say from where on the journal has a key, where that is later than `since`; "" elsewhere.

        Raises
        ------
        ValueError
            It has nothing of that key, which is not watched.
        """
        begun, forgotten = self.begun(scope), self._demux.journal.forgotten
        if begun is None:
            raise ValueError(
                f"since={since} is for what the journal has, and it has nothing of {name!r}, which "
                "is not watched: add_key() it first. Watcher.history() tells what came before"
            )
        if since <= forgotten and begun <= forgotten:
            how = f"the journal has forgotten what came up to revision {forgotten}"
        elif begun >= max(since, 2):  # no change is revision 1
            how = f"{name!r} has been watched only from revision {begun + 1} on"
        else:
            return ""
        return f"since={since}, but {how}. Watcher.history() tells what came before."

    def _catch_up(self) -> None:
        """Take what the journal has by now."""
        journal = self._demux.journal
        if self._size > 2 * len(journal) + BASES:  # most of it is forgotten there
            self._forget()
            self._position = 0
        records, self._position = journal.read(self._position)
        for record in records:
            if isinstance(record, Gap) and not record.subscriber:
                self._forget()
                self._from = None
            elif isinstance(record, Event):
                if record.revision < self._newest:  # data that has replaced the old
                    self._forget()
                    self._from = None
                if self._from is None and not record.synthetic:
                    self._from = record.revision - 1
                self._states.add(record.revision, [record])
                self._newest = record.revision
                self._size += 1

    def _forget(self) -> None:
        self._states = States()
        self._newest = self._size = 0
        self._from = self._gone = 0
        self._bases.clear()

    def _from_journal(self, scope: KeyRange, base: Snapshot, revision: int) -> Sequence[KeyValue]:
        """Go from what the store said of one revision to another one."""
        begun = self.begun(scope) or 0
        return _reconstruct(self._states, scope, base, revision, begun)

    def _from_history(self, scope: KeyRange, base: Snapshot, revision: int) -> Sequence[KeyValue]:
        """Go back by what the store tells of its own past: v2 has its last 1,000 changes."""
        states = States()
        try:
            for events in self._replay(scope, revision + 1, base.revision):
                for event in events:
                    states.add(event.revision, [event])
        except Compacted as lost:
            raise self._too_far(scope, min(lost.revision, lost.whole_from)) from lost
        return _reconstruct(states, scope, base, revision, revision)

    def _replay(self, scope: KeyRange, first: int, last: int) -> Iterator[list[Event]]:
        """Give what the store tells of its past; where it is lost, go on from there, elsewhere."""
        begun = 0
        while True:
            turn = self._store.turn
            try:
                for events in replay(self._store, scope, first, last):
                    yield events
                    first = events[-1].revision + 1
            except ConnectionFailed:
                if begun == first:  # twice at the same place
                    raise
                begun = first
                self._store.rotate(turn)
            else:
                return

    def _too_far(self, scope: KeyRange, oldest: int) -> Compacted:
        """Say how far one can go back, by the store or by the journal."""
        known_from = self._known_from(scope)
        return Compacted(oldest if known_from is None else min(oldest, known_from))


def _by_place(events: Iterable[Event]) -> dict[tuple[int, bytes], Event]:
    """Give events by their revision and key: each is one change, whoever told it."""
    return {(each.revision, each.raw_key): each for each in events}


def _reconstruct(
    states: States, scope: KeyRange, base: Snapshot, revision: int, begun: int
) -> Sequence[KeyValue]:
    """Give the keys as they were at a revision, from how they were at another and all between.

    Parameters
    ----------
    begun : int
        What `states` tells up to this revision does not count: it was not watched then, or not
        without a break.
    """
    there = {each.raw_key: each for each in base.items}
    found = []
    for key in dict.fromkeys([*there, *states.keys(scope)]):
        changed = states.last_change(key, revision)
        to_come = states.next_change(key, revision)
        if (changed is not None and changed > begun) or (
            to_come is not None and to_come <= base.revision
        ):
            worth = states.worth(key, revision)
        else:
            worth = there.get(key)
        if worth is UNKNOWN:
            raise Compacted(to_come or base.revision)
        if worth is not None:
            found.append(worth)
    return found
