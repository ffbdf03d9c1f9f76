"""What a failed test's watchers saw, for pytest's report."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from etcd_watcher.interactive import living
from etcd_watcher.table import one_line
from etcd_watcher.watcher import Watcher

__all__ = ["Ends", "ends", "sections"]

ROWS = 50
"""Records of a journal that are shown, the last ones."""

KEYS = 10
"""Watched keys that are named."""

Ends = WeakKeyDictionary[Watcher, int]
"""Where the journal of each watcher ended."""


def ends() -> Ends:
    """Tell where the journals end now."""
    return WeakKeyDictionary({each: each.journal.end for each in living(Watcher)})


def sections(since: Ends) -> list[tuple[str, str]]:
    """Give a title and a text for each watcher that is open or saw something since."""
    return [
        _section(watcher, since.get(watcher, 0))
        for watcher in living(Watcher)
        if watcher.status.state != "closed" or watcher.journal.end > since.get(watcher, 0)
    ]


def _section(watcher: Watcher, since: int) -> tuple[str, str]:
    shown = min(ROWS, watcher.journal.end - since)
    table = watcher.journal.table(shown) if shown else "nothing came"
    keys = ", ".join(f"'{one_line(key)}'" for key in watcher.keys[:KEYS])
    more = f" and {len(watcher.keys) - KEYS} more" if len(watcher.keys) > KEYS else ""
    return f"etcd journal, {watcher!r}: {keys or 'no keys'}{more}", table
