"""Small worlds of committed changes, and the stream that an honest source would tell of them.

Written without a look at how the validators do it: states are folded anew for each question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from etcd_watcher.event import Event, EventType, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.resync import differences
from etcd_watcher.stores.base import Batch, KeyValue, Snapshot
from etcd_watcher.testing import Change, Complete, History, Transaction, check

OURS = KeyRange.of_prefix(b"k/")

Stream = list[Event | Gap | Complete | Batch]
Commits = Sequence[tuple[int, Sequence[tuple[bytes, bytes | None]]]]


@dataclass
class World:
    """What was committed, what was asked for, and where the server was compacted.

    Each compaction is the first revision that a watch had not been told, and the revision at which
    the server was compacted meanwhile.
    """

    commits: Commits
    since: int = 1
    compactions: Sequence[tuple[int, int]] = ()

    @property
    def last(self) -> int:
        return self.commits[-1][0] if self.commits else 0

    @cached_property
    def history(self) -> History:
        transactions = [
            Transaction(revision, tuple(Change(key, value) for key, value in changes))
            for revision, changes in self.commits
        ]
        return History(transactions, compactions=[at for _, at in self.compactions])

    def keyspace(self, revision: int) -> dict[bytes, KeyValue]:
        state: dict[bytes, KeyValue] = {}
        for event in self.events:
            if event.revision <= revision:
                state.pop(event.raw_key, None)
                if event.raw_value is not None:
                    state[event.raw_key] = KeyValue(
                        event.raw_key,
                        event.raw_value,
                        event.revision,
                        event.created,
                        event.version,
                        0,
                    )
        return state

    @cached_property
    def events(self) -> list[Event]:
        events: list[Event] = []
        lives: dict[bytes, tuple[int, int, bytes]] = {}
        for revision, changes in self.commits:
            for key, value in changes:
                created, version, before = lives.get(key, (revision, 0, None))
                if value is None:
                    del lives[key]
                    events.append(event(key, None, revision, before))
                else:
                    lives[key] = (created, version + 1, value)
                    events.append(event(key, value, revision, before, created, version + 1))
        return events

    def stream(self, scope: KeyRange = OURS) -> Stream:
        """Give what an honest source would tell."""
        stream: Stream = []
        reached = self.since - 1
        for first, at in [*self.compactions, (self.last + 1, None)]:
            stream += self._told(scope, reached + 1, first - 1)
            reached = first - 1
            if at is not None:
                now = [item for key, item in sorted(self.keyspace(at).items()) if key in scope]
                known = [key for key in self.keyspace(first - 1) if key in scope]
                stream.append(Gap(first, at - 1, "compacted"))
                stream += differences(Snapshot(at, now), first - 1, known)
                reached = at
        return stream

    def _told(self, scope: KeyRange, first: int, last: int) -> list[Event]:
        return [
            each for each in self.events if first <= each.revision <= last and each.raw_key in scope
        ]

    def loses(self, first: int, last: int) -> bool:
        """Tell whether anything of ours changed in these revisions."""
        return any(first <= each.revision <= last and each.raw_key in OURS for each in self.events)

    def broken(self, stream: Stream, history: History | None = None) -> set[str]:
        """Give the names of the properties that a stream breaks."""
        history = history or self.history
        violations = check(stream, history, scope=OURS, since=self.since, until=self.last)
        return {each.name for each in violations}


def event(
    key: bytes,
    value: bytes | None,
    revision: int,
    before: bytes | None = None,
    created: int = 0,
    version: int = 0,
    *,
    synthetic: bool = False,
) -> Event:
    kind, action = (EventType.DELETE, "delete") if value is None else (EventType.PUT, "put")
    return Event(
        kind,
        key,
        value,
        before,
        revision,
        created,
        version,
        lease=0,
        action=action,
        expired=False,
        synthetic=synthetic,
    )


KEYS = [b"k/a", b"k/b", b"k/c", b"other"]


VALUES = [b"", b"1", b"2", None]


@st.composite
def worlds(draw: st.DrawFn, *, gaps: bool = False) -> World:
    """Draw worlds of puts, deletions, transactions, and keys that come again.

    With `gaps` they are long enough for a gap, and most have one.

    Each byte is a change: that is one draw, and a hundred times quicker than one for each choice.
    """
    commits: list[tuple[int, list[tuple[bytes, bytes | None]]]] = []
    living: set[bytes] = set()
    for byte in draw(st.binary(min_size=8 if gaps else 1, max_size=24)):
        key, value = KEYS[byte & 3], VALUES[byte >> 2 & 3]
        joins = byte & 16 and commits and all(key != other for other, _ in commits[-1][1])
        if not joins:
            commits.append((len(commits) + 2, []))
        value = b"3" if value is None and key not in living else value
        living = living - {key} if value is None else living | {key}
        commits[-1][1].append((key, value))
    last = commits[-1][0]
    since = min(last, draw(st.integers(1, 4)))
    found = []
    start = since
    for byte in draw(st.binary(min_size=int(gaps), max_size=2)):
        first = start + byte % 5
        at = first + 1 + byte // 5 % 5
        if at <= last:
            found.append((first, at))
            start = at + 1
    return World(commits, since, found)


@st.composite
def with_claims(draw: st.DrawFn, world: World) -> Stream:
    """Draw the honest stream of a world, with honest claims in it."""
    stream = world.stream()
    places = draw(st.binary(min_size=len(stream) + 1, max_size=len(stream) + 1))
    claimed: Stream = []
    last: Event | Gap | None = None
    floor = 0
    for record, byte in zip(stream, places, strict=False):
        assert not isinstance(record, (Complete, Batch))
        inside = isinstance(record, Event) and (
            record.synthetic or (isinstance(last, Event) and last.revision == record.revision)
        )
        coming = record.first if isinstance(record, Gap) else record.revision
        if byte & 1 and not inside and coming > floor:
            floor += byte // 2 % (coming - floor)
            claimed.append(Complete(floor))
        claimed.append(record)
        if isinstance(record, Event) and not record.synthetic:
            floor = max(floor, record.revision)
        last = record
    if places[-1] & 1:
        claimed.append(Complete(world.last))
    return claimed
