"""`Timeline`: how often each key changes, or what number it holds, over the last minute or so."""

from __future__ import annotations

import time
from collections import deque

from traitlets import Int, Unicode, observe

from etcd_watcher._html import code, table_html, text
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.journal import Record
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.filters import Filter
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.series import AllSeries, KeySeries
from etcd_watcher.widgets.settings import Span
from etcd_watcher.widgets.shown_text import cell, escaped_text

__all__ = ["Timeline"]

PIECES = 120
"""Pieces that the window is cut into."""

EVERY = 0.2
"""Seconds between two messages."""

CHOOSE_EVERY = 1.0
"""Seconds between two choices of the keys that are shown."""

LOOK = 0.015
"""Seconds that a drawing counts events: what is left waits for the next."""

CHUNK = 500
MOST_MARKS = 50
NAME_WIDTH = 80


class Timeline(LiveWidget):
    """The changes of the busiest keys over a sliding window, a row for each.

    A key whose values are numbers is drawn as a curve, between the lowest and the highest of all
    of them; any other as bars, up to the changes a second that are named at its end. Gaps and lost
    connections are marked. Mark a span of time, with the mouse or with the two handles below: the
    window stands still, and other widgets can follow:
    `traitlets.link((timeline, "between"), (log, "between"))`.

    Parameters
    ----------
    watcher : Watcher
        Whose journal is shown.
    seconds : int
        Length of the window, in seconds.
    rows : int
        How many keys have a row of their own; the first row is all keys together.
    within, only : str
        Show the keys that begin with this, or this one; a KeyTree sets them.
    between : tuple of float, optional
        The span that is marked, in seconds since the epoch.

    Examples
    --------
    >>> Timeline(watcher, seconds=300, rows=12)
    """

    _esm = Unicode(script("timeline")).tag(sync=True)
    _css = Unicode(styles("timeline")).tag(sync=True)

    seconds = Int(60, min=5, max=86_400).tag(sync=True, setting=True)
    rows = Int(8, min=1, max=40).tag(setting=True)
    within = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    only = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    between = Span().tag(sync=True, setting=True)

    def _start(self) -> None:
        self._begin()

    def _begin(self) -> None:
        """Count anew what the journal has of the window."""
        self._filter = Filter(within=self.within, only=self.only)
        self._series = AllSeries(self.seconds / PIECES)
        self._marks: deque[tuple[float, str]] = deque(maxlen=MOST_MARKS)
        self._marks_told: list[tuple[float, str]] = []
        self._shown: list[KeySeries] = []
        self._told_at = self._chosen_at = 0.0
        records, times, self._position = self.watcher.journal.read_timed(0)
        since = time.time() - self.seconds
        first = len(records)
        while first and times[first - 1] >= since:
            first -= 1
        for record, came in zip(records[first:], times[first:], strict=True):
            self._note(record, came)

    @observe("seconds", "rows", "within", "only")
    def _begin_anew(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._begin()
                self._whole_wanted = True

    def _note(self, record: Record, came: float) -> None:
        if type(record) is Event:
            if self._filter.shows(record, came):
                self._series.note(record, came)
        elif type(record) is Gap:
            self._marks.append((came, "gap"))
        elif type(record) is Status and record.state == "reconnecting":
            self._marks.append((came, "connection lost"))

    def _read(self) -> None:
        deadline = time.monotonic() + LOOK
        journal = self.watcher.journal
        while self._position < journal.end and time.monotonic() < deadline:
            records, times, self._position = journal.read_timed(self._position, CHUNK)
            for record, came in zip(records, times, strict=True):
                self._note(record, came)

    # What the page is told.

    def _delta(self) -> Message | None:
        now = time.monotonic()
        self._read()
        if now - self._told_at < EVERY:
            return None
        self._told_at = now
        if now - self._chosen_at >= CHOOSE_EVERY and self._choose(now):
            return self._all_rows()
        rows = [self._fresh(each) for each in (self._series.all, *self._shown) if each.fresh]
        message: Message = {"rows": rows} if rows else {}
        marks = list(self._marks)
        if marks != self._marks_told:
            self._marks_told = marks
            message["marks"] = marks
        return message | {"now": time.time()} if message else None

    def _whole(self) -> Message:
        self._choose(time.monotonic())
        return self._all_rows()

    def _choose(self, now: float) -> bool:
        """Choose the keys to show, and tell whether they are others than before."""
        self._chosen_at = now
        self._series.forget_before(time.time() - self.seconds)
        before = self._shown
        self._shown = self._series.busiest(self.rows, before)
        return self._shown != before

    def _all_rows(self) -> Message:
        for each in (self._series.all, *self._shown):
            each.fresh.update(each.counts)
        self._marks_told = list(self._marks)
        return {
            "now": time.time(),
            "length": self._series.length,
            "order": [each.number for each in (self._series.all, *self._shown)],
            "rows": [self._fresh(each) for each in (self._series.all, *self._shown)],
            "marks": self._marks_told,
            "others": len(self._series) - len(self._shown),
        }

    def _saved_html(self) -> str:
        rows = [
            (
                code(cell(each.raw)) if each.number else "all keys",
                text(each.total),
                code(None if each.value is None else cell(each.value, NAME_WIDTH)),
            )
            for each in (self._series.all, *self._shown)
        ]
        return table_html(("key", f"changes in {self.seconds} s", "value"), rows)

    def _fresh(self, series: KeySeries) -> Message:
        """Give the pieces of a row that have changed."""
        pieces = sorted(series.fresh)
        series.fresh.clear()
        return {
            "id": series.number,
            "key": cell(series.raw, NAME_WIDTH) if series.number else "all keys",
            "counts": [[piece, series.counts.get(piece, 0)] for piece in pieces],
            "numbers": [
                [piece, *series.numbers[piece]] for piece in pieces if piece in series.numbers
            ],
            "curve": series.is_curve,
            "total": series.total,
            "value": None if series.value is None else cell(series.value, NAME_WIDTH),
        }
