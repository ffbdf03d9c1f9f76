"""Which keys our user may read, as etcd's users and roles say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import Denied, RequestRejected
from etcd_watcher.keys import KeyRange, to_text
from etcd_watcher.stores import wire
from etcd_watcher.stores.certificate import known_as

__all__ = ["Rights", "check", "named", "overlaps", "readable"]

WRITE = 1
"""The one kind of permission that is not to read; 0 is READ and 2 both."""

DOING = {"range": "read", "put": "write", "delete": "delete", "txn": "read and write"}
"""What one does to a key with each call that names one."""


class Rights:
    """Who our user is, and what they may read as far as we were told. For any thread.

    Parameters
    ----------
    credentials : Credentials
        With a user; or with a certificate, whose common name is one where the server looks at it.

    Attributes
    ----------
    allowed : list of KeyRange or None
        None for everything, or where nobody knows.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._by_certificate = credentials.user is None
        self.user = known_as(credentials)
        self.allowed: list[KeyRange] | None = None

    def learn(self, call: Callable[[str, Any], Any]) -> None:
        """Ask what our user may read.

        Raises
        ------
        RequestRejected, ConnectionFailed
        """
        if self.user is None:  # the server's answer to the watch will tell
            return
        try:
            self.allowed = readable(call, self.user)
        except RequestRejected:  # no user, maybe: most servers that want a certificate have none
            if not self._by_certificate:
                raise
            self.allowed = None

    def check(self, scopes: Iterable[KeyRange], *, whole: bool = True) -> None:
        """Refuse a range that is not all allowed, or not even a part: see the function `check`."""
        if self.allowed is not None and self.user is not None:
            check(scopes, self.allowed, self.user, whole=whole)

    def parts(self, scope: KeyRange) -> list[KeyRange]:
        """Give the parts of a range that our user may read; all of it where that is not known."""
        allowed = self.allowed
        return (allowed and overlaps(scope, allowed)) or [scope]

    def explain(self, denied: Denied, endpoint: str, name: str, request: Any) -> Denied:
        """Say who may not do what to which key, where a request was denied."""
        if name not in DOING:
            return denied
        about = request.compare[0] if name == "txn" else request
        scope = _range(about)
        who = "whoever gives no user" if self.user is None else f"user {self.user!r}"
        return Denied(f"{endpoint}: permission denied: {who} may not {DOING[name]} {named(scope)}")


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


def _range(named: Any) -> KeyRange:
    """Give the range that a permission or a request names; a put names one key."""
    start, end = b"" if named.key == b"\0" else named.key, getattr(named, "range_end", b"")
    if not end:
        return KeyRange.of_key(start)
    return KeyRange(start, None if end == b"\0" else end)


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


def check(
    scopes: Iterable[KeyRange], allowed: Sequence[KeyRange], user: str, *, whole: bool = True
) -> None:
    """Refuse a range that is not all allowed; without `whole`, one of which nothing is.

    Raises
    ------
    RequestRejected
        It names the range, and what is allowed.
    """
    for scope in scopes:
        within = any(each.covers(scope) for each in allowed) if whole else overlaps(scope, allowed)
        if not within:
            may = ", ".join(map(named, allowed)) or "nothing"
            raise RequestRejected(
                f"permission denied: user {user!r} may not read {named(scope)}. It may read {may}"
            )


def named(scope: KeyRange) -> str:
    """Name a range as a person would."""
    if scope == KeyRange.of_key(scope.start):
        return repr(to_text(scope.start))
    if scope == KeyRange.of_prefix(scope.start):
        return f"what starts with {to_text(scope.start)!r}"
    if scope.end is None:
        return f"what comes from {to_text(scope.start)!r} on"
    return f"what comes from {to_text(scope.start)!r} to {to_text(scope.end)!r}"
