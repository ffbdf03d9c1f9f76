"""A reader's place in a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcd_watcher.event import Record

if TYPE_CHECKING:
    from etcd_watcher.journal import Journal

__all__ = ["Cursor"]


class Cursor:
    """A place in a journal that one reader moves forward. Standing still, it costs nothing.

    Attributes
    ----------
    position : int
        Where it stands: how many records come before it.
    missed : int
        How many records the journal forgot before this cursor had read them.
    """

    def __init__(self, journal: Journal, position: int) -> None:
        self._journal = journal
        self.position = position
        self.missed = 0

    def read(self, limit: int | None = None) -> list[Record]:
        """Give what has come since, at most `limit` records, and move behind it."""
        records, position = self._journal.read(self.position, limit)
        self.missed += position - len(records) - self.position
        self.position = position
        return records

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for something to read, `timeout` seconds at most; False when nothing came."""
        return self._journal.wait(self.position, timeout)

    @property
    def behind(self) -> int:
        """How many records there are still to read or missed."""
        return self._journal.end - self.position
