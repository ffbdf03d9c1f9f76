"""A recording that was read: everything that it tells, to look at or to play."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from etcd_watcher.arguments import name_of
from etcd_watcher.event import Event, Record
from etcd_watcher.journal import Journal, flat_range
from etcd_watcher.recording.draft import drafted
from etcd_watcher.recording.format import Header, RecordedKey, header_line, record_line
from etcd_watcher.recording.load import load
from etcd_watcher.stores.v2_keys import tree_range
from etcd_watcher.table import plural

__all__ = ["Recording", "save"]


class Recording:
    """A recording: what `Watcher.record` or `Journal.save` wrote, read and checked.

    Give it to a `Watcher`, which then tells its subscribers what is in it, without a server.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    name : str
        The file's name, without its folder.
    api : str
        Which of etcd's APIs it was recorded on, "v2" or "v3".
    records : sequence of Event, Gap or Status
    times : sequence of float
        Beside each record, when it came, in seconds since the epoch.
    cut_off : bool
        Whether the file ends in the middle of a line, as when the recording program was killed.
        That line is not among the records.

    Raises
    ------
    BadRecording
        It is no recording, or a line of it is wrong; the message names the line.
    OSError
        It cannot be read.

    Examples
    --------
    >>> watcher = Watcher(Recording("lesson.jsonl"), speed=10)
    >>> watcher.register("nokia", Subscriber("Luis"), "do_things")
    >>> watcher.sync()
    Luis: nokia = hello
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        content = load(path)
        self.name = Path(path).name
        self.api = content.api
        self.records: Sequence[Record] = content.records
        self.times: Sequence[float] = content.times
        self.cut_off = content.cut_off
        self.watched: tuple[RecordedKey, ...] = tuple(content.keys)
        """The raw keys that were watched, and whether each is a prefix."""
        self.parts: Sequence[int] = content.parts
        """The records that come first after the file was continued."""

    @property
    def keys(self) -> list[str]:
        """The keys and prefixes that were watched, in the order in which they came."""
        return list(dict.fromkeys(name_of(key) for key, _ in self.watched))

    @property
    def journal(self) -> Journal:
        """A journal of all its records, with their times."""
        journal = Journal(
            max(1, len(self.records)),
            NO_BOUND,
            {"v2": tree_range, "v3": flat_range}[self.api],
            lambda: Header(self.api, self.watched),
        )
        journal.append(self.records, self.times)
        return journal

    def events(self, key: str | bytes | None = None, *, prefix: bool = False) -> list[Event]:
        """Give its events, of one key or one prefix where given."""
        return self.journal.events(key, prefix=prefix)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        events = sum(type(each) is Event for each in self.records)
        keys = len(self.watched)
        return (
            f"Recording({self.name!r}, {self.api}, {plural(events, 'event')} "
            f"of {plural(keys, 'watched key')})"
        )

    def _repr_html_(self) -> str:
        return self.journal._repr_html_()


NO_BOUND = 2**63
"""Bytes that a journal may hold whose records are in memory anyway."""


def save(
    path: str | os.PathLike[str],
    header: Header,
    records: Iterable[Record],
    times: Iterable[float],
) -> None:
    """Write a whole recording at once: the file is there complete, or as it was before."""
    with drafted(Path(path)) as file:
        file.write(header_line(header))
        file.writelines(map(record_line, records, times))
