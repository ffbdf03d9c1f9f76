"""What people hand to a watcher, checked at once and with a way out."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TypeGuard

from etcd_watcher.table import one_line

__all__ = [
    "Key",
    "Keys",
    "check_history_copy",
    "check_history_watchers",
    "check_key",
    "check_last_revision",
    "check_limit",
    "check_on",
    "check_predicate",
    "check_revision",
    "check_room",
    "check_since",
    "check_ttl",
    "check_type",
    "check_until",
    "check_value",
    "is_whole",
    "name_of",
    "seconds",
    "several",
    "some",
]

Key = str | bytes
Keys = Key | Iterable[Key]

BUFFERS = (bytearray, memoryview)
"""Bytes that may change: iterables, but not of keys."""


def several(key: Keys) -> list[Key]:
    """Give one key, or each of several, once.

    Raises
    ------
    TypeError
        One of them is no key.
    """
    if isinstance(key, (str, bytes)):
        return [key]
    if isinstance(key, BUFFERS) or not isinstance(key, Iterable):
        check_type(key)
    keys = list(key)
    for each in keys:
        check_type(each)
    return list(dict.fromkeys(keys))


def some(key: Keys) -> list[Key]:
    """Give one key, or each of several, and at least one: of none nobody would hear, without a word.

    Raises
    ------
    TypeError
        One of them is no key.
    ValueError
        There is none.
    """
    keys = several(key)
    if not keys:
        raise ValueError(
            'no key is given: name one, or several, or use prefix=True with "" for all'
        )
    return keys


def name_of(key: Key) -> str:
    """Give a key as the text under which it is known."""
    return key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")


def check_type(key: object) -> None:
    """Check that a key is text or bytes."""
    if isinstance(key, BUFFERS):
        raise TypeError(f"a key is text or bytes, not {type(key).__name__}: write bytes(key)")
    if not isinstance(key, (str, bytes)):
        raise TypeError(f"a key is text or bytes, not {type(key).__name__}: {one_line(repr(key))}")


def check_key(key: object, *, prefix: bool = False) -> None:
    """Check a key to read or write; a prefix may be empty."""
    check_type(key)
    if not key and not prefix:
        raise ValueError("a key is empty: name one")


def is_whole(number: object, least: int, most: float = inf) -> TypeGuard[int]:
    """Tell whether something is a whole number within bounds; True and False are none."""
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def check_limit(limit: object) -> None:
    """Check how many keys are wanted at the most."""
    if not is_whole(limit, 1):
        raise ValueError(f"limit={limit!r}: give a number of keys, 1 or more")


def check_on(key: Keys, where: object) -> list[Key]:
    """Give the keys of a decorator, which is easily written without its brackets."""
    if callable(key):
        raise TypeError('name a key: @watcher.on("key"), not @watcher.on')
    if where not in (None, "loop"):
        raise ValueError(f'where={where!r}: leave it out, or say "loop"')
    return some(key)


def check_predicate(predicate: object) -> None:
    """Check a condition on events; None is none."""
    if predicate is not None and not callable(predicate):
        raise TypeError(
            f"a predicate is called with each event, such as lambda event: event.value == "
            f"{predicate!r}"
        )


def seconds(name: str, value: object) -> float:
    """Check a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name}={value!r}: give a number of seconds above 0")
    return float(value)


def check_revision(revision: object) -> None:
    """Check a revision."""
    if not is_whole(revision, 1):
        raise ValueError(f"revision {revision!r}: give a whole number, 1 or more")


def check_since(since: object) -> None:
    """Check a revision to begin with; None is none."""
    if since is not None and not is_whole(since, 1):
        raise ValueError(f"since={since!r}: give a revision, 1 or more")


def check_until(since: object, until: object) -> None:
    """Check a revision to end with; None is none."""
    if until is None:
        return
    if not is_whole(until, 1):
        raise ValueError(f"until={until!r}: give a revision, 1 or more")
    if isinstance(since, int) and since > until:
        raise ValueError(f"since={since} comes after until={until}")


def check_history_watchers(watchers: object) -> None:
    """Check how many watchers may read the past at one time; None is the usual number."""
    if watchers is None:
        return
    if not is_whole(watchers, 1, 100):
        raise ValueError(f"history_watchers={watchers!r}: give a whole number, 1 to 100")


def check_history_copy(size: object) -> None:
    """Check how many bytes copies of databases may have; None is the usual bound."""
    if size is None:
        return
    if not is_whole(size, 0):
        raise ValueError(f"history_copy_bytes={size!r}: give a whole number; 0 is for never")


def check_room(name: str, room: object) -> None:
    """Check how many records, or bytes, are wanted."""
    if not is_whole(room, 1):
        raise ValueError(f"{name}={room!r}: give a whole number, 1 or more")


def check_last_revision(revision: object) -> None:
    """Check the last revision of a key; 0 for one that is not there."""
    if not is_whole(revision, 0):
        raise ValueError(
            f"revision={revision!r}: give the key's last revision, as read(key).revision, or 0 for "
            "a key that must not be there"
        )


def check_ttl(ttl: object) -> None:
    """Check a time to live; None is none."""
    if ttl is not None and not is_whole(ttl, 1):
        raise ValueError(f"ttl={ttl!r}: give whole seconds, 1 or more")


def check_value(value: object) -> None:
    """Check what is to be written."""
    if not isinstance(value, (str, bytes)):
        raise TypeError(
            f"a value is text or bytes, not {type(value).__name__}: write str(value), "
            "or json.dumps(value)"
        )
