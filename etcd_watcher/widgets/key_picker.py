"""`KeyPicker`: choose keys to watch, among those that there are or will be."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from traitlets import Int, Unicode

from etcd_watcher._html import card_html, code
from etcd_watcher.keys import to_bytes
from etcd_watcher.stores.base import KeyPage
from etcd_watcher.subscriber import WatchedKey
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.errands import Errands, explain
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.shown_text import cell

__all__ = ["KeyPicker"]

LONGEST = 4_096
"""Characters of a key that a page may send."""


class KeyPicker(LiveWidget):
    """Chooses what a watcher watches: type the beginning of a key, and take it from the list.

    The chosen ones are the watcher's own keys: what is added or removed in code shows here at
    once, and the reverse. The list is asked for page by page, so it takes no more of a large
    cluster than it shows. A key that is not there yet, or a prefix, is taken as it is typed.

    Parameters
    ----------
    watcher : Watcher
    page : int
        Keys that are listed at a time.
    tags : int
        Chosen keys that are shown; the others are counted.

    Examples
    --------
    >>> KeyPicker(watcher)
    """

    _esm: Any = Unicode(script("key_picker")).tag(sync=True)
    _css: Any = Unicode(styles("key_picker")).tag(sync=True)

    page = Int(20, min=1, max=1000).tag(setting=True)
    tags = Int(100, min=1, max=10_000).tag(setting=True)

    def _start(self) -> None:
        self._errands = Errands(self)
        self._watched: tuple[WatchedKey, ...] | None = None
        self._found: Message = {}
        """What the page was told of the keys that begin as it has typed."""
        self._told: Message = {}

    def _delta(self) -> Message | None:
        message: Message = self._errands.told() | {"found": self._found}
        watched = self.watcher.watched_keys
        if watched is not self._watched:
            self._watched = watched
            message |= self._tags(watched)
        elif message == self._told:
            return None
        self._told = self._errands.told() | {"found": self._found}
        return message

    def _whole(self) -> Message:
        return (
            self._errands.told()
            | {"found": self._found, "api": self.watcher.api}
            | self._tags(self.watcher.watched_keys)
        )

    def _tags(self, watched: tuple[WatchedKey, ...]) -> Message:
        shown = [
            {
                "id": to_bytes(each.key).hex(),
                "text": cell(to_bytes(each.key)),
                "prefix": each.prefix,
                "subscribers": len(each.interests),
            }
            for each in watched[: self.tags]
        ]
        return {"tags": shown, "all": len(watched)}

    def _heard(self, message: Message) -> None:
        # ValueError: half a character, or no hexadecimal digits.
        with contextlib.suppress(ValueError):
            self._carry_out(message)

    def _carry_out(self, message: Message) -> None:
        match message:
            case {"ask": "find", "text": str(text), "number": int(number)}:
                self._look_for(to_bytes(text[:LONGEST]), None, number)
            case {"ask": "more", "id": str(digits), "after": str(after), "number": int(number)}:
                self._look_for(bytes.fromhex(digits), bytes.fromhex(after), number)
            case {"ask": "add", "id": str(digits), "prefix": bool(prefix)}:
                raw = bytes.fromhex(digits)
                self._errands.run(partial(self.watcher.add_key, raw, prefix=prefix))
            case {"ask": "add", "text": str(text), "prefix": bool(prefix)}:
                self._errands.run(partial(self.watcher.add_key, text[:LONGEST], prefix=prefix))
            case {"ask": "remove", "id": str(digits), "prefix": bool(prefix)}:
                raw = bytes.fromhex(digits)
                self._errands.run(partial(self.watcher.remove_key, raw, prefix=prefix))

    def _look_for(self, beginning: bytes, after: bytes | None, number: int) -> None:
        """Ask for a page of keys; of several questions that wait only the last is asked."""

        def take(page: KeyPage) -> None:
            self._found = {
                "number": number,
                "id": beginning.hex(),
                "keys": [
                    {"id": key.hex(), "text": cell(key)}
                    for key in (self._as_written(head.raw_key) for head in page.heads)
                ],
                "adds": after is not None,
                "after": None if page.after is None else page.after.hex(),
                "count": page.count,
                "problem": "",
            }

        def failed(error: Exception) -> None:
            self._found = {"number": number, "keys": [], "after": None, "problem": explain(error)}

        ask = partial(self.watcher.list_keys, beginning, after=after, limit=self.page)
        asker.ask(self, "find", ask, take, failed)

    def _as_written(self, raw: bytes) -> bytes:
        """Give a key as people write it: on v2 `/nokia` is `nokia`."""
        return raw.removeprefix(b"/") if self.watcher.api == "v2" else raw

    @property
    def chosen(self) -> list[str]:
        """The keys and prefixes that are chosen: those that the watcher watches."""
        with renderer.lock:
            return self.watcher.keys

    def _saved_html(self) -> str:
        rows = [
            ("prefix" if each.prefix else "key", code(each.key))
            for each in self.watcher.watched_keys[: self.tags]
        ]
        return card_html("KeyPicker", rows)
