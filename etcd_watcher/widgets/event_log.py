"""`EventLog`: a live table of what happened to the watched keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from traitlets import Bool, Enum, Instance, Int, List, Unicode, observe

from etcd_watcher._html import journal_html
from etcd_watcher.event import Event
from etcd_watcher.journal import Record
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.export import FORMATS, to_csv, to_frame, to_json_lines
from etcd_watcher.widgets.filters import KINDS, Filter
from etcd_watcher.widgets.log_page import details, line
from etcd_watcher.widgets.log_rows import LogRows, Missed, Row
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.settings import Span
from etcd_watcher.widgets.shown_text import escaped_text

__all__ = ["EventLog"]

LOOK = 0.015
"""Seconds that a drawing looks at records: what is left waits for the next."""

TAIL = 40
"""Newest rows that a message carries; a page that wants others asks."""

BLOCK = 200
"""Rows that a page gets at once when it asks."""

MOST_ASKED = 4
"""Questions for rows that are kept until the next drawing."""

SAVED = 100
"""Newest rows that a notebook may keep."""

PART = 500_000
"""Characters of an export in one message."""


class EventLog(LiveWidget):
    """A live table of what happened: time, revision, type, key, value and lease.

    In the page: filter, pause, follow or scroll back, open an event with a click or Enter, and
    export what is shown. All of that can be done from code, too.

    Parameters
    ----------
    watcher : Watcher
        Whose journal is shown.
    key : str
        Show the keys that contain this; or, with a `*`, `?` or `[…]` in it, that match it. Small
        letters stand for capitals too.
    text : str
        Show the changes whose value contains this.
    types : list of str
        Show these, of "created", "modified", "deleted", "expired", "gap" and "connection".
    within : str
        Show the keys that begin with this; a KeyTree sets it.
    only : str
        Show this key; a KeyTree sets it.
    between : tuple of float, optional
        Show what came between these times, in seconds since the epoch; a Timeline sets it.
    until : int, optional
        Show what came up to this revision; a RevisionSlider's moment can set it.
    paused : bool
        Stand still. Nothing is lost: going on shows what came meanwhile, as far as the journal
        keeps it; a row says how much it does not.
    follow : bool
        Keep the newest row in sight.
    height : int
        How many rows are visible at once.

    Attributes
    ----------
    selected : Event or None
        The event that was opened last.

    Examples
    --------
    >>> log = EventLog(watcher, key="sensors/*", types=["deleted", "expired"])
    >>> log
    >>> log.to_pandas()
    """

    _esm = Unicode(script("opened_event", "event_log")).tag(sync=True)
    _css = Unicode(styles("opened_event", "event_log")).tag(sync=True)

    key = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    text = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    types = List(Enum(KINDS), list(KINDS)).tag(sync=True, setting=True)
    within = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    only = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    between = Span().tag(sync=True, setting=True)
    until = Int(None, min=1, allow_none=True).tag(sync=True, setting=True)
    paused = Bool(default_value=False).tag(sync=True, setting=True)
    follow = Bool(default_value=True).tag(sync=True, setting=True)
    height = Int(12, min=3, max=100).tag(sync=True, setting=True)
    selected = Instance(Event, allow_none=True)

    def _start(self) -> None:
        self._rows = LogRows(self.watcher.journal, self._filter())
        self._sent = 0
        """Rows before this number have been sent, or are left for the page to ask for."""
        self._told: Message = {}
        """The numbers that the page knows."""
        self._wanted: list[tuple[int, int]] = []
        """Numbers of the rows that a page asked for."""
        self._opened: Message | None = None
        self._opened_fresh = False
        self._exports: list[tuple[Message, Iterator[str]]] = []
        if self.paused:
            self._rows.advance(float("inf"))
            self._rows.pause()

    def _filter(self) -> Filter:
        kinds, times = tuple(self.types), self.between
        return Filter(kinds, self.key, self.text, self.within, self.only, times, self.until)

    @observe("key", "text", "types", "within", "only", "between", "until")
    def _filter_anew(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._rows.show(self._filter())
                self._sent = 0
                self._wanted.clear()

    @observe("paused")
    def _pause_or_resume(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                if self.paused:
                    self._rows.pause()
                else:
                    self._rows.resume()

    # What the page is told.

    def _delta(self) -> Message | None:
        self._rows.advance(LOOK)
        numbers = self._numbers()
        message: Message = {}
        if numbers != self._told:
            self._told = numbers
            message = numbers | {"rows": self._tail()}
        message |= self._answers()
        return message or None

    def _whole(self) -> Message:
        self._sent = 0
        return self._numbers() | {"rows": self._tail(), "opened": self._opened}

    def _numbers(self) -> Message:
        rows = self._rows
        return {
            "epoch": rows.epoch,
            "first": rows.first,
            "end": rows.end,
            "read": dict(rows.read),
            "missed": rows.missed,
            "behind": rows.behind,
            "busy": rows.busy,
            "paused": rows.paused,
            "limit": self.watcher.journal.max_events,
        }

    def _tail(self) -> list[Message]:
        rows = self._rows
        start = max(self._sent, rows.end - TAIL)
        self._sent = rows.end
        return [line(row) for row in rows.rows(start, rows.end)]

    def _answers(self) -> Message:
        message: Message = {}
        if self._wanted:
            lines = [
                line(row) for start, stop in self._wanted for row in self._rows.rows(start, stop)
            ]
            message |= {"epoch": self._rows.epoch, "answer": lines}
            self._wanted.clear()
        if self._opened_fresh:
            message["opened"] = self._opened
            self._opened_fresh = False
        if self._exports:
            message |= self._next_part()
        return message

    def _next_part(self) -> Message:
        about, lines = self._exports[0]
        text, size = [], 0
        for each in islice(lines, BLOCK * 10):
            text.append(each)
            size += len(each)
            if size > PART:
                break
        if not text:
            self._exports.pop(0)
        about = about | {"last": not text}
        return {"export": about, "buffers": ["".join(text).encode()]}

    # What the page asks for.

    def _heard(self, message: Message) -> None:
        match message:
            case {"ask": "rows", "epoch": int(epoch), "start": int(start), "stop": int(stop)}:
                if epoch == self._rows.epoch and len(self._wanted) < MOST_ASKED:
                    self._wanted.append((start, min(stop, start + BLOCK)))
            case {"ask": "open", "epoch": int(epoch), "number": int(number)}:
                if epoch == self._rows.epoch:
                    self._open_row(number)
            case {"ask": "close"}:
                self._opened, self._opened_fresh = None, True
                self.selected = None
            case {"ask": "export", "format": str(name), "id": int(mark)} if name in FORMATS:
                ending, kind, write = FORMATS[name]
                about = {"id": mark, "name": f"events.{ending}", "type": kind}
                self._exports.append((about, write(self._all())))

    def _open_row(self, number: int) -> None:
        row = next(iter(self._rows.rows(number, number + 1)), None)
        self._opened_fresh = True
        if row is None:
            self._opened = {"number": number, "kind": "forgotten"}
            return
        self._opened = details(row)
        self.selected = row.record if isinstance(row.record, Event) else None

    def _all(self) -> list[Row]:
        return self._rows.rows(self._rows.first, self._rows.end)

    def _saved_html(self) -> str:
        shown = self._rows.rows(self._rows.end - SAVED, self._rows.end)
        records = [row.record for row in shown if not isinstance(row.record, Missed)]
        return journal_html(records, self._rows.end - self._rows.first - len(records))

    # From code.

    @property
    def records(self) -> list[Record]:
        """What is shown, oldest first: `Event`, `Gap` and `Status` as in the journal."""
        return [row.record for row in self._shown() if not isinstance(row.record, Missed)]

    @property
    def missed(self) -> int:
        """How many records the journal forgot before they were shown: while paused for long."""
        return self._rows.missed

    def _shown(self) -> list[Row]:
        """Look at what is new, all of it, and give every row."""
        with renderer.lock:
            self._rows.advance(float("inf"))
            return self._all()

    def pause(self) -> None:
        """Stand still, as `paused = True` does."""
        self.paused = True

    def resume(self) -> None:
        """Go on where it stood."""
        self.paused = False

    def to_csv(self, path: str | Path | None = None) -> str | None:
        r"""Give exactly the rows that are shown as CSV, or write them to a file.

        Times are in UTC; bytes that are not UTF-8 are written as `\xff`.
        """
        return _write("".join(to_csv(self._shown())), path)

    def to_json_lines(self, path: str | Path | None = None) -> str | None:
        """Give exactly the rows that are shown as a JSON object a line, or write them to a file.

        What is not UTF-8 comes as base64, under `key_base64`, `value_base64` and
        `prev_value_base64`: no byte is lost.
        """
        return _write("".join(to_json_lines(self._shown())), path)

    def to_pandas(self) -> Any:
        """Give exactly the rows that are shown as a pandas DataFrame.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        return to_frame(self._shown())


def _write(text: str, path: str | Path | None) -> str | None:
    if path is None:
        return text
    Path(path).write_text(text, encoding="utf-8", newline="")
    return None
