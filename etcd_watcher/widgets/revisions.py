"""The changes of some keys in the order of their revisions, and which keys are gone by now."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from etcd_watcher.event import Event, kind_of

__all__ = ["Deletion", "Revisions", "Step"]

MOST = 20_000
"""Revisions that are kept: the newest."""

CUT = 700
"""Bytes of a value that are kept to be shown."""


@dataclass(slots=True)
class Step:
    """A revision at which some of the keys changed.

    Attributes
    ----------
    came : float
        When it came, in seconds since the epoch; 0 for what was there before we looked.
    kinds : dict of bytes to str
        How each key changed: "created", "modified", "deleted" or "expired".
    """

    revision: int
    came: float = 0.0
    kinds: dict[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deletion:
    """A key that is gone.

    Attributes
    ----------
    revision : int
        At which it went.
    kind : str
        "deleted" or "expired".
    value : bytes or None
        The beginning of its last value, where that was told.
    """

    raw_key: bytes
    revision: int
    kind: str
    value: bytes | None


class Revisions:
    """Revisions in order, each with what it changed. Used under the renderer's lock.

    Attributes
    ----------
    forgotten : int
        The newest revision that was left out, because there were too many.
    gone : dict of bytes to Deletion
        The keys that are not there any more, the one that went last behind.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._steps: dict[int, Step] = {}
        self._order: list[int] = []
        """The revisions, sorted."""
        self._last: dict[bytes, int] = {}
        """Of each key, its newest revision."""
        self.forgotten = 0
        self.gone: dict[bytes, Deletion] = {}

    def __len__(self) -> int:
        return len(self._order)

    def add(self, event: Event, came: float = 0.0) -> None:
        """Take an event, in any order, and as often as it is told."""
        revision = event.revision
        if revision <= self.forgotten:
            return
        step = self._steps.get(revision)
        if step is None:
            step = self._steps[revision] = Step(revision)
            if self._order and revision < self._order[-1]:
                self._order.insert(bisect_left(self._order, revision), revision)
            else:
                self._order.append(revision)
        step.came = step.came or came
        step.kinds[event.raw_key] = kind_of(event)
        if revision >= self._last.get(event.raw_key, 0):
            self._last[event.raw_key] = revision
            self._note_fate(event)
        if len(self._order) > self._most * 1.1:
            self._forget()

    def extend(self, events: Iterable[Event]) -> None:
        """Take many of them."""
        for event in events:
            self.add(event)

    def _note_fate(self, event: Event) -> None:
        known = self.gone.pop(event.raw_key, None)
        if event.raw_value is not None:
            return
        value = event.raw_prev_value
        if value is None and known is not None and known.revision == event.revision:
            kept = known.value
        else:
            kept = None if value is None else value[:CUT]
        self.gone[event.raw_key] = Deletion(event.raw_key, event.revision, kind_of(event), kept)

    def _forget(self) -> None:
        """Leave out the oldest."""
        cut = len(self._order) - self._most
        self.forgotten = self._order[cut - 1]
        for revision in self._order[:cut]:
            for key in self._steps.pop(revision).kinds:
                if self._last.get(key) == revision:
                    del self._last[key]
                    self.gone.pop(key, None)
        del self._order[:cut]

    def place(self, revision: int) -> int:
        """Give the place of the last step at or before a revision; -1 where there is none."""
        return bisect_right(self._order, revision) - 1

    def at(self, place: int) -> Step:
        """Give the step at a place, the first one being 0."""
        return self._steps[self._order[place]]
