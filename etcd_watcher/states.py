"""What every key was worth at each moment of a sequence of events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import KeyValue

__all__ = ["States"]


class States:
    """The values of keys, each with the place from which on it was true.

    Places are whole numbers that never fall, such as revisions. What a key was worth before its
    first event is what that event tells of it: its value, but not the revision of that, which is
    0 here.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, list[int]] = {}
        """By key, the places at which it changed."""
        self._values: dict[bytes, list[KeyValue | None]] = {}
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

    def value(self, key: bytes, place: int) -> KeyValue | None:
        """Give a key as it was at a place; None where it was not there."""
        places = self._places.get(key)
        return None if places is None else self._values[key][bisect_right(places, place)]

    def items(self, scope: KeyRange, place: int) -> list[KeyValue]:
        """Give the keys of a range that were there at a place, in order."""
        if self._sorted is None:
            self._sorted = sorted(self._places)
        values = (self.value(key, place) for key in self._sorted if key in scope)
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


def _before(event: Event) -> KeyValue | None:
    if event.raw_prev_value is None:
        return None
    lives_on = event.raw_value is not None and event.created < event.revision
    return KeyValue(
        event.raw_key,
        event.raw_prev_value,
        0,
        event.created if lives_on else 0,
        max(0, event.version - 1) if lives_on else 0,
        0,
    )
