"""What a person holds while a watcher records: to look at, and to end it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self

from etcd_watcher.interactive import when_run_again
from etcd_watcher.journal import Journal
from etcd_watcher.recording.part import Part
from etcd_watcher.table import plural

__all__ = ["Recorder"]

ARRIVAL = 10.0
"""Seconds that the end of a `with` waits for what was committed in it."""


class Recorder:
    """Writes what comes into a watcher's journal to a file, until it is closed.

    Made by `Watcher.record`. It ends with `close()`, with its `with` block, and with the watcher.

    Parameters
    ----------
    path : path
    journal : Journal
    lock
        Held wherever something is appended to the journal.
    complete : callable
        Gives the revision up to which everything is in the journal.
    newest : callable
        Gives the store's newest revision.
    arrive : callable
        Waits, so many seconds, until all that is committed is in the journal.
    overwrite : bool
        Whether a file that is there goes; otherwise it is continued.
    """

    def __init__(  # noqa: PLR0913 - a file, and the parts of a watcher
        self,
        path: str | os.PathLike[str],
        journal: Journal,
        lock: AbstractContextManager[object],
        *,
        complete: Callable[[], int],
        newest: Callable[[], int],
        arrive: Callable[[float], object],
        overwrite: bool,
    ) -> None:
        self._ends = ExitStack()
        """What ends it; nothing yet where the file cannot be written."""
        self._lock = lock
        self._arrive = arrive
        when_run_again(self.close)  # what the cell made in its earlier run holds the file
        self.name = Path(path).name
        """The file's name, without its folder."""
        self._part = Part(Path(path), journal.header, newest, overwrite=overwrite)
        with lock, ExitStack() as ends:
            ends.callback(self._part.close)
            self._part.begin(complete(), time.time())
            ends.callback(journal.tap(self._part))
            self._ends = ends.pop_all()

    @property
    def recording(self) -> bool:
        """Whether it still writes."""
        return self._part.is_open

    @property
    def error(self) -> OSError | None:
        """Why it could write no further, such as a full disk; the watcher goes on without it."""
        return self._part.error

    def __len__(self) -> int:
        """Give the number of records that it has written."""
        return self._part.written

    def close(self) -> None:
        """End the recording. Idempotent."""
        with self._lock:
            self._ends.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Record what was committed within the block, too, and end.

        Raises
        ------
        TimeoutError
            That had not all come in time; what had is in the file.
        OSError
            Something could not be written.
        """
        try:
            if kind is None and self.recording:
                self._arrive(ARRIVAL)
        finally:
            self.close()
        if kind is None and self.error is not None:
            raise self.error

    def __repr__(self) -> str:
        state = "recording" if self.recording else "closed" if self.error is None else "failed"
        return f"Recorder({self.name!r}, {state}, {plural(len(self), 'record')})"
