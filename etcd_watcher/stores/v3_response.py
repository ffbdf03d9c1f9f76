"""A response of a watch that stays bytes until somebody wants its changes, and then a few of them.

etcd tells a watcher that is behind up to 1,000 transactions in one response: 13.5 MB, where each has
a hundred puts of 100 bytes. Made into messages all at once they take three times that, beside those
bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from etcd_watcher.stores import wire
from etcd_watcher.stores.v3_rows import REVISION, Row, told_rows

__all__ = ["CHANGE_BYTES", "Response", "Unread", "Whole"]

PART_BYTES = 64 * 1024
"""Bytes of which messages are made at a time: some 500 changes with values of 100 bytes."""

CHANGE = 0x5A
"""The byte before each change: field 11, with a length. etcd writes them behind all other fields."""

VARINT, WITH_LENGTH = 0, 2
"""The kinds of fields that the head of a response has."""

MORE = 0x80
"""Of a byte of a number: more of it follow."""

CHANGE_BYTES = 250
"""Bytes that a change takes in memory beside those it had on the wire, once it is a message."""


class Unread:
    """The changes of one response, as bytes. See `v3_segments.Changes`.

    Attributes
    ----------
    last_revision : int
        The revision of the last one; 0 where there is none.
    """

    def __init__(self, message: bytes, begin: int) -> None:
        self._message = message
        self._parts: list[tuple[int, int, int]] = []
        """Where each part of it begins and ends, and how many changes it has."""
        self.count = self.last_revision = 0
        self.size = len(message)
        if begin < self.size:
            self._divide(message, begin)

    def _divide(self, message: bytes, position: int) -> None:
        end, last = len(message), position
        while position < end:
            count, begin = 0, position
            stop = min(end, position + PART_BYTES)
            while position < stop:
                last = position
                count += 1
                length = message[position + 1]
                if length < MORE:
                    position += 2 + length
                elif (high := message[position + 2]) < MORE:
                    position += 3 + length - MORE + (high << 7)
                else:
                    position = _behind(message, position)
            self._parts.append((begin, position, count))
            self.count += count
        *_, last_row = told_rows(message[last:], 1)
        self.last_revision = last_row[REVISION]

    @property
    def revisions(self) -> int:
        return len({each[REVISION] for part in self for each in part})

    def __iter__(self) -> Iterator[Iterable[Row]]:
        for begin, end, count in self._parts:
            yield told_rows(self._message[begin:end], count)


class Whole:
    """Changes that are rows already. See `v3_segments.Changes`."""

    def __init__(self, changes: Sequence[Row], size: int) -> None:
        self._changes = changes
        self.count = len(changes)
        self.size = size + CHANGE_BYTES * len(changes)

    @property
    def revisions(self) -> int:
        return len({each[REVISION] for each in self._changes})

    def __iter__(self) -> Iterator[Iterable[Row]]:
        yield self._changes


class Response:
    """One response of a watch.

    Attributes
    ----------
    head : wire.WatchResponse
        All of it but the changes.
    changes : Unread
        The changes.
    """

    __slots__ = ("changes", "head")

    def __init__(self, message: bytes) -> None:
        begin = 0
        while begin < len(message) and message[begin] != CHANGE:
            begin = _behind(message, begin)
        self.head: Any = wire.WatchResponse.FromString(message[:begin])
        self.changes = Unread(message, begin)


def _behind(message: bytes, position: int) -> int:
    """Give where the field ends that begins there."""
    kind = message[position] & 7
    number, position = _varint(message, position + 1)
    if kind == VARINT:
        return position
    if kind == WITH_LENGTH:
        return position + number
    raise ValueError(f"a response of etcd with a field of kind {kind}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Give the number that begins there, and where it ends."""
    number = shift = 0
    while (byte := message[position]) >= MORE:
        number |= (byte - MORE) << shift
        shift += 7
        position += 1
    return number | byte << shift, position + 1
