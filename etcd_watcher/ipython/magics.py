"""The magics: thin wrappers over the watcher that was made last."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable
from traceback import format_exception_only
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.ipython.current import current_watcher
from etcd_watcher.ipython.reaction import Reaction
from etcd_watcher.ipython.words import (
    ON_CHANGE_HINT,
    USAGE,
    Misused,
    etcd_words,
    on_change_words,
    understand,
)
from etcd_watcher.keys import to_text
from etcd_watcher.table import one_line
from etcd_watcher.watcher import Watcher

__all__ = ["EtcdMagics"]

WIDTH = 1000
"""Characters of a key that are printed."""


@magics_class
class EtcdMagics(Magics):
    """`%etcd` and `%%on_change`. Their errors are shown without the way that led to them."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._connected: Watcher | None = None
        """The watcher of `%etcd connect`, which nobody else may hold."""
        self._reactions: dict[Hashable, Reaction] = {}
        """The cells that run at changes, each by what makes it the same cell."""

    @line_magic
    def etcd(self, line: str) -> Any:
        """Read, write and watch etcd: `%etcd` alone tells how."""
        return _tersely(self._etcd, line)

    @line_cell_magic
    def on_change(self, line: str, cell: str | None = None) -> None:
        """Run a cell at each change: `%on_change` alone tells which cells do."""
        _tersely(lambda line: self._on_change(line, cell), line)

    def end_all(self) -> None:
        """End all cells that run at changes."""
        for each in self._reactions.values():
            each.end()
        self._reactions.clear()

    # %etcd

    def _etcd(self, line: str) -> Any:
        words = understand(etcd_words(), line)
        do: Callable[[argparse.Namespace], Any] = {
            None: self._help,
            "help": self._help,
            "connect": self._connect,
            "put": lambda words: self._put(words.key, words.value, words.ttl),
            "get": lambda words: current_watcher().get(words.key),
            "del": lambda words: current_watcher().delete(words.key, prefix=words.prefix),
            "delete": lambda words: current_watcher().delete(words.key, prefix=words.prefix),
            "ls": lambda words: self._list(words.beginning, words.limit),
            "watch": lambda words: self._watch(words.keys, prefix=words.prefix),
            "journal": lambda words: self._tell(words.last, stable=words.stable),
        }[words.command]
        return do(words)

    @staticmethod
    def _help(_: argparse.Namespace) -> None:
        print(USAGE)  # noqa: T201 - a magic prints

    def _connect(self, words: argparse.Namespace) -> Watcher:
        before, self._connected = self._connected, Watcher(words.urls or None, api=words.api)
        if before is not None:
            before.close()
        return self._connected

    @staticmethod
    def _put(key: str, value: str, ttl: int | None) -> None:
        current_watcher().put(key, value, ttl=ttl)

    @staticmethod
    def _list(beginning: str, limit: int) -> None:
        page = current_watcher().list_keys(beginning, limit=limit)
        for head in page.heads:
            print(one_line(to_text(head.raw_key), WIDTH))  # noqa: T201
        if page.after is not None:
            print(f"… and more: --limit {10 * limit}")  # noqa: T201

    @staticmethod
    def _tell(last: int, *, stable: bool) -> None:
        print(current_watcher().journal.table(last, stable=stable))  # noqa: T201

    def _watch(self, keys: list[str], *, prefix: bool) -> Any:
        watcher = current_watcher()
        watcher.add_key(keys, prefix=prefix)
        if not hasattr(self.shell, "kernel"):  # a terminal: there is nothing to show it in
            return None
        from etcd_watcher.widgets import EventLog  # noqa: PLC0415 - only there it can be seen

        return EventLog(watcher)

    # %%on_change

    def _on_change(self, line: str, cell: str | None) -> None:
        words = understand(on_change_words(), line)
        if words.stop:
            self._stop(set(words.keys))
        elif cell is None:
            if words.keys:
                raise Misused(f"there is no cell to run; {ON_CHANGE_HINT}")
            for each in self._active():
                print(each)  # noqa: T201
        elif not words.keys:
            raise Misused(f"name a key; {ON_CHANGE_HINT}")
        else:
            self._react(words.keys, cell, prefix=words.prefix)

    def _react(self, keys: list[str], cell: str, *, prefix: bool) -> None:
        shell = self.shell
        assert shell is not None  # noqa: S101 - we were made with one
        try:
            reaction = Reaction(shell, current_watcher(), keys, cell, prefix=prefix)
        except SyntaxError as error:
            lines = "".join(format_exception_only(error))
            raise Misused(f"the cell cannot be run:\n{lines}") from None
        this = _cell_id(shell) or (*keys, prefix)
        earlier = self._reactions.get(this)
        reaction.begin()
        if earlier is not None:
            earlier.end()
        self._reactions[this] = reaction

    def _active(self) -> list[Reaction]:
        self._reactions = {this: each for this, each in self._reactions.items() if each.active}
        return list(self._reactions.values())

    def _stop(self, keys: set[str]) -> None:
        ending = [
            this for this, each in self._reactions.items() if not keys or keys & set(each.keys)
        ]
        if keys and not ending:
            raise Misused(f"no cell runs at changes of {', '.join(sorted(keys))}: %on_change tells")
        for this in ending:
            self._reactions.pop(this).end()


def _cell_id(shell: InteractiveShell) -> str | None:
    """Give what identifies the cell that runs, where the front end tells it."""
    parent = getattr(shell, "parent_header", None)
    metadata = parent.get("metadata", {}) if isinstance(parent, dict) else {}
    found = metadata.get("cellId")
    return found if isinstance(found, str) else None


def _tersely(call: Callable[[str], Any], line: str) -> Any:
    """Call, and have our errors shown in one line.

    IPython's own way for that, `UsageError`, is no error to nbval: a lesson would pass with it.
    """
    try:
        return call(line)
    except (EtcdWatcherError, ValueError, TypeError) as error:
        name = "UsageError" if isinstance(error, Misused) else type(error).__name__
        lines = [f"{name}: {error}"]
        error._render_traceback_ = lambda: lines  # type: ignore[union-attr, method-assign]
        raise
