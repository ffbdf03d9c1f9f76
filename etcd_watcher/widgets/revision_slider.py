"""`RevisionSlider`: some keys as they were at any revision, and the deleted ones back."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from itertools import islice
from typing import Any

from traitlets import Bool, Instance, Int, Unicode, observe

from etcd_watcher._html import code, table_html, text
from etcd_watcher.errors import Conflict, EtcdWatcherError
from etcd_watcher.event import Event, Status
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.moment import Moment
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.errands import Errands, explain
from etcd_watcher.widgets.looking_back import Past, find_moment, look_back
from etcd_watcher.widgets.past_page import deletion_row, key_row, step_line
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.revisions import Deletion, Revisions
from etcd_watcher.widgets.shown_text import cell, escaped_text
from etcd_watcher.widgets.writing import may_write

__all__ = ["RevisionSlider"]

EVERY = 0.1
"""Seconds between two messages, unless somebody waits for an answer."""

LOOK = 0.015
"""Seconds that a drawing reads events: what is left waits for the next."""

CHUNK = 500

SHOWN = 100
"""Keys of a moment, and deleted keys, that a page is given: the others are found by name."""

SAVED = 300


class RevisionSlider(LiveWidget):
    """A slider over the changes of some keys: drag it, and see the keys as they were then.

    Other widgets can follow: `traitlets.dlink((slider, "moment"), (tree, "moment"))` shows a
    `KeyTree` or a `ValueEditor` as of then, and `slider.observe` tells code. Keys that were deleted
    are listed, and can be restored with their last value.

    Nothing is asked of the server before somebody sees the slider, or sets `revision`.

    Parameters
    ----------
    watcher : Watcher
        Whose keys they are. Those that are watched are live; of others, what the server has kept is
        looked at when the slider is first seen and whenever it leaves the present.
    prefix : str
        The keys that start so, as for `Watcher.register`; "" for all.
    revision : int, optional
        The moment to look at; None for the present.
    read_only : bool, optional
        Restore nothing. By default so unless every endpoint of the watcher is on this machine.
    rows : int
        How many keys of the moment are visible at once; 0 for none.

    Attributes
    ----------
    moment : Moment or None
        The keys as they were at `revision`, once that is known; None in the present.

    Examples
    --------
    >>> slider = RevisionSlider(watcher, prefix="sensors/")
    >>> slider
    >>> slider.revision = 17
    >>> slider.deleted
    ['sensors/attic']
    >>> slider.restore("sensors/attic")
    """

    _esm: Any = Unicode(script("revision_slider")).tag(sync=True)
    _css: Any = Unicode(styles("revision_slider")).tag(sync=True)

    prefix = Unicode().tag(sync=True, setting=True, to_json=escaped_text)
    revision = Int(None, min=1, allow_none=True).tag(setting=True)
    read_only = Bool(allow_none=True, default_value=None).tag(setting=True)
    rows = Int(8, min=0, max=50).tag(sync=True, setting=True)
    moment = Instance(Moment, allow_none=True)
    writes_made = Int(0)

    def _start(self) -> None:
        self._errands = Errands(self)
        self._now = 0.0
        self._find, self._wanted = "", b""
        self._told_at = 0.0
        self._told: Message = {}
        self._begun = False
        self._said = ""
        self._forget_all()
        if self.revision is not None:
            self._begin()
            self._look_at(self.revision)

    def _forget_all(self) -> None:
        self._revisions = Revisions()
        self._position = 0
        """Of the journal's first record that was not read."""
        self._since = 0
        """The revision from which on the server's history was looked at; 0 for not yet."""
        self._looked_to = 0
        """The revision up to which it was."""
        self._tables: tuple[object, ...] = ()
        """What the tables that the page has were made of."""

    @property
    def writes(self) -> bool:
        """Whether it restores keys: not where it is read-only."""
        return may_write(self.watcher, read_only=self.read_only)

    @property
    def deleted(self) -> list[str]:
        """The keys that are known to have been deleted, and are not back, the last one first."""
        since = self._looked_to + 1 if self._looked_to else 0
        past = look_back(self.watcher, self.prefix, since=since)
        with renderer.lock:
            self._begun = True
            self._note_past(past)
            self._read(float("inf"))
            return [to_text(each) for each in reversed(self._revisions.gone)]

    # What happened.

    @observe("prefix")
    def _other_keys(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._forget_all()
                self.moment = None
                if self._begun:
                    self._look_back()
                if self.revision is not None:
                    self._look_at(self.revision)

    def _begin(self) -> None:
        """Look at what there was, once."""
        if not self._begun:
            self._begun = True
            self._look_back()

    def _look_back(self) -> None:
        """Ask for the history before what is known of it."""
        ask = partial(look_back, self.watcher, self.prefix, before=self._since)
        self._errands.run(ask, self._note_past)

    def _look_again(self) -> None:
        """Ask for what has happened since: not all keys need be watched."""
        if self._looked_to:
            since = self._looked_to + 1
            ask = partial(look_back, self.watcher, self.prefix, since=since)
            self._errands.run(ask, self._note_past)

    def _note_past(self, past: Past) -> None:
        if past.prefix != self.prefix:
            return
        self._revisions.extend(past.events)
        self._since = min(self._since or past.first, past.first)
        self._looked_to = max(self._looked_to, past.last)
        self._told_at = 0.0

    def _read(self, seconds: float) -> None:
        """Read the journal, for so many seconds of the renderer's at the most."""
        deadline = time.monotonic() + seconds
        journal = self.watcher.journal
        while self._position < journal.end and time.monotonic() < deadline:
            records, times, self._position = journal.read_timed(self._position, CHUNK)
            for record, came in zip(records, times, strict=True):
                if type(record) is Event and self._is_ours(record.raw_key):
                    self._revisions.add(record, came)
                elif type(record) is Status and record.state == "connected" and not self._since:
                    self._look_back()  # a server that was away when it was asked

    def _is_ours(self, raw: bytes) -> bool:
        prefix = to_bytes(self.prefix)
        if self.watcher.api == "v3":
            return raw.startswith(prefix)
        folder = b"/" + prefix.strip(b"/")
        return raw == folder or raw.startswith(folder.rstrip(b"/") + b"/")

    @property
    def _earlier(self) -> bool:
        """Whether there may be more to know of what was before."""
        return self._since > 1 and not self._revisions.forgotten

    # The moment.

    @observe("revision")
    def _go(self, change: dict[str, Any]) -> None:
        if not self._open:
            return
        with renderer.lock:
            self._told_at = 0.0
            self._said = self._errands.trouble = ""
            if self.revision is None:
                self.moment = None
                return
            if change["old"] is None and self._begun:
                self._look_again()
            self._begin()
            self._look_at(self.revision)

    def _look_at(self, revision: int) -> None:
        """Ask for the keys as they were; of several questions that wait only the last is asked."""
        prefix = self.prefix

        def take(moment: Moment) -> None:
            if (self.revision, self.prefix) == (revision, prefix):
                self._errands.trouble = ""
                self._told_at = 0.0
                self.moment = moment

        def fail(error: Exception) -> None:
            if (self.revision, self.prefix) == (revision, prefix):
                self._errands.trouble = explain(error)
                self._told_at = 0.0
                self.moment = None

        find = partial(find_moment, self.watcher, prefix, revision)
        asker.ask(self, "moment", find, take, fail)

    # What the page is told.

    def _draw(self, now: float) -> None:
        self._now = now
        super()._draw(now)

    def _delta(self) -> Message | None:
        if not self._begun:
            return None
        self._read(LOOK)
        if self._now - self._told_at < EVERY:
            return None
        message = self._how_it_stands() | self._fresh_tables()
        if all(self._told.get(name, self) == value for name, value in message.items()):
            return None
        self._told |= message
        self._told_at = self._now
        return message

    def _whole(self) -> Message:
        self._tables = ()
        self._told = self._how_it_stands() | self._fresh_tables()
        return dict(self._told)

    def _how_it_stands(self) -> Message:
        steps = self._revisions
        place = None if self.revision is None else steps.place(self.revision)
        return self._errands.told() | {
            "steps": len(steps),
            "place": place,
            "chosen": self.revision,
            "step": None if place is None or place < 0 else step_line(steps.at(place)),
            "since": max(self._since, steps.forgotten + 1) if self._since else 0,
            "earlier": self._earlier,
            "said": self._said,
            "find": self._find,
            "writes": self.writes,
            "known": self.moment is not None and self.moment.revision == self.revision,
        }

    def _fresh_tables(self) -> Message:
        """Give the keys of the moment and the deleted ones, where they are others than before."""
        gone = self._revisions.gone
        newest = next(reversed(gone.values()), None)
        made_of = (self.moment, self._find, len(gone), newest, self.rows)
        if made_of == self._tables:
            return {}
        self._tables = made_of
        wanted = self._wanted
        lost = [each for each in reversed(gone.values()) if wanted in each.raw_key]
        message: Message = {
            "gone": [deletion_row(each) for each in lost[:SHOWN]],
            "gone_found": len(lost),
            "gone_all": len(gone),
            "keys": [],
            "keys_found": 0,
            "keys_all": 0,
        }
        if self.moment is not None and self.rows:
            entries = [each for each in self.moment.entries if wanted in each.raw_key]
            message |= {
                "keys": [key_row(each) for each in entries[:SHOWN]],
                "keys_found": len(entries),
                "keys_all": len(self.moment),
            }
        return message

    def _saved_html(self) -> str:
        if self.moment is None:
            return "<p><em>RevisionSlider</em>: the present.</p>"
        rows = [(code(key), code(value)) for key, value in islice(self.moment.items(), SAVED)]
        return table_html(("key", f"value at revision {text(self.moment.revision)}"), rows)

    # What the page asks.

    def _heard(self, message: Message) -> None:
        # ValueError: half a character, or no hexadecimal digits.
        with contextlib.suppress(ValueError):
            self._carry_out(message)

    def _carry_out(self, message: Message) -> None:
        steps = self._revisions
        match message:
            case {"ask": "begin"}:
                self._begin()
            case {"ask": "go", "place": int(place)}:
                self.revision = steps.at(place).revision if 0 <= place < len(steps) else None
            case {"ask": "revision", "revision": int(revision)} if revision >= 1:
                self.revision = revision
            case {"ask": "earlier"} if self._earlier:
                self._look_back()
            case {"ask": "find", "text": str(find)}:
                self._wanted = to_bytes(find[:200])
                self._find = find[:200]
            case {"ask": str(what), "id": str(digits)}:
                deletion = steps.gone.get(bytes.fromhex(digits))
                if deletion is not None:
                    self._do(what, deletion)

    def _do(self, what: str, deletion: Deletion) -> None:
        if what == "show" and deletion.revision > 1:
            self.revision = deletion.revision - 1
        elif what == "restore":
            self._said = ""
            if not self.writes:
                self._errands.trouble = (
                    "This is read-only: RevisionSlider(watcher, read_only=False) restores."
                )
                return

            def restored(revision: int) -> None:
                self._said = f"{cell(deletion.raw_key)} is back: revision {revision:,}."
                self.writes_made += 1

            self._errands.run(partial(self._restore, deletion), restored)

    def _restore(self, deletion: Deletion) -> int:
        """Write a key again that is not there, and give the revision of the write."""
        key = deletion.raw_key
        before = self.watcher.at(deletion.revision - 1, key).entries
        if not before:
            raise ValueError("nobody knows its value any more")
        try:
            return self.watcher.compare_and_put(key, before[0].raw_value, 0)
        except Conflict as error:
            raise EtcdWatcherError(
                f"somebody has written {cell(key)} meanwhile: nothing was restored"
            ) from error

    def restore(self, key: str | bytes) -> int:
        """Write a deleted key again with its last value, and give the revision of the write.

        Raises
        ------
        PermissionError
            It is read-only.
        KeyError
            No such key is known to have been deleted.
        EtcdWatcherError
            Somebody has written it meanwhile, or the server refuses.
        """
        if not self.writes:
            raise PermissionError(
                "this RevisionSlider is read-only: RevisionSlider(watcher, read_only=False) restores"
            )
        raw = to_bytes(key)
        if self.watcher.api == "v2":
            raw = b"/" + raw.lstrip(b"/")
        if to_text(raw) not in self.deleted:
            raise KeyError(key)
        with renderer.lock:
            deletion = self._revisions.gone[raw]
        return self._restore(deletion)
