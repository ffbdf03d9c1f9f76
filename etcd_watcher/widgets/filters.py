"""Which records a view shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import translate

from etcd_watcher.event import Event, Gap, kind_of
from etcd_watcher.journal import Record
from etcd_watcher.keys import to_bytes

__all__ = ["KINDS", "Filter", "kind_of_record"]

KINDS = ("created", "modified", "deleted", "expired", "gap", "connection")
"""What can happen: four kinds of changes, lost revisions, and the connection's ups and downs."""


def kind_of_record(record: Record) -> str:
    """Name what a record is, one of `KINDS`."""
    if type(record) is Event:
        return kind_of(record)
    return "gap" if type(record) is Gap else "connection"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a record has to be to be shown. Each condition that is left empty holds for all.

    Attributes
    ----------
    kinds : tuple of str
        The kinds that are shown, of `KINDS`.
    key : str
        Keys that contain this; with a `*`, `?` or `[…]` in it, keys that match it as a whole.
    text : str
        Values that contain this; of a deletion, the value before it. As for `key`, small letters
        stand for capitals too, capitals only for themselves.
    within : str
        Keys that begin with this, to the letter.
    only : str
        This key.
    between : tuple of two floats, optional
        From when to when it came, in seconds since the epoch.
    until : int, optional
        The last revision that is shown.
    """

    kinds: tuple[str, ...] = KINDS
    key: str = ""
    text: str = ""
    within: str = ""
    only: str = ""
    between: tuple[float, float] | None = None
    until: int | None = None
    _matches_key: Callable[[bytes], object] = field(init=False, repr=False, compare=False)
    _matches_text: Callable[[bytes], object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_matches_key", _matcher(self.key, patterns=True))
        object.__setattr__(self, "_matches_text", _matcher(self.text, patterns=False))

    def shows(self, record: Record, came: float) -> bool:
        """Tell whether a record that came at this time is shown.

        Gaps and the connection's ups and downs concern all keys: only `kinds` and `between` can
        hide them, and `until` a gap.
        """
        if self.between is not None and not self.between[0] <= came <= self.between[1]:
            return False
        if kind_of_record(record) not in self.kinds:
            return False
        if self.until is not None and _revision_of(record) > self.until:
            return False
        return type(record) is not Event or self._shows_event(record)

    def _shows_event(self, event: Event) -> bool:
        if self.only and event.raw_key != to_bytes(self.only):
            return False
        if self.within and not event.raw_key.startswith(to_bytes(self.within)):
            return False
        if self.key and not self._matches_key(event.raw_key):
            return False
        if not self.text:
            return True
        value = event.raw_prev_value if event.raw_value is None else event.raw_value
        return value is not None and bool(self._matches_text(value))


def _revision_of(record: Record) -> int:
    """Give the revision of a record, the first of a gap; 0 for what has none."""
    if type(record) is Event:
        return record.revision
    return record.first if type(record) is Gap else 0


def _matcher(wanted: str, *, patterns: bool) -> Callable[[bytes], object]:
    any_case = wanted == wanted.lower()
    if patterns and any(sign in wanted for sign in "*?["):
        flags = re.DOTALL | (re.IGNORECASE if any_case else 0)
        # As text, so that a `?` is a character and not a byte of one.
        pattern = re.compile(translate(wanted), flags)
        return lambda raw: pattern.match(raw.decode("utf-8", "surrogateescape"))
    needle = to_bytes(wanted)
    if not any_case:
        return lambda raw: needle in raw
    if wanted.isascii():
        return lambda raw: needle in raw.lower()
    return lambda raw: wanted in raw.decode("utf-8", "surrogateescape").lower()
