"""The words for what ought to happen: `put`, `deleted`, `expired`, `changed`, `any_order`.

>>> from etcd_watcher.expect import any_order, deleted, expired, put
>>> watcher.expect(put("job", "started"), any_order(put("a"), put("b")), deleted("job"))
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from etcd_watcher.arguments import Key, check_key, check_predicate, name_of
from etcd_watcher.event import Event, EventType
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.table import one_line

__all__ = [
    "AnyOrder",
    "Change",
    "Objection",
    "any_order",
    "changed",
    "deleted",
    "described",
    "expired",
    "put",
]


class _Anything(Enum):
    ANYTHING = "anything"


ANYTHING: Final = _Anything.ANYTHING
"""Stands for any value."""

Value = str | bytes | Callable[[str], object] | _Anything
"""A value that is expected: itself, or something that is true of it, called with it as text."""

NARROW = 40
"""Characters of a key or a value that are shown where much stands beside it."""

WIDTH = 100
"""Characters that are shown of a line that differs."""

LINES = 30
"""Lines of a difference that are shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change that is expected. Made by `put`, `deleted`, `expired` and `changed`."""

    word: str
    key: Key
    prefix: bool = False
    value: Value = ANYTHING
    where: Callable[[Event], object] | None = None

    def objection(self, event: Event) -> Objection | None:
        """Say why an event of our key is not this change; None where it is."""
        happened = described(event).split(" ", 1)[0]
        if self.word not in (happened, "changed"):
            return Objection(0, f"it was to be {self.word}, and was {happened}")
        if callable(self.value):
            failure = _failure(self.value, event.value)
            if failure is not None:
                return Objection(1, f"its value {failure}")
        elif self.value is not ANYTHING and event.raw_value != to_bytes(self.value):
            lines = _difference(to_text(to_bytes(self.value)), event.value or "")
            return Objection(1, "its value differs:", lines)
        if self.where is not None:
            failure = _failure(self.where, event)
            if failure is not None:
                return Objection(2, f"it {failure}")
        return None

    def __str__(self) -> str:
        text = f"{self.word} {_quoted(name_of(self.key) + ('…' if self.prefix else ''))}"
        if callable(self.value):
            text += f" = {_name(self.value)}"
        elif self.value is not ANYTHING:
            text += f" = {_quoted(to_text(to_bytes(self.value)))}"
        return text if self.where is None else f"{text} where {_name(self.where)}"


@dataclass(frozen=True, slots=True)
class AnyOrder:
    """Several changes that may come in any order. Made by `any_order`."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an event is not the change that was expected.

    Attributes
    ----------
    nearness : int
        How much of it was right: 0 for another kind of change, 1 for another value, 2 where only
        the condition does not hold.
    reason : str
    difference : sequence of str
        The lines of a difference, as `difflib.ndiff` gives them.
    """

    nearness: int
    reason: str
    difference: Sequence[str] = ()


def put(
    key: Key,
    value: Value = ANYTHING,
    *,
    prefix: bool = False,
    where: Callable[[Event], object] | None = None,
) -> Change:
    """Expect that a key is written.

    Parameters
    ----------
    key : str or bytes
    value : str, bytes or callable
        What is written, or something that is true when it is called with it (as text). By
        default anything.
    prefix : bool
        Any key that starts with `key` will do.
    where : callable, optional
        Something that is true of the `Event`.

    Examples
    --------
    >>> watcher.expect(put("load", lambda value: float(value) < 1, where=lambda e: e.version == 1))
    """
    if not (value is ANYTHING or isinstance(value, str | bytes) or callable(value)):
        raise TypeError(
            f"a value is text or bytes, or a condition to call with it, not "
            f"{type(value).__name__}: write {str(value)!r}"
        )
    return _change("put", key, prefix=prefix, value=value, where=where)


def deleted(
    key: Key, *, prefix: bool = False, where: Callable[[Event], object] | None = None
) -> Change:
    """Expect that a key is deleted by somebody. For one that goes by itself there is `expired`."""
    return _change("deleted", key, prefix=prefix, where=where)


def expired(
    key: Key, *, prefix: bool = False, where: Callable[[Event], object] | None = None
) -> Change:
    """Expect that a key goes because its lease or TTL runs out."""
    return _change("expired", key, prefix=prefix, where=where)


def changed(
    key: Key, *, prefix: bool = False, where: Callable[[Event], object] | None = None
) -> Change:
    """Expect that anything happens to a key."""
    return _change("changed", key, prefix=prefix, where=where)


def any_order(*changes: Change) -> AnyOrder:
    """Expect several changes, each once, in whatever order."""
    for each in changes:
        if not isinstance(each, Change):
            raise TypeError(
                f"any_order takes changes, such as put('key'), deleted('key'), not {each!r}"
            )
    if not changes:
        raise ValueError("any_order of nothing: name changes, such as put('key')")
    return AnyOrder(changes)


def _change(
    word: str,
    key: Key,
    *,
    prefix: bool,
    value: Value = ANYTHING,
    where: Callable[[Event], object] | None,
) -> Change:
    check_key(key, prefix=prefix)
    check_predicate(where)
    return Change(word, key, prefix, value, where)


def described(event: Event) -> str:
    """Tell an event in the words in which it is expected."""
    key = _quoted(event.key)
    if event.type is EventType.PUT:
        return f"put {key} = {_quoted(event.value or '')}"
    return f"{'expired' if event.expired else 'deleted'} {key}"


def _quoted(text: str) -> str:
    return f"'{one_line(text, NARROW)}'"


def _name(condition: Callable[..., object]) -> str:
    return getattr(condition, "__name__", None) or type(condition).__name__


def _failure(condition: Callable[..., object], argument: object) -> str | None:
    """Say how a condition fails; None where it holds."""
    try:
        holds = bool(condition(argument))
    except Exception as error:  # noqa: BLE001 - it may meet values that it was not made for
        return f"made {_name(condition)} raise {type(error).__name__}: {one_line(str(error))}"
    return None if holds else f"does not satisfy {_name(condition)}"


def _difference(wanted: str, came: str) -> list[str]:
    """Give the difference of two values, `-` for what was wanted and `+` for what came."""
    ours, theirs = wanted.split("\n"), came.split("\n")
    if len(ours) == len(theirs) == 1:
        cut, before = _window(wanted, came, WIDTH)
        ours, theirs = [f"'{before}{wanted[cut]}'"], [f"'{before}{came[cut]}'"]
    else:
        cut, before = _window(ours, theirs, LINES)
        ours, theirs = ours[cut], theirs[cut]
        if before:
            ours.insert(0, before)
            theirs.insert(0, before)
    lines = difflib.ndiff([_line(each) for each in ours], [_line(each) for each in theirs])
    return [each.rstrip() for each in lines]


def _window(one: Sequence[object], other: Sequence[object], width: int) -> tuple[slice, str]:
    """Give the part in which two begin to differ, and a sign where something is left out before.

    To compare all of two large values takes time cubed in their lines.
    """
    pairs = enumerate(zip(one, other, strict=False))
    common = next((number for number, (ours, theirs) in pairs if ours != theirs), 0)
    start = 0 if max(len(one), len(other)) <= width else max(0, common - width // 4)
    return slice(start, start + width), "…" if start else ""


def _line(text: str) -> str:
    return one_line(text, WIDTH * 2)
