"""Completing what is written behind the magics: commands, and keys that are known already.

Nothing is asked of a server: a person who types waits for it.
"""

from __future__ import annotations

import shlex
from typing import Protocol

from etcd_watcher.event import Event
from etcd_watcher.ipython.current import open_watchers

__all__ = ["complete", "known_keys"]

COMMANDS = ("connect", "del", "get", "help", "journal", "ls", "put", "watch")
WITH_KEYS = ("del", "delete", "get", "ls", "put", "watch")
OPTIONS = {
    "connect": ("--api",),
    "del": ("--prefix",),
    "delete": ("--prefix",),
    "journal": ("--last", "--stable"),
    "ls": ("--limit",),
    "put": ("--ttl",),
    "watch": ("--prefix",),
    "%on_change": ("--stop",),
    "%%on_change": ("--prefix",),
}

MOST = 500
"""Keys that are offered."""

RECENT = 5000
"""Records of the journal in which keys are looked for, the last ones."""


class Typed(Protocol):
    """What IPython tells of the line that is being typed."""

    symbol: str
    """What is being completed: the end of the word, behind the last of IPython's delimiters."""
    text_until_cursor: str


def complete(_: object, typed: Typed) -> list[str]:
    """Give the ways to go on, for IPython's hook `complete_command`."""
    before, _, word = typed.text_until_cursor.rpartition(" ")
    words = before.split()
    magic = words[0] if words else ""
    if magic == "%etcd":
        choices = COMMANDS if len(words) == 1 else _behind(words[1], words[2:], word)
    else:
        choices = _behind(magic, words[1:], word)
    # IPython takes the choices for completions of the symbol, not of the word.
    ahead = len(word) - len(typed.symbol)
    return [each[ahead:] for each in choices if each.startswith(word)]


def _behind(command: str, given: list[str], word: str) -> tuple[str, ...]:
    options = OPTIONS.get(command, ())
    if word.startswith("-"):
        return options
    takes_keys = command.endswith("on_change") or (
        command in WITH_KEYS and (command == "watch" or not given)
    )
    return (*known_keys(), *options) if takes_keys else options


def known_keys() -> tuple[str, ...]:
    """Give the keys that a watcher was told of or has told of, as they are written in a magic."""
    found: dict[str, None] = {}
    for watcher in reversed(open_watchers()):
        found |= dict.fromkeys(watcher.keys)
        journal = watcher.journal
        records, _ = journal.read(max(0, journal.end - RECENT))
        found |= {each.key: None for each in reversed(records) if isinstance(each, Event)}
    return tuple(shlex.quote(key) for key in list(found)[:MOST] if key.isprintable())
