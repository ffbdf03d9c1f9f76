"""`ValueEditor`: write and delete a key, and overwrite nobody's write unseen."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from traitlets import Bool, Instance, Int, TraitError, Unicode, observe, validate

from etcd_watcher._html import card_html, code
from etcd_watcher.errors import Conflict
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.moment import Moment
from etcd_watcher.stores.base import KeyValue, TimeToLive
from etcd_watcher.table import plural
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.differences import differences
from etcd_watcher.widgets.errands import Errands, explain
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.shown_text import cell, escaped_text
from etcd_watcher.widgets.value_text import from_text, needs_escapes, to_text_field
from etcd_watcher.widgets.writing import may_write

__all__ = ["ValueEditor"]

LARGEST = 200_000
"""Bytes of a value that can be edited in a page; of a larger one the beginning is shown."""

LOOK_EVERY = 2.0
"""Seconds between two looks whether somebody else has written the key."""

LEASE_DIGITS = 16

Found = tuple[KeyValue | None, TimeToLive | None]
"""A key as it was read, and how long it has to live."""


class ValueEditor(LiveWidget):
    """Shows the value of a key and writes another, deletes it, or gives it a lease.

    What is written replaces the revision that was shown, and no other: when somebody else has
    written the key meanwhile, nothing is written, and both values are shown side by side.

    Parameters
    ----------
    watcher : Watcher
    key : str
        The key to begin with; another can be opened in the page, and by setting it here.
    read_only : bool, optional
        Only look. By default so unless every endpoint of the watcher is on this machine: nobody
        should write to a production cluster by a slip of the mouse.
    moment : Moment, optional
        Show the value that the key had then, `watcher.at(17, "", prefix=True)`, to be written once
        more in the place of the present one; a RevisionSlider sets it.

    Examples
    --------
    >>> editor = ValueEditor(watcher, key="nokia")
    >>> editor
    """

    _esm: Any = Unicode(script("value_editor")).tag(sync=True)
    _css: Any = Unicode(styles("value_editor")).tag(sync=True)

    key = Unicode().tag(setting=True)
    read_only = Bool(allow_none=True, default_value=None).tag(setting=True)
    moment = Instance(Moment, allow_none=True)
    writes_made = Int(0)

    def _start(self) -> None:
        self._errands = Errands(self)
        self._found: Found = (None, None)
        self._found_key: str | None = None
        """The key that was read; another than `key` while that is not read yet."""
        self._wrote: int | None = None
        """The revision that was written last; 0 for a deletion."""
        self._loaded = 0
        """Counts what was read for the page to edit: it takes up a new one."""
        self._newest: int | None = None
        """The revision that somebody else has written meanwhile; 0 for a deletion."""
        self._conflict: Message | None = None
        self._said = ""
        self._looked = 0.0
        self._now = 0.0
        self._told: Message = {}
        if self.key:
            self._load()

    @property
    def writes(self) -> bool:
        """Whether it writes: not where it is read-only."""
        return may_write(self.watcher, read_only=self.read_only)

    @validate("key")
    def _check_key(self, proposal: Message) -> str:
        key: str = proposal["value"]
        try:
            to_bytes(key)
        except UnicodeEncodeError:
            raise TraitError(f"ValueEditor.key is no text: {key!r} has half a character") from None
        return key

    @observe("key")
    def _open_key(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._said = ""
                self._load()

    @observe("moment")
    def _other_moment(self, _: object) -> None:
        if self._open:
            with renderer.lock:
                self._said = ""
                self._loaded += 1

    # Reading.

    def _load(self) -> None:
        """Read the key, for the page to show and edit."""
        self._newest = self._conflict = None
        if self.key:
            self._errands.run(partial(self._read, self.key), partial(self._took, self.key))
        else:
            self._took("", (None, None))

    def _read(self, key: str) -> Found:
        found = self.watcher.read(key)
        # v2 has no leases, and tells of a TTL only when it is asked.
        lives = found is not None and (found.lease or self.watcher.api == "v2")
        return found, self.watcher.time_left(key) if lives else None

    def _took(self, key: str, found: Found) -> None:
        if key == self.key:
            self._found, self._found_key = found, key
            self._newest = None
            self._loaded += 1

    @property
    def _revision(self) -> int:
        """The revision that is shown; 0 where there is no such key."""
        return 0 if self._found[0] is None else self._found[0].revision

    def _look(self) -> None:
        """Look whether somebody else has written the key, now and then."""
        if not self.key or self._now - self._looked < LOOK_EVERY:
            return
        self._looked = self._now
        key = self.key

        def take(revision: int) -> None:
            if key == self.key == self._found_key and self._errands.told()["busy"] == 0:
                self._newest = None if revision == self._revision else revision

        asker.ask(self, "look", partial(self._revision_now, key), take)

    def _revision_now(self, key: str) -> int:
        if self.watcher.api == "v2":
            found = self.watcher.read(key)
            return 0 if found is None else found.revision
        # Without its value, which may be large: the first of the keys that begin so is the key.
        heads = self.watcher.list_keys(key, limit=1).heads
        return heads[0].revision if heads and heads[0].raw_key == to_bytes(key) else 0

    # Drawing.

    def _draw(self, now: float) -> None:
        self._now = now
        super()._draw(now)

    def _delta(self) -> Message | None:
        self._look()
        message = self._how_it_stands()
        if message == self._told:
            return None
        fresh = message if message["loaded"] == self._told.get("loaded") else self._whole()
        self._told = message
        return fresh

    def _how_it_stands(self) -> Message:
        return self._errands.told() | {
            "loaded": self._loaded,
            "id": _id_of(self.key),
            "key": cell(to_bytes(self.key)),
            "newest": self._newest,
            "conflict": self._conflict,
            "said": self._said,
            "writes": self.writes,
            "api": self.watcher.api,
        }

    def _whole(self) -> Message:
        return self._how_it_stands() | {"value": self._describe()}

    def _describe(self) -> Message:
        found, life = self._found
        then = self._then()
        shown_as = found if self.moment is None else then
        raw = b"" if shown_as is None else shown_as.raw_value
        escapes = needs_escapes(raw)
        shown = raw[:LARGEST]
        if len(raw) > LARGEST:
            escapes = True  # it may be cut in the middle of a character
        return {
            "id": None if self._found_key is None else _id_of(self._found_key),
            "there": found is not None,
            "revision": self._revision,
            "ours": self._revision == self._wrote,
            "created": 0 if found is None else found.created,
            "version": 0 if found is None else found.version,
            "size": len(raw),
            "text": to_text_field(shown, escapes=escapes),
            "escapes": escapes,
            "whole": len(raw) <= LARGEST,
            "lease": f"{life.lease:x}" if life is not None and life.lease else "",
            "left": None if life is None else life.left,
            "then": None
            if self.moment is None
            else {"revision": self.moment.revision, "there": then is not None},
        }

    def _then(self) -> KeyValue | None:
        """Give the key as it was at the moment that is shown; None where it was not there."""
        raw = to_bytes(self.key)
        if self.watcher.api == "v2":
            raw = b"/" + raw.lstrip(b"/")
        entries = () if self.moment is None else self.moment.entries
        return next((each for each in entries if each.raw_key == raw), None)

    # What the page asks.

    def _heard(self, message: Message) -> None:
        match message:
            case {"ask": "open", "key": str(key)}:
                if key == escaped_text(self.key):
                    self._said = ""
                    self._load()
                else:
                    with suppress(TraitError):  # no page of ours asks for that
                        self.key = key
            case {"ask": "load"}:
                self._said = ""
                self._load()
            case {
                "ask": "put",
                "id": str(meant),
                "text": str(text),
                "escapes": bool(escapes),
                "revision": int(revision),
                "life": dict(life),
            }:
                if self._may_write(meant):
                    self._put(text, revision, life, escapes=escapes)
            case {"ask": "delete", "id": str(meant), "revision": int(revision)}:
                if self._may_write(meant):
                    self._delete(revision)

    def _may_write(self, meant: str) -> bool:
        self._said = ""
        self._conflict = None
        if not self.writes:
            self._errands.trouble = (
                "This is read-only: ValueEditor(watcher, read_only=False) writes."
            )
        elif not self.key:
            self._errands.trouble = "Name a key first."
        elif meant != _id_of(self.key):
            # The page has not heard of it yet, and shows the value of the one before.
            self._errands.trouble = "Nothing was written: another key was opened meanwhile."
        else:
            return True
        return False

    def _put(self, text: str, revision: int, life: Message, *, escapes: bool) -> None:
        try:
            value = from_text(text, escapes=escapes)
            keep = _life_of(life, self._found[1])
        except ValueError as error:
            self._errands.trouble = explain(error)
            return
        key = self.key

        def write() -> int:
            return self.watcher.compare_and_put(key, value, revision, **keep)

        def written(new: int) -> None:
            self._said = f"Written: revision {new:,}."
            self._wrote = new
            self.writes_made += 1
            self._load()

        self._errands.run(write, written, partial(self._failed, value))

    def _delete(self, revision: int) -> None:
        key = self.key

        def deleted(_: object) -> None:
            self._said = "Deleted."
            self._wrote = 0
            self.writes_made += 1
            self._load()

        delete = partial(self.watcher.compare_and_delete, key, revision)
        self._errands.run(delete, deleted, partial(self._failed, None))

    def _failed(self, mine: bytes | None, error: Exception) -> None:
        """Show what somebody else has written beside what was to be written."""
        if not isinstance(error, Conflict):
            self._errands.trouble = explain(error)
            return
        key = self.key

        def compare(found: Found) -> None:
            if key != self.key:
                return
            theirs = found[0]
            lines = differences(b"" if theirs is None else theirs.raw_value, mine or b"")
            self._conflict = {
                "expected": error.expected,
                "revision": 0 if theirs is None else theirs.revision,
                "lines": lines,
                "deletes": mine is None,
                "size": "" if theirs is None else plural(len(theirs.raw_value), "byte"),
            }

        self._errands.run(partial(self._read, key), compare)

    def _saved_html(self) -> str:
        found = self._found[0] if self._found_key == self.key else None
        value = code(None if found is None else to_text(found.raw_value), 2000)
        rows = [
            ("key", code(self.key)),
            ("revision", str(found.revision if found else 0)),
            ("value", value),
        ]
        return card_html("ValueEditor", rows)


def _id_of(key: str) -> str:
    """Name a key whatever is in it."""
    return to_bytes(key).hex()


def _life_of(wanted: Message, present: TimeToLive | None) -> dict[str, int]:
    """Give how long a written key is to live, as `compare_and_put` takes it.

    Raises
    ------
    ValueError
        For what is no time, and no lease.
    """
    match wanted:
        case {"how": "stay"}:
            return {}
        case {"how": "ttl", "seconds": int(seconds)} if seconds >= 1:
            return {"ttl": seconds}
        case {"how": "lease", "id": str(digits)}:
            try:
                lease = int(digits[: LEASE_DIGITS + 2], 16)
            except ValueError:
                lease = 0
            if not 0 < lease < 1 << 63:
                raise ValueError(
                    f"{digits[:20]!r} is no lease: give its number as etcdctl shows it, such as "
                    "32694b6f4ff9a70a"
                )
            return {"lease": lease}
        case {"how": "keep"}:
            if present is None:
                return {}
            if present.lease:
                return {"lease": present.lease}
            return {"ttl": max(1, present.left)}
    raise ValueError("give whole seconds to live, 1 or more")
