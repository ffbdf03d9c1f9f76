"""Keys as bytes, and the half-open ranges of them that a watch covers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["KeyRange", "to_bytes", "to_text"]


def to_bytes(text: str | bytes) -> bytes:
    """Give the bytes of a key or value; text is UTF-8 with surrogateescape.

    Raises
    ------
    UnicodeEncodeError
        For a lone surrogate that no bytes decode to.
    """
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def to_text(raw: bytes) -> str:
    """Give a key or value as text; bytes that are not UTF-8 survive as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from `start` up to, but without, `end`.

    Attributes
    ----------
    start : bytes
        The first key of the range.
    end : bytes or None
        The first key beyond it; None for a range without an upper end.
    """

    start: bytes
    end: bytes | None

    @classmethod
    def of_key(cls, key: bytes) -> KeyRange:
        """Cover exactly one key: its successor is itself with a NUL behind it."""
        return cls(key, key + b"\0")

    @classmethod
    def of_prefix(cls, prefix: bytes) -> KeyRange:
        """Cover every key that starts with `prefix`; b"" covers all keys."""
        trimmed = prefix.rstrip(b"\xff")
        if not trimmed:
            return cls(prefix, None)
        return cls(prefix, trimmed[:-1] + bytes([trimmed[-1] + 1]))

    @classmethod
    def hull(cls, ranges: Iterable[KeyRange]) -> KeyRange:
        """Give the smallest range that covers all of `ranges` (at least one)."""
        ranges = list(ranges)
        ends = [each.end for each in ranges if each.end is not None]
        return cls(
            min(each.start for each in ranges), max(ends) if len(ends) == len(ranges) else None
        )

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, bytes):
            return False
        return self.start <= key and (self.end is None or key < self.end)

    def covers(self, other: KeyRange) -> bool:
        """Tell whether every key of `other` is in this range."""
        if other.start < self.start:
            return False
        return self.end is None or (other.end is not None and other.end <= self.end)
