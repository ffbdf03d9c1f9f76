"""Which keys exist, and which have gone while somebody was not looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from etcd_watcher.keys import KeyRange

__all__ = ["Lives"]

MOST_GRAVES = 100_000
"""Ended lives that are kept for those who lag: a bound on memory. From there on one of a key's lives
goes for the next one of it, and a deletion may be told that was told already; and of keys that were
deleted while somebody lagged no more than this many are known."""


class Lives:
    """The lives of watched keys: what a resync compares with the keys that the server still has.

    The server tells what exists, and forgets with a compaction what existed. So whoever has missed
    something can learn of a deletion from nobody but us. Not locked: whoever shares it brings the
    lock.
    """

    def __init__(self) -> None:
        self._born: dict[bytes, int] = {}
        """The keys that exist, with the revision since which they do, without a break that
        somebody could have been told of."""
        self._graves: dict[bytes, list[tuple[int, int]]] = {}
        """Lives that have ended, (first revision, revision of the deletion), as long as somebody
        lags who may not have heard of the end."""
        self._count = 0
        self._unknown: dict[bytes, int] | None = None
        """While a census is under way: the keys that it may count although they have just been
        deleted, with the revision of the deletion."""

    def put(self, key: bytes, created: int) -> None:
        """Note that a key was written, in a life that began at `created`."""
        self._born.setdefault(key, created)

    def delete(self, key: bytes, revision: int, lagging_since: int) -> None:
        """Note that a key was deleted.

        Parameters
        ----------
        lagging_since : int
            The newest of the revisions from which on somebody has still to be told; 0 where nobody
            lags. A life that began behind it counts too: the journal may still tell them of its
            beginning, and be gone before they come to its end.
        """
        born = self._born.pop(key, None)
        if born is None:
            if self._unknown is not None:
                self._unknown[key] = revision
        elif lagging_since:
            self._bury(key, born, revision)

    def _bury(self, key: bytes, born: int, died: int) -> None:
        if self._count < MOST_GRAVES:
            self._graves.setdefault(key, []).append((born, died))
            self._count += 1
        elif key in self._graves:
            lives = self._graves[key]
            lives[-1] = (lives[-1][0], died)

    def begin_census(self) -> None:
        """Begin to note what `count` has to know."""
        self._unknown = {}

    def count(self, key: bytes, created: int) -> None:
        """Note that a census found a key, after it had begun."""
        if self._unknown is None or self._unknown.get(key, 0) < created:
            self._born.setdefault(key, created)

    def end_census(self) -> None:
        """End what `begin_census` began."""
        self._unknown = None

    def forget(self, key: bytes) -> None:
        """Forget a key that is not watched any more."""
        self._born.pop(key, None)

    def within(self, scope: KeyRange) -> list[bytes]:
        """Give the keys of a range that exist."""
        if scope == KeyRange.of_key(scope.start):
            return [scope.start] if scope.start in self._born else []
        return [key for key in self._born if key in scope]

    def born(self, key: bytes) -> int:
        """Give the revision since which a key exists; 0 where it does not."""
        return self._born.get(key, 0)

    def forget_graves(self) -> None:
        """Forget the lives that have ended: nobody lags any more."""
        self._graves.clear()
        self._count = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._born)

    def __len__(self) -> int:
        return len(self._born)

    def gone(self, first: int, last: int, wanted: Callable[[bytes], bool]) -> list[bytes]:
        """Give the wanted keys that were there before `first` and deleted from then to `last`."""
        return [
            key
            for key, lives in self._graves.items()
            if wanted(key) and any(born < first <= died <= last for born, died in lives)
        ]
