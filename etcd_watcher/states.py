"""What every key was worth at each moment of a sequence of events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import KeyValue

__all__ = ["UNKNOWN", "States", "Worth"]


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""Stands for a value that was there, and that nobody has told."""

Worth = KeyValue | None | _Unknown
"""What a key is worth; None where it is not there."""


class States:
    """The values of keys, each with the place from which on it was true.

    Places are whole numbers that never fall, such as revisions. What a key was worth before its
    first event is what that event tells of it: its value, but not the revision of that, which is
    0 here.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, list[int]] = {}
        """By key, the places at which it changed."""
        self._values: dict[bytes, list[Worth]] = {}
        """By key, its value before the first of them and behind each; None where it was not there."""
        self._sorted: list[bytes] | None = None

    def add(self, place: int, events: Iterable[Event]) -> None:
        """Take what happened at a place, behind all that was taken before."""
        for event in events:
            places = self._places.get(event.raw_key)
            if places is None:
                places = self._places[event.raw_key] = []
                self._values[event.raw_key] = [_before(event)]
                self._sorted = None
            places.append(place)
            self._values[event.raw_key].append(_after(event))

    def last_change(self, key: bytes, place: int) -> int | None:
        """Give the place of a key's last change at or before `place`; None where there is none."""
        places = self._places.get(key, ())
        index = bisect_right(places, place)
        return places[index - 1] if index else None

    def next_change(self, key: bytes, place: int) -> int | None:
        """Give the place of a key's first change behind `place`; None where there is none."""
        places = self._places.get(key, ())
        index = bisect_right(places, place)
        return places[index] if index < len(places) else None

    def worth(self, key: bytes, place: int) -> Worth:
        """Give what a key was worth at a place."""
        places = self._places.get(key)
        return None if places is None else self._values[key][bisect_right(places, place)]

    def value(self, key: bytes, place: int) -> KeyValue | None:
        """Give a key as it was at a place; None where it was not there, or nobody has told."""
        worth = self.worth(key, place)
        return None if worth is UNKNOWN else worth

    def keys(self, scope: KeyRange) -> Iterator[bytes]:
        """Give the keys of a range that have ever changed, in order."""
        if self._sorted is None:
            self._sorted = sorted(self._places)
        return (key for key in self._sorted if key in scope)

    def items(self, scope: KeyRange, place: int) -> list[KeyValue]:
        """Give the keys of a range that were there at a place, in order."""
        values = (self.value(key, place) for key in self.keys(scope))
        return [each for each in values if each is not None]


def _after(event: Event) -> KeyValue | None:
    if event.raw_value is None:
        return None
    return KeyValue(
        event.raw_key,
        event.raw_value,
        event.revision,
        event.created,
        event.version,
        event.lease,
    )


def _before(event: Event) -> Worth:
    """Give what the key was worth before its first event."""
    went_on = event.raw_value is not None and event.created < event.revision
    if event.raw_prev_value is None:
        # Of a deletion the key was there; etcd does not give its value once that is compacted.
        existed = went_on or event.raw_value is None
        return UNKNOWN if existed or event.synthetic else None
    return KeyValue(
        event.raw_key,
        event.raw_prev_value,
        0,
        event.created if went_on else 0,
        max(0, event.version - 1) if went_on else 0,
        0,
    )
