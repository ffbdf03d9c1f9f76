"""How often each key changes, and what number it holds: counted in short pieces of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from etcd_watcher.event import Event

__all__ = ["MOST_KEYS", "AllSeries", "KeySeries", "Numbers"]

MOST_KEYS = 2_000
"""Keys that are told apart; those that come when there are so many count among all, no more."""

LONGEST_NUMBER = 40
"""Bytes up to which a value is tried for a number."""


class Numbers(NamedTuple):
    """The numbers of a piece of time: a peak shows, however short it was."""

    low: float
    high: float
    last: float

    def and_then(self, number: float) -> Numbers:
        """Give these with one more."""
        return Numbers(min(self.low, number), max(self.high, number), number)


class KeySeries:
    """One key's changes. Pieces of time are numbered: time divided by their length.

    Attributes
    ----------
    counts : dict of int to int
        Changes in each piece that had any.
    numbers : dict of int to Numbers
        The numbers in each piece that had any.
    words : dict of int to None
        Pieces with a value that is no number: with one of them, the key is no curve.
    value : bytes or None
        The beginning of the last value.
    fresh : set of int
        Pieces that have changed since this was last emptied.
    """

    __slots__ = ("counts", "fresh", "number", "numbers", "raw", "value", "words")

    def __init__(self, number: int, raw: bytes) -> None:
        self.number = number
        self.raw = raw
        self.counts: dict[int, int] = {}
        self.numbers: dict[int, Numbers] = {}
        self.words: dict[int, None] = {}
        self.value: bytes | None = None
        self.fresh: set[int] = set()

    @property
    def total(self) -> int:
        """Changes in the window."""
        return sum(self.counts.values())

    @property
    def is_curve(self) -> bool:
        """Whether all its values in the window are numbers, and there are two at least."""
        return not self.words and len(self.numbers) > 1

    def forget_before(self, piece: int) -> None:
        """Drop what is out of the window."""
        for pieces in (self.counts, self.numbers, self.words):
            while pieces and (oldest := next(iter(pieces))) < piece:
                del pieces[oldest]
        self.fresh = {each for each in self.fresh if each >= piece}


class AllSeries:
    """All keys' changes over a sliding window.

    Parameters
    ----------
    length : float
        Seconds of a piece of time.
    """

    def __init__(self, length: float) -> None:
        self.length = length
        self._made = 0
        self.all = KeySeries(0, b"")
        """All keys together."""
        self._by_key: dict[bytes, KeySeries] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[KeySeries]:
        return iter(self._by_key.values())

    def note(self, event: Event, came: float) -> None:
        """Count an event."""
        piece = int(came / self.length)
        every = self.all
        every.counts[piece] = every.counts.get(piece, 0) + 1
        every.fresh.add(piece)
        series = self._by_key.get(event.raw_key)
        if series is None:
            if len(self._by_key) >= MOST_KEYS:
                return
            self._made += 1
            series = self._by_key[event.raw_key] = KeySeries(self._made, event.raw_key)
        series.counts[piece] = series.counts.get(piece, 0) + 1
        series.fresh.add(piece)
        value = event.raw_value
        series.value = None if value is None else value[:200]
        if value is not None:
            number = as_number(value)
            if number is None:
                series.words[piece] = None
            else:
                known = series.numbers.get(piece)
                series.numbers[piece] = (
                    Numbers(number, number, number) if known is None else known.and_then(number)
                )

    def forget_before(self, time: float) -> None:
        """Drop what is out of the window, and keys that have nothing in it."""
        piece = math.floor(time / self.length)
        self.all.forget_before(piece)
        for key, series in list(self._by_key.items()):
            series.forget_before(piece)
            if not series.counts:
                del self._by_key[key]

    def busiest(self, count: int, before: Iterable[KeySeries]) -> list[KeySeries]:
        """Give the keys with the most changes, ordered by their names.

        Those shown `before` stay unless others have clearly more: rows that come and go cannot be
        read.
        """
        held = set(before)
        ranked = sorted(
            self._by_key.values(),
            key=lambda each: (-each.total * (1.5 if each in held else 1.0), each.number),
        )
        return sorted(ranked[:count], key=lambda each: each.raw)


def as_number(value: bytes) -> float | None:
    """Give a value's number; None where it is none, or none that can be drawn."""
    if not value or len(value) > LONGEST_NUMBER:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
