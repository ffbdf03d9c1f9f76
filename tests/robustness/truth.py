"""What was committed, put together from what several recorders saw of it.

On v3 the truth proves itself complete: every revision from 2 on changes some key, so that a
recorder of all keys that has each revision has missed none. What one recorder misses, because its
member was away or the server was compacted, another has seen. Where two have seen the same
revision they must agree. And every write that was acknowledged must be there.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from etcd_watcher.testing import Change, History, Transaction, Write, acknowledged

__all__ = ["Moment", "Truth"]


@dataclass(frozen=True)
class Moment:
    """One revision as a recorder saw it.

    Attributes
    ----------
    changes : tuple of Change
        In the server's order.
    seen : float
        When it was seen first, by the monotonic clock.
    """

    changes: tuple[Change, ...]
    seen: float


class Truth:
    """All revisions of one API. For several threads.

    Parameters
    ----------
    first : int
        The first revision that matters; what was before is no change of ours.
    contiguous : bool
        Whether every revision must be there (v3).
    """

    def __init__(self, first: int, *, contiguous: bool) -> None:
        self._first = first
        self._contiguous = contiguous
        self._moments: dict[int, Moment] = {}
        self._reached = first - 1
        """Up to here nothing is missing."""
        self._changed = threading.Condition()
        self.disagreements: list[str] = []
        self.compactions: set[int] = set()
        self.doubtful: set[bytes] = set()
        """Keys of which nobody knows what became of them (v2 alone)."""

    def note(self, who: str, revision: int, changes: Iterable[Change]) -> None:
        """Take down what a recorder saw."""
        moment = Moment(tuple(changes), time.monotonic())
        with self._changed:
            known = self._moments.setdefault(revision, moment)
            if known.changes != moment.changes:
                self.disagreements.append(
                    f"revision {revision}: {who} saw {moment.changes}, another {known.changes}"
                )
            while self._reached + 1 in self._moments:
                self._reached += 1
            self._changed.notify_all()

    def covered(self, revision: int) -> None:
        """Note that nothing is missing up to a revision, where that cannot be counted (v2)."""
        with self._changed:
            self._reached = max(self._reached, revision)
            self._changed.notify_all()

    @property
    def reached(self) -> int:
        """The revision up to which nothing is missing."""
        return self._reached

    def wait(self, revision: int, timeout: float) -> bool:
        """Wait until all up to a revision is known."""
        with self._changed:
            return self._changed.wait_for(lambda: self._reached >= revision, timeout)

    def seen(self, revision: int) -> float:
        """Give when a revision was seen first."""
        return self._moments[revision].seen

    def has(self, revision: int) -> bool:
        """Tell whether a revision was seen at all."""
        return revision in self._moments

    def times(self) -> list[float]:
        """Give when revisions were seen, in their order."""
        with self._changed:
            return [self._moments[revision].seen for revision in sorted(self._moments)]

    def history(self, last: int, parts: Sequence[bytes] = ()) -> History:
        """Make the history to compare streams with.

        Parameters
        ----------
        parts : sequence of bytes
            Where the parts begin, in order, that somebody may read one by one. They are told those
            of a transaction one after the other: nobody tells them how it mixed them.
        """
        with self._changed:
            transactions = [
                Transaction(revision, _parted(moment.changes, parts))
                for revision, moment in sorted(self._moments.items())
                if revision <= last
            ]
        compactions: Iterable[int] = self.compactions
        if not self._contiguous:
            # v2 says nothing of where its history begins, so an end is as good as another.
            compactions = range(self._first, last + 2)
        return History(transactions, last=last, compactions=compactions, versions=self._contiguous)

    def faults(self, last: int, writes: Iterable[Write]) -> list[str]:
        """Say what is wrong with the truth itself: then it can judge nobody."""
        found = list(self.disagreements)
        if self._reached < last:
            found.append(f"revision {self._reached + 1} is missing, of {last}")
        if not found:
            found += map(str, acknowledged(self.history(last), writes))
        return found


def _parted(changes: tuple[Change, ...], parts: Sequence[bytes]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda each: bisect_right(parts, each.raw_key)))
