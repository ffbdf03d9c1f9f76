"""What a server is asked about the past for a view of it: bounded, and on the asker's thread."""

from __future__ import annotations

from dataclasses import dataclass

from etcd_watcher.errors import Compacted
from etcd_watcher.moment import History, Moment
from etcd_watcher.watcher import Watcher

__all__ = ["MOST_KEYS", "SPAN", "Past", "find_moment", "look_back"]

SPAN = 2_000
"""Revisions of the server's history that are looked at at one time."""

MOST_KEYS = 50_000
"""Keys of one moment."""


@dataclass(frozen=True, slots=True)
class Past:
    """What happened to the keys of a prefix.

    Attributes
    ----------
    first, last : int
        The revisions that were looked at; `first` is 1 where nobody knows of anything earlier.
    """

    prefix: str
    first: int
    last: int
    events: History


def look_back(watcher: Watcher, prefix: str, *, before: int = 0, since: int = 0) -> Past:
    """Find what happened to some keys.

    Parameters
    ----------
    before : int
        Before this revision, as far back as is looked at one time; 0 for up to now.
    since : int
        All from this revision on, instead.
    """
    last = before - 1 if before else watcher.list_keys(prefix, limit=1).revision
    first = since or max(1, last - SPAN + 1)
    if first > last:
        return Past(prefix, first, last, History([], first, last))
    try:
        events = watcher.history(prefix, prefix=True, since=first, until=last)
    except Compacted:  # what is known, then: also what was written at the compaction itself
        first = since or 1
        events = watcher.history(prefix, prefix=True, until=last)
    return Past(prefix, first, last, events)


def find_moment(watcher: Watcher, prefix: str, revision: int) -> Moment:
    """Find the keys of a prefix as they were.

    Raises
    ------
    ValueError
        There are too many of them.
    """
    count = watcher.list_keys(prefix, limit=1).count
    if count is not None and count > MOST_KEYS:
        raise ValueError(
            f"{count:,} keys are too many for one moment (at most {MOST_KEYS:,}): "
            'choose some with RevisionSlider(watcher, prefix="…")'
        )
    return watcher.at(revision, prefix, prefix=True)
