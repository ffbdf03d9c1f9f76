"""Which keys our user may read, as etcd's users and roles say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etcd_watcher.errors import RequestRejected
from etcd_watcher.keys import KeyRange, to_text
from etcd_watcher.stores import wire

__all__ = ["check", "overlaps", "readable"]

WRITE = 1
"""The one kind of permission that is not to read; 0 is READ and 2 both."""


def readable(call: Callable[[str, Any], Any], user: str) -> list[KeyRange] | None:
    """Ask what a user may read: ranges that do not touch, in order; None for everything.

    Raises
    ------
    RequestRejected
        The server does not let us know.
    ConnectionFailed
    """
    roles = call("user", wire.UserGetRequest(name=user)).roles
    if "root" in roles:
        return None
    ranges: list[KeyRange] = []
    for role in roles:
        granted = call("role", wire.RoleGetRequest(role=role)).perm
        ranges += [_range(each) for each in granted if each.permType != WRITE]
    return _merged(ranges)


def _range(permission: Any) -> KeyRange:
    start = b"" if permission.key == b"\0" else permission.key
    if not permission.range_end:
        return KeyRange.of_key(start)
    return KeyRange(start, None if permission.range_end == b"\0" else permission.range_end)


def _merged(ranges: Iterable[KeyRange]) -> list[KeyRange]:
    """Put together what overlaps or touches."""
    merged: list[KeyRange] = []
    for each in sorted(ranges, key=lambda each: each.start):
        last = merged[-1] if merged else None
        if last is not None and (last.end is None or each.start <= last.end):
            merged[-1] = KeyRange.hull([last, each])
        else:
            merged.append(each)
    return merged


def overlaps(scope: KeyRange, allowed: Sequence[KeyRange]) -> list[KeyRange]:
    """Give the parts of a range that are allowed."""
    parts = []
    for each in allowed:
        start = max(scope.start, each.start)
        ends = [end for end in (scope.end, each.end) if end is not None]
        end = min(ends) if ends else None
        if end is None or start < end:
            parts.append(KeyRange(start, end))
    return parts


def check(scopes: Iterable[KeyRange], allowed: Sequence[KeyRange], user: str) -> None:
    """Refuse a range that is not all allowed.

    Raises
    ------
    RequestRejected
        It names the range, and what is allowed.
    """
    for scope in scopes:
        if not any(each.covers(scope) for each in allowed):
            may = ", ".join(map(_named, allowed)) or "nothing"
            raise RequestRejected(
                f"permission denied: user {user!r} may not read {_named(scope)}. It may read {may}"
            )


def _named(scope: KeyRange) -> str:
    """Name a range as a person would."""
    if scope == KeyRange.of_key(scope.start):
        return repr(to_text(scope.start))
    if scope == KeyRange.of_prefix(scope.start):
        return f"what starts with {to_text(scope.start)!r}"
    if scope.end is None:
        return f"what comes from {to_text(scope.start)!r} on"
    return f"what comes from {to_text(scope.start)!r} to {to_text(scope.end)!r}"
