"""Which revisions of a history are here, which come next, and which are still to be asked for.

A piece is what one watcher told in one response: *every* change of the range from the revision
at which the watcher was created to the last one in the response. That alone decides what is
complete: pieces may overlap, come in any order and leave holes, and still each revision is given
once. Where a piece was *expected* to end plays no part in it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from etcd_watcher.stores.v3_rows import REVISION, Row

__all__ = ["Changes", "Piece", "Plan", "last_revision"]


class Changes(Protocol):
    """Changes in revision order. Iterating gives the rows of some at a time.

    Attributes
    ----------
    count : int
        How many they are.
    size : int
        About how many bytes they hold.
    revisions : int
        How many revisions they have.
    """

    count: int
    size: int

    @property
    def revisions(self) -> int: ...

    def __iter__(self) -> Iterator[Iterable[Row]]: ...


@dataclass(slots=True, eq=False)
class Piece:
    """Every change of the range in the revisions `start` to `end`, both included.

    Attributes
    ----------
    start, end : int
        Revisions. `end` is that of the last change in it.
    changes : Changes
        The changes.
    count : int
        How many they are.
    cost : int
        About how many bytes they hold.
    """

    start: int
    end: int
    changes: Changes
    count: int = field(init=False)
    cost: int = field(init=False)

    def __post_init__(self) -> None:
        self.count, self.cost = self.changes.count, self.changes.size

    @property
    def span(self) -> int:
        """How many revisions it covers, those of other keys included."""
        return self.end - self.start + 1


@dataclass(slots=True)
class Plan:
    """The way from revision `reached` + 1 to `last`, piece by piece.

    Attributes
    ----------
    reached : int
        Everything up to this revision was taken.
    last : int
        Where the way ends.
    cost : int
        Bytes held by the pieces that wait to be taken.
    """

    reached: int
    last: int
    cost: int = 0
    _pieces: list[Piece] = field(default_factory=list)
    """Those that wait, by where they start."""

    def add(self, piece: Piece) -> None:
        """Keep a piece, unless what it tells is here already."""
        if piece.end > self._covered_from(piece.start):
            insort(self._pieces, piece, key=attrgetter("start"))
            self.cost += piece.cost

    def take(self) -> tuple[Piece, int] | None:
        """Give the piece that comes next, and the revision behind which it is news.

        None where that piece is not here yet.
        """
        while self._pieces and self._pieces[0].start <= self.reached + 1:
            piece = self._pieces.pop(0)
            self.cost -= piece.cost
            if piece.end > self.reached:
                after, self.reached = self.reached, piece.end
                return piece, after
        return None

    def missing(self, span: int, limit: int) -> list[int]:
        """Give the revisions at which to begin reading what is missing, the lowest first.

        One for every `span` revisions, and no more than `limit`.
        """
        starts: list[int] = []
        for first, last in self._holes():
            for start in range(first, last + 1, span):
                if len(starts) == limit:
                    return starts
                starts.append(start)
        return starts

    def shed(self, bound: int) -> int:
        """Drop the farthest pieces until no more than `bound` bytes wait; give how many went.

        The nearest one stays, whatever its size: it is what everybody waits for.
        """
        dropped = 0
        while self.cost > bound and len(self._pieces) > 1:
            self.cost -= self._pieces.pop().cost
            dropped += 1
        return dropped

    def clear(self) -> None:
        """Forget what waits; it has to be asked for again."""
        self._pieces.clear()
        self.cost = 0

    @property
    def is_next_here(self) -> bool:
        """Whether `take` has something to give."""
        return self._covered_from(self.reached + 1) > self.reached

    @property
    def whole(self) -> bool:
        """Whether nothing is missing between what was taken and the farthest piece."""
        return self._covered_from(self.reached + 1) == self.farthest

    @property
    def farthest(self) -> int:
        """The last revision of which a change is here or was taken."""
        return max((each.end for each in self._pieces), default=self.reached)

    def __len__(self) -> int:
        return len(self._pieces)

    def _covered_from(self, start: int) -> int:
        """Give the revision up to which everything from `start` on is here; `start` - 1 for none."""
        end = max(start - 1, self.reached)
        for piece in self._pieces:
            if piece.start > end + 1:
                break
            end = max(end, piece.end)
        return end

    def _holes(self) -> Iterator[tuple[int, int]]:
        position = self.reached + 1
        for piece in self._pieces:
            if piece.start > position:
                yield position, min(piece.start - 1, self.last)
            position = max(position, piece.end + 1)
        if position <= self.last:
            yield position, self.last


def last_revision(changes: list[Row]) -> list[Row]:
    """Give the changes at the end that are of one revision."""
    last = changes[-1][REVISION]
    first = next(index for index, each in enumerate(changes) if each[REVISION] == last)
    return changes[first:]
