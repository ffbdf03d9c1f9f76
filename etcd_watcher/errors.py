"""What can go wrong, each with a way out in its message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Self

from etcd_watcher.blame import short_traceback

__all__ = [
    "START_ONE",
    "ApiNotServed",
    "BadRecording",
    "Compacted",
    "Conflict",
    "ConnectionFailed",
    "Denied",
    "EtcdWatcherError",
    "ExpectationFailed",
    "HistoryLost",
    "HistoryReplaced",
    "NoBinary",
    "RequestRejected",
    "StoreClosed",
    "TimedOut",
    "WatcherClosed",
]


START_ONE = (
    "Start one, or let the package do it: `from etcd_watcher import LocalEtcd, Watcher; "
    "etcd = LocalEtcd(); watcher = Watcher(etcd.url)`"
)
"""What to do where nobody listens."""


class EtcdWatcherError(Exception):
    """The base of every error that this package raises of its own.

    Its message says what happened and what to do. So in a notebook and in pytest the traceback ends
    with the line that called us.
    """

    def _render_traceback_(self) -> list[str]:  # for IPython
        return short_traceback(self)


class ConnectionFailed(EtcdWatcherError, ConnectionError):
    """No endpoint answered in time, or the one that we were talking to went away.

    Attributes
    ----------
    reason : str
        The cause alone, as the network told it.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message

    @classmethod
    def to(cls, endpoints: Iterable[str], reason: str) -> Self:
        """Say which endpoints were tried, and how to get a server where nobody listens."""
        tried = ", ".join(endpoints)
        if not reason.endswith("refused"):
            return cls(f"no connection to {tried}: {reason}", reason)
        return cls(f"no etcd server answered at {tried} ({reason}). {START_ONE}", reason)

    @classmethod
    def unanswered(cls, endpoint: str, reason: str, key: str) -> Self:
        """Say of a write that nobody knows whether it was made."""
        return cls(
            f"{endpoint} did not answer ({reason}) when {key!r} was to be written: it may have "
            "done so, or not",
            reason,
        )

    @classmethod
    def to_each(cls, reasons: Mapping[str, str]) -> Self:
        """Say of each endpoint why there is no connection."""
        if len(reasons) == 1:
            return cls.to(reasons, *reasons.values())
        return cls.to(reasons, "; ".join(f"{tried}: {why}" for tried, why in reasons.items()))


class ApiNotServed(EtcdWatcherError):
    """The server answers, but not on the API that was asked for."""


class RequestRejected(EtcdWatcherError):
    """The server answered and refused: no permission, a bad argument, a value too large."""


class Denied(RequestRejected):
    """Our user has no permission for what was asked for."""


class NoBinary(EtcdWatcherError, FileNotFoundError):
    """No etcd program was found on this machine."""


class WatcherClosed(EtcdWatcherError, RuntimeError):
    """The watcher was closed; make a new one."""

    def __init__(self, message: str = "this watcher is closed: make a new Watcher(...)") -> None:
        super().__init__(message)


class StoreClosed(WatcherClosed):
    """A store or a watch was closed while it was being used: the watcher is closing."""


class HistoryLost(EtcdWatcherError):
    """What was to come next cannot be had any more: only what each key is worth by now.

    Attributes
    ----------
    reason : str
        What happened alone, without what to do.
    living : mapping of bytes to int
        Keys that the store knows to have been there, with the revision that each was created at.
    """

    living: Mapping[bytes, int] = MappingProxyType({})

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason + advice)
        self.reason = reason


class Compacted(HistoryLost):
    """The store no longer has the revisions that a watch was to begin with.

    Attributes
    ----------
    revision : int
        The oldest revision of which the store still knows the state: on v2, its present one.
    whole_from : int
        The oldest revision from which on it still has all changes: mostly the same. etcd before
        3.4.36 and 3.5.18 may have dropped deletions that were made in `revision` itself; v2 has the
        last 1,000 changes.
    """

    def __init__(self, revision: int, whole_from: int | None = None) -> None:
        self.revision = revision
        self.whole_from = revision if whole_from is None else whole_from
        first = min(revision, self.whole_from)
        before = f"before revision {first}" if first else "there"  # it did not say which
        partly = ", and maybe deletions made in it" if self.whole_from > revision else ""
        begin = f"with since={self.whole_from}" if first else "later"
        super().__init__(
            f"the server has dropped its history {before}{partly}",
            f": begin {begin}, or watch from now on",
        )

    def __reduce__(self) -> tuple[type[Compacted], tuple[int, int]]:
        return type(self), (self.revision, self.whole_from)


class Conflict(EtcdWatcherError):
    """A key is not at the revision any more that a write was meant for; nothing was written.

    Attributes
    ----------
    key : str
        The key.
    expected : int
        The revision that it was to be at; 0 for a key that was not to be there.
    revision : int
        The revision that it is at; 0 where it is not there.
    """

    def __init__(self, key: str, expected: int, revision: int) -> None:
        found = f"it is at revision {revision}" if revision else "it is not there"
        wanted = f"at revision {expected}" if expected else "not there"
        super().__init__(
            f"{key!r} was to be {wanted}, and {found}: somebody else wrote it meanwhile. Read it "
            "again, then decide"
        )
        self.key, self.expected, self.revision = key, expected, revision

    def __reduce__(self) -> tuple[type[Conflict], tuple[str, int, int]]:
        return type(self), (self.key, self.expected, self.revision)


class ExpectationFailed(EtcdWatcherError, AssertionError):
    """What was expected did not come; the message shows it beside what came."""


class TimedOut(EtcdWatcherError, TimeoutError):
    """What was waited for did not come in time; the message says what did."""


class HistoryReplaced(HistoryLost):
    """The server has begun anew: its data is not the one that was watched.

    Attributes
    ----------
    revision, seen : int
        The newest revision that it has, and the newest that was seen before.
    """

    def __init__(self, revision: int, seen: int) -> None:
        super().__init__(
            f"the server is at revision {revision}, and {seen} was seen before: its data was "
            "replaced."
        )
        self.revision, self.seen = revision, seen

    def __reduce__(self) -> tuple[type[HistoryReplaced], tuple[int, int]]:
        return type(self), (self.revision, self.seen)


class BadRecording(EtcdWatcherError, ValueError):
    """A file is no recording, or something in it is wrong.

    Attributes
    ----------
    line : int
        The number of the line that is wrong, from 1.
    """

    def __init__(self, name: str, line: int, wrong: str) -> None:
        super().__init__(f"{name}, line {line}: {wrong}")
        self.name, self.line, self.wrong = name, line, wrong

    def __reduce__(self) -> tuple[type[BadRecording], tuple[str, int, str]]:
        return type(self), (self.name, self.line, self.wrong)
