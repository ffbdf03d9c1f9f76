"""Records on standard output: for people one line each, for programs JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from etcd_watcher.event import Event, Gap, Record
from etcd_watcher.recording.format import record_line
from etcd_watcher.table import one_line

__all__ = ["Lines", "say"]

WIDTH = 10_000
"""Characters of a value that are shown to people. JSON has all of it."""

RESET = "\033[0m"
COLOURS = {"PUT": "\033[32m", "DELETE": "\033[31m", "EXPIRE": "\033[33m", "GAP": "\033[1;35m"}
FAINT = "\033[2m"


class Lines:
    """Writes records to a stream, and sees to it that each is there at once.

    Parameters
    ----------
    stream
        Where to.
    json : bool or None
        Whether JSON lines are wanted; None for wherever no person looks on.
    colour : {"auto", "always", "never"}
        "auto": on a terminal, unless the environment's NO_COLOR or TERM=dumb asks for none.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        json: bool | None = None,
        colour: str = "auto",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = stream
        terminal = stream.isatty()
        self.json = not terminal if json is None else json
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
        self._coloured = colour == "always" or (colour == "auto" and terminal and not plain)

    def write(self, record: Record, at: float) -> None:
        """Write a record that came `at` seconds after the epoch."""
        line = record_line(record, at) if self.json else self._for_people(record)
        self._stream.write(line)
        self._stream.flush()

    def _for_people(self, record: Record) -> str:
        if isinstance(record, Gap):
            place, kind, what = (
                f"{record.first}-{record.last}",
                "GAP",
                one_line(record.reason, WIDTH),
            )
        elif isinstance(record, Event):
            place = str(record.revision)
            kind = "EXPIRE" if record.expired else record.type.value
            what = one_line(record.key, WIDTH)
            if record.value is not None:
                what += f" = {one_line(record.value, WIDTH)}"
            if record.synthetic:
                what += "  (after the gap)"
        else:
            place, kind, what = "", record.state.upper(), one_line(record.reason, WIDTH)
        place, shown = f"{place:>8}", f"{kind:<6}"
        if self._coloured:
            place = f"{FAINT}{place}{RESET}"
            shown = f"{COLOURS.get(kind, '')}{shown}{RESET}"
        return f"{place}  {shown}  {what}\n"


def say(text: str) -> None:
    """Tell the person something that is no part of the output."""
    if sys.stderr is None:  # started with it closed
        return
    shown = "\n".join(one_line(line, WIDTH) for line in text.splitlines())
    with suppress(OSError, ValueError):  # nobody there to be told
        sys.stderr.write(f"etcd-watcher: {shown}\n")
        sys.stderr.flush()
