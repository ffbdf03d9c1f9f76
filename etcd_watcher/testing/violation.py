"""What a validator finds: a value with one clear line."""

from __future__ import annotations

from dataclasses import dataclass

from etcd_watcher.event import Event
from etcd_watcher.keys import to_text
from etcd_watcher.table import one_line

__all__ = ["Violation", "different", "quoted", "told"]

WIDTH = 60
"""Characters of a key or value that a message shows."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a stream breaks a property.

    Its text (`str`) is one line; whatever keys and values hold is escaped in it and cut.

    Attributes
    ----------
    name : str
        The property: one of the keys of `PROPERTIES`, or "acknowledged".
    expected, came : str
        What the ground truth asks for, and what the stream has instead.
    revision : int
        The revision that it is about; for a gap its first.
    raw_key : bytes or None
        The key that it is about; None where it is about no single one.
    position : int or None
        Where in the stream: its records counted from 0, the events of a `Batch` one by one. None
        for what is missing.
    """

    name: str
    expected: str
    came: str
    revision: int
    raw_key: bytes | None = None
    position: int | None = None

    @property
    def message(self) -> str:
        """The property, the revision, the key, the record, what was expected and what came."""
        where = f"revision {self.revision}"
        if self.raw_key is not None:
            where += f", key {quoted(self.raw_key)}"
        if self.position is not None:
            where += f", record {self.position}"
        return f"{self.name}: {where}: expected {self.expected}; came {self.came}"

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"Violation({self.message})"


def quoted(raw: bytes) -> str:
    """Give a key or value for a message: escaped, in quotes, cut with its length where long."""
    # A character is at most four bytes, so these show whether it is too long; a value
    # of a megabyte is not decoded for the sake of its first 60.
    shown = f"'{one_line(to_text(raw[: 4 * WIDTH + 4]), WIDTH)}'"
    return shown if not shown.endswith("…'") else f"{shown} ({len(raw):,} bytes)"


def told(event: Event) -> str:
    """Give what an event says of its key, for a message."""
    kind = "synthetic " if event.synthetic else ""
    value = "" if event.raw_value is None else f" {quoted(event.raw_value)}"
    return f"{kind}{event.type}{value}"


def different(expected: bytes | None, came: bytes | None) -> str:
    """Say where two long values differ, if their beginnings look the same; else nothing."""
    if expected is None or came is None or quoted(expected) != quoted(came):
        return ""
    pairs = zip(expected, came, strict=False)
    length = min(len(expected), len(came))
    first = next((place for place, (one, other) in enumerate(pairs) if one != other), length)
    return f", different from byte {first:,} on"
