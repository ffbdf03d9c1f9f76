"""`ValueDiff`: what has changed from one value of a key to another."""

from __future__ import annotations

import time
from functools import partial

from traitlets import Instance, Int, Unicode, observe

from etcd_watcher._html import code, table_html
from etcd_watcher.event import Event, kind_of
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.stores.base import KeyValue
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.differences import differences
from etcd_watcher.widgets.log_page import shown_value
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.shown_text import cell

__all__ = ["ValueDiff"]

EVERY = 0.25
"""Seconds between two messages."""

MOST_VERSIONS = 100
"""Values of the key to choose from: the newest that the journal has."""

SAVED = 300
"""Lines that a notebook may keep."""

CHUNK = 2_000
LOOK = 0.015
"""Seconds that a drawing looks for events: what is left waits for the next."""


class ValueDiff(LiveWidget):
    """Two values of a key, and what differs between them, line by line.

    JSON is laid out first, so that what differs is a part of it and not one long line. By default
    it compares the newest value with the one before, and goes on doing so while changes come.

    Parameters
    ----------
    watcher : Watcher
        Whose journal the values come from.
    only : str
        The key; a KeyTree sets it.
    older, newer : int
        The revisions of the two values. `newer` 0: the newest. `older` 0: the one before `newer`.
    event : Event, optional
        Show what this event has changed: sets the other three. An EventLog's `selected` can be
        linked to it: `traitlets.dlink((log, "selected"), (diff, "event"))`.

    Examples
    --------
    >>> ValueDiff(watcher, only="config/app")
    """

    _esm = Unicode(script("value_diff")).tag(sync=True)
    _css = Unicode(styles("value_diff")).tag(sync=True)

    only = Unicode().tag(setting=True)
    older = Int(0, min=0).tag(setting=True)
    newer = Int(0, min=0).tag(setting=True)
    event = Instance(Event, allow_none=True).tag(setting=True)

    def _start(self) -> None:
        if self.event is not None:
            self._take_event()
        self._begin()

    def _begin(self) -> None:
        """Look for the key's values from the journal's beginning."""
        self._raw = to_bytes(self.only)
        if self._raw and self.watcher.api == "v2":  # all of its keys begin so
            self._raw = b"/" + self._raw.lstrip(b"/")
        self._versions: dict[int, tuple[Event, float]] = {}
        self._position = 0
        self._present: KeyValue | None = None
        """The key as the server has it, where the journal has nothing of it."""
        self._present_before: KeyValue | None = None
        """As the server had it when it was asked before."""
        self._asked = False
        self._told: Message = {}
        self._told_at = 0.0
        if self.event is not None and self.event.raw_key == self._raw:
            self._versions[self.event.revision] = (self.event, 0.0)

    @observe("only")
    def _other_key(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                if self.event is not None and self.event.raw_key != to_bytes(self.only):
                    self.event = None
                    self.older = self.newer = 0
                self._begin()

    @observe("older", "newer")
    def _other_version(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._told_at = 0.0

    @observe("event")
    def _other_event(self, _: object) -> None:
        if self._open and self.event is not None:
            with renderer.lock:
                self._take_event()
                self._begin()

    def _take_event(self) -> None:
        if self.event is not None:
            self.only = to_text(self.event.raw_key)
            self.newer, self.older = self.event.revision, 0

    # What the page is told.

    def _delta(self) -> Message | None:
        now = time.monotonic()
        self._read(now)
        if now - self._told_at < EVERY or self._position < self.watcher.journal.end:
            return None
        message = self._whole()
        if message == self._told:
            return None
        self._told, self._told_at = message, now
        return message

    def _whole(self) -> Message:
        versions = sorted(self._versions)
        message: Message = {
            "key": cell(self._raw) if self._raw else "",
            "versions": [self._version(each) for each in reversed(versions)],
            "older": self.older,
            "newer": self.newer,
            "before": None,
            "after": None,
            "differences": None,
            "said": "",
        }
        if not self._raw:
            return message
        newer = self.newer or (versions[-1] if versions else 0)
        before, after, message["said"] = self._pair(versions, newer)
        message |= {"before": shown_value(before), "after": shown_value(after)}
        if before is not None and after is not None:
            message["differences"] = differences(before, after)
        return message

    def _pair(self, versions: list[int], newer: int) -> tuple[bytes | None, bytes | None, str]:
        """Give the two values to compare, and what there is to say about them."""
        if not versions:
            present, last = self._present, self._present_before
            gone = None if last is None else last.raw_value
            if present is None:
                return gone, None, "no such key" if self._asked and last is None else ""
            return gone, present.raw_value, f"revision {present.revision}, as the server has it"
        if newer not in self._versions:
            return None, None, f"the journal has nothing of revision {newer}"
        event = self._versions[newer][0]
        if self.older:
            if self.older not in self._versions:
                return None, event.raw_value, f"the journal has nothing of revision {self.older}"
            return self._versions[self.older][0].raw_value, event.raw_value, ""
        before = event.raw_prev_value
        earlier = [each for each in versions if each < newer]
        if before is None and earlier:
            before = self._versions[earlier[-1]][0].raw_value
        return before, event.raw_value, ""

    def _version(self, revision: int) -> Message:
        event, came = self._versions[revision]
        return {"revision": revision, "kind": kind_of(event), "came": came}

    def _read(self, now: float) -> None:
        journal = self.watcher.journal
        if not self._raw:
            self._position = journal.end
            return
        while self._position < journal.end and time.monotonic() - now < LOOK:
            records, times, self._position = journal.read_timed(self._position, CHUNK)
            for record, came in zip(records, times, strict=True):
                if type(record) is Event and record.raw_key == self._raw:
                    self._versions[record.revision] = (record, came)
        for old in sorted(self._versions)[:-MOST_VERSIONS]:
            if old not in {self.newer, self.older}:
                del self._versions[old]
        if not self._versions and not self._asked:
            self._asked = True
            raw = self._raw
            take = partial(self._take_present, raw)
            asker.ask(self, "value", lambda: self.watcher.read(raw), take)

    def _take_present(self, raw: bytes, found: KeyValue | None) -> None:
        known = self._present
        if raw == self._raw and found != known:
            if known is not None:
                self._present_before = known
            self._present = found

    def refresh(self) -> None:
        """Ask the server again, where the journal has nothing of the key: nobody watches it."""
        with renderer.lock:
            self._asked = False

    def _saved_html(self) -> str:
        told = self._whole()
        signs = {"gone": "-", "new": "+", "same": "", "skipped": "⋯"}
        if told["differences"]:
            rows = [(signs[what], code(line)) for what, line in told["differences"][:SAVED]]
        else:
            value = told["after"] or told["before"] or {"text": told["said"]}
            rows = [("", code(line)) for line in value["text"].split("\n")[:SAVED]]
        return table_html(("", told["key"]), rows)

    # What the page asks for.

    def _heard(self, message: Message) -> None:
        match message:
            case {"choose": "older" | "newer" as which, "revision": int(revision)}:
                if revision >= 0:
                    setattr(self, which, revision)
