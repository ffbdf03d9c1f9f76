"""From a file that may come from anybody to what it tells, or to the line that is wrong in it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from etcd_watcher.errors import BadRecording
from etcd_watcher.event import Event, Gap, Record
from etcd_watcher.recording.format import Header, Keys, Line, RecordedKey, understand

__all__ = ["Content", "load"]

LONGEST_LINE = 256 * 1024 * 1024
"""Bytes. etcd takes values of 1.5 MB unless told otherwise, and a line holds two of them."""

LARGEST_FILE = 4 * 1024**3
"""Bytes: a recording is held in memory as a whole, where it takes about twice as much."""


@dataclass(slots=True)
class Content:
    """What a recording tells.

    Attributes
    ----------
    api : str
        Which of etcd's APIs it was recorded on.
    keys : dict of (bytes, bool)
        Every key that was watched, and whether it is a prefix, in the order in which they came.
    records : list of Event, Gap or Status
    times : list of float
        Beside each record, when it came, in seconds since the epoch.
    parts : list of int
        The records that come first after the file was continued: how long it lay in between says
        nothing.
    size : int
        Bytes of the file up to the end of its last whole line.
    cut_off : bool
        Whether there was a part of a line behind that: the recording ended in the middle of it.
    unended : bool
        Whether the last whole line lacks its newline.
    """

    api: str
    keys: dict[RecordedKey, None] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    size: int = 0
    cut_off: bool = False
    unended: bool = False

    @property
    def last_revision(self) -> int:
        """The newest revision that an event tells of; 0 without one."""
        return max((each.revision for each in self.records if type(each) is Event), default=0)


def load(path: str | os.PathLike[str]) -> Content:
    """Read and check a recording.

    A part of a line at the end is passed over: so it looks where the recording program was killed.

    Raises
    ------
    BadRecording
        It is no recording, or a line of it is wrong; the message names the line.
    OSError
        It cannot be read.
    """
    name = Path(path).name
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise BadRecording(name, 1, f"the file is larger than {LARGEST_FILE:,} bytes")
        return _content(file, name)


def _content(file: BinaryIO, name: str) -> Content:
    content: Content | None = None
    order = _Order()
    size, number, line = 0, 0, b""
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise BadRecording(name, number, f"it is longer than {LONGEST_LINE:,} bytes")
        try:
            told, at = understand(line)
            if content is None:
                content = _begin(told)
            else:
                _add(content, told, at, order)
        except ValueError as error:
            if content is not None and not line.endswith(b"\n"):
                content.cut_off = True
                break
            raise BadRecording(name, number, str(error)) from None
        size += len(line)
        content.unended = not line.endswith(b"\n")
    if content is None:
        raise BadRecording(name, 1, "it is empty: a recording begins with a header")
    content.size = size
    return content


def _begin(told: Line) -> Content:
    if not isinstance(told, Header):
        raise ValueError("it is no header: a recording begins with one")  # noqa: TRY004 - a bad line
    return Content(told.api, dict.fromkeys(told.keys))


def _add(content: Content, told: Line, at: float, order: _Order) -> None:
    if isinstance(told, Header | Keys):
        if isinstance(told, Header):
            if told.api != content.api:
                raise ValueError(f"it goes on with the API {told.api}, after {content.api}")
            content.parts.append(len(content.records))
        content.keys.update(dict.fromkeys(told.keys))
    else:
        order.check(told)
        content.records.append(told)
        content.times.append(at)


class _Order:
    """Holds events to the order in which etcd makes them."""

    def __init__(self) -> None:
        self._revision = 0
        self._keys: set[bytes] = set()
        """The keys that this revision has changed."""

    def check(self, record: Record) -> None:
        """Refuse a record that cannot come here."""
        if type(record) is Gap and not record.subscriber:
            # What comes then may be another history, of a server that has begun anew.
            self._revision = 0
            self._keys.clear()
        elif type(record) is Event:
            revision = record.revision
            if revision < self._revision:
                raise ValueError(f"its revision {revision} comes after {self._revision}")
            if revision > self._revision:
                self._revision = revision
                self._keys.clear()
            if record.raw_key in self._keys:
                raise ValueError(f"its revision {revision} has changed this key already")
            self._keys.add(record.raw_key)
