"""One part of a recording, from the moment somebody began to record to the one they ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from etcd_watcher.event import Event, Gap, Record, Status
from etcd_watcher.log import logger
from etcd_watcher.recording.draft import drafted
from etcd_watcher.recording.format import Header, header_line, keys_line, record_line, record_lines
from etcd_watcher.recording.load import Content, load

__all__ = ["Part"]

NOT_RECORDED = "nobody recorded them"
"""The reason of the gap between two parts."""


class Part:
    """Appends to a recording what a journal takes. A `journal.Tap`.

    What came in one batch goes to the operating system in one write, on the thread that brought it:
    a process that is killed loses nothing that was published. That costs about 3 us a batch and 1.3 us
    an event; no buffer of ours could be as safe.

    Parameters
    ----------
    path : Path
    header : callable
        Gives the API and the keys that are watched: the same object until they change.
    newest : callable
        Gives the store's newest revision.
    overwrite : bool
        Whether a file that is there goes, whatever it is; otherwise it is continued.

    Raises
    ------
    ValueError
        The file is no recording that can be continued.
    OSError
        It cannot be written.
    """

    def __init__(
        self,
        path: Path,
        header: Callable[[], Header],
        newest: Callable[[], int],
        *,
        overwrite: bool,
    ) -> None:
        self._path = path
        self._header = header
        self._told = header()
        """The header with the keys that the file tells of already."""
        self.written = 0
        """Records written."""
        self.error: OSError | None = None
        """Why nothing more can be written."""
        self._known: Content | None = None
        """What the file holds already; None for a new one."""
        self._file: int | None = None
        """The file's descriptor; None once closed."""
        self._seen = 0
        """The newest revision that the file tells of."""
        if not overwrite and path.exists() and path.stat().st_size > 0:
            self._file = _open(path)
            try:
                self._known = self._continued(newest)
            except BaseException:
                self.close()
                raise

    def _continued(self, newest: Callable[[], int]) -> Content:
        """Read what is there, and see that it goes together with what will come."""
        known = load(self._path)
        if known.api != self._told.api:
            raise ValueError(
                f"{self._path.name} is a recording of etcd's API {known.api}, and this watcher "
                f"speaks {self._told.api}: choose another file, or overwrite=True"
            )
        now = newest()
        if known.last_revision > now:
            raise ValueError(
                f"{self._path.name} tells of revision {known.last_revision}, and the server is at "
                f"{now}: it is a recording of another server. Choose another file, or "
                "overwrite=True"
            )
        return known

    def begin(self, complete: int, at: float) -> None:
        """Begin behind revision `complete`. Called where nothing is published meanwhile.

        Only here does the file say what is recorded. Who reads that and writes a key is to find
        it in the file: a header that showed earlier was a promise that nobody kept yet.

        Raises
        ------
        ValueError, OSError
            As in making it.
        """
        known = self._known
        if known is None:
            self._told = self._header()
            self._file = _create(self._path, self._told)
            return
        if self._file is None:
            return
        os.ftruncate(self._file, known.size)
        self._seen = known.last_revision
        lines = ["\n" if known.unended else "", header_line(self._told)]
        if 0 < known.last_revision < complete:
            lost = Gap(known.last_revision + 1, complete, NOT_RECORDED)
            lines.append(record_line(lost, at))
        self._write(lines)

    def take(self, records: Sequence[Record], at: float) -> None:
        """Write what was published."""
        if self._file is None:
            return
        lines: list[str] = []
        header = self._header()
        if header is not self._told:
            known = set(self._told.keys)
            added = [each for each in header.keys if each not in known]
            self._told = header
            if added:
                lines.append(keys_line(added, at))
        before = len(lines)
        lines += record_lines(filter(self._is_new, records), at)
        if lines:
            self._write(lines)
            if self.error is None:
                self.written += len(lines) - before

    def _is_new(self, record: Record) -> bool:
        if type(record) is Event:
            return record.revision > self._seen
        return type(record) is not Status or record.state != "closed"

    def begin_anew(self) -> None:
        """Take what comes for new, whatever its revision: the server's data was replaced."""
        self._seen = 0

    def _write(self, lines: Sequence[str]) -> None:
        left = memoryview("".join(lines).encode("ascii"))
        try:
            while left and self._file is not None:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self.error = error
            self.close()
            logger.error(  # noqa: TRY400 - the system's words say it all
                "%s is recorded no further: %s", self._path.name, error.strerror
            )

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def close(self) -> None:
        """Write no more; idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _create(path: Path, header: Header) -> int:
    """Make a new file that has its header from the first moment on."""
    if path.is_file():
        os.close(_open(path))  # nobody may be writing it
    with drafted(path) as file:
        file.write(header_line(header))
    return _open(path)


def _open(path: Path) -> int:
    """Open a file to write at its end, alone."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - Windows has none

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise ValueError(
                f"{path.name} is being recorded to already: end that first, or choose another file"
            ) from None
    return file
