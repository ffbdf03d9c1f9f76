"""What a watch of etcd v3 is of, and how far the server has come with each part of it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from etcd_watcher.keys import KeyRange

if TYPE_CHECKING:
    from etcd_watcher.event import Event
    from etcd_watcher.stores.v3_lineage import Lineage
    from etcd_watcher.stores.v3_survey import Survey

__all__ = ["CATCH_UP_REVISIONS", "Part", "Target", "is_history"]

CATCH_UP_REVISIONS = 1000
"""The server feeds a watcher that is behind this many revisions of its range at a time
(`watchBatchMaxRevs` in etcd's mvcc); a response with fewer reaches to its header's revision."""

EARLY_BYTES = 8 * 1024 * 1024
"""How much a watcher may tell before it takes over from another."""

SYNC_ROUNDS = 0.3
"""Seconds in which the server's loop for watchers that are behind (every 0.1 s) has run twice."""


def is_history(changes: Sequence[Any]) -> bool:
    """Tell whether there may be more of the past behind these changes."""
    if len(changes) < CATCH_UP_REVISIONS:
        return False
    return len({change.kv.mod_revision for change in changes}) >= CATCH_UP_REVISIONS


def size_of(response: Any) -> int:
    """Give how long a response was on the wire. It is written out anew for that."""
    return int(response.ByteSize())


class Part:
    """One server-side watcher: of a part of what is to be watched, mostly all of it."""

    def __init__(self, target: Target, scope: KeyRange, after: int) -> None:
        self.target = target
        self.scope = scope
        self.watch_id: int | None = None
        """The server's number for it; None until it has acknowledged it."""
        self.given = after
        """The newest revision given out, or the one after which it began."""
        self.overlaps = False
        """Whether it was asked for from `given` on; else from right behind that."""
        self.behind_since: float | None = None
        """When the server began to feed it history; None once it is known to be up to date."""
        self.floor = 0
        """On old servers: the newest revision of its live keys, when completeness was asked for."""
        self.fragments: list[Any] = []
        """Of a response that is not yet whole."""
        self.by_server = True
        """Whether the server finds the values before."""
        self.told = self.survey_at = 0
        """How many events came with them, and how many have to before a survey is worth it."""
        self.survey: Survey | None = None
        """What finds out all values, for us to know those before."""
        self.lineage: Lineage | None = None
        """All values of its keys at `given`; None where the server finds those before. No other
        part may have it: what this one does not watch changes unseen."""
        self.heir: Part | None = None
        """One that is to replace it, for which they are found the other way."""
        self.replaces: Part | None = None
        """Of such an heir: what it is to replace; None once it has."""
        self.early: list[Any] = []
        """Of such an heir: the responses until then."""
        self._early_size = 0

    def join(self, response: Any, changes: Sequence[Any]) -> Sequence[Any]:
        """Give the changes of a response once it is whole; none where more of it has to come."""
        if response.fragment or self.fragments:
            self.fragments.append(response)
            if response.fragment:
                return ()
            changes = [change for each in self.fragments for change in each.events]
            self.fragments.clear()
        return changes

    @property
    def may_overlap(self) -> bool:
        """Whether it can begin once more, with what it has given last."""
        return bool(self.given) and not self.overlaps and self.replaces is None

    def raise_floor(self, floor: int) -> None:
        """Have its newest live key changed at a revision; it may have been replaced meanwhile."""
        self.floor = max(self.floor, floor)
        if self.heir is not None and self.heir.replaces is None:
            self.heir.raise_floor(floor)

    def bequeath(self) -> Part:
        """Make an heir: a watcher from now on, whatever "now" will be, beside this one."""
        self.heir = heir = Part(self.target, self.scope, -1)
        heir.by_server, heir.replaces = not self.by_server, self
        return heir

    def keep(self, response: Any) -> None:
        """Take what such an heir is told before its time."""
        self.early.append(response)
        self._early_size += size_of(response)

    def hand_over(self) -> list[Any]:
        """Have the heir replace this one, where that neither loses nor delays anything.

        It does not once both have told of the same revision: the heir has the rest. Before, it may
        have been a moment late, and be told only with what the server feeds as the past.
        Returns what the heir was told until then, some of which has been given; nothing: not yet.
        """
        heir = self.heir
        if self.watch_id is None or heir is None or heir.watch_id is None or not heir.early:
            return []
        if self.given < heir.early[0].events[0].kv.mod_revision:
            return []
        self.target.parts[self.target.parts.index(self)] = heir
        heir.given, heir.floor, heir.replaces = self.given, self.floor, None
        early, heir.early = heir.early, []
        return early

    @property
    def is_too_early(self) -> bool:
        """Whether it was told more than is worth keeping, of what it is to tell later."""
        return self._early_size > EARLY_BYTES

    @property
    def may_be_behind(self) -> bool:
        """Whether an old server may have something of it that it has not sent yet."""
        behind = self.behind_since
        if behind is not None and time.monotonic() - behind > SYNC_ROUNDS:
            self.behind_since = behind = None
        return behind is not None or self.given < self.floor


class Target:
    """What is to be watched, and from where on."""

    def __init__(self, scope: KeyRange, after: int, parts: list[KeyRange]) -> None:
        self.scope = scope
        self.after = after
        self.parts = [Part(self, part, after) for part in parts]
        self.held: list[Event] = []
        """With several parts: events that wait for all of them to have come as far."""

    def release(self, revision: int) -> list[Event]:
        """Take out what is held back up to a revision, in order.

        Of a transaction the changes of the first part come first, then those of the next: nobody
        tells in which order it had them.
        """
        held, starts = self.held, [part.scope.start for part in self.parts]
        if len(starts) > 1:
            held.sort(key=lambda event: (event.revision, bisect_right(starts, event.raw_key)))
        end = bisect_right(held, revision, key=attrgetter("revision"))
        self.held = held[end:]
        return held[:end]
