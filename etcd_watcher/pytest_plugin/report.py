"""What a failed test's watchers saw: for pytest's report, and kept as recordings."""

from __future__ import annotations

import re
from pathlib import Path
from weakref import WeakKeyDictionary

from etcd_watcher.interactive import living
from etcd_watcher.listing import is_news, list_records
from etcd_watcher.table import one_line
from etcd_watcher.watcher import Watcher

__all__ = ["Ends", "ends", "sections"]

ROWS = 50
"""Records of a journal that are shown, the last ones."""

KEYS = 10
"""Watched keys that are named."""

NAME = 120
"""Characters of a test's name that go into the name of its recording."""

Ends = WeakKeyDictionary[Watcher, int]
"""Where the journal of each watcher ended."""


def ends() -> Ends:
    """Tell where the journals end now."""
    return WeakKeyDictionary({each: each.journal.end for each in living(Watcher)})


def sections(since: Ends, test: str, recordings: Path | None) -> list[tuple[str, str]]:
    """Give a title and a text for each watcher that is open or saw something since.

    Parameters
    ----------
    since
        Where the journals ended when the test began.
    test : str
        The test's name.
    recordings : path, optional
        Where to keep a recording of each.
    """
    found: list[tuple[str, str]] = []
    for watcher in living(Watcher):
        began = since.get(watcher, 0)
        if watcher.status.state == "closed" and watcher.journal.end == began:
            continue
        title, text = _section(watcher, began)
        if recordings is not None:
            text += "\n" + _keep(watcher, recordings / _file_name(test, len(found)))
        found.append((title, text))
    return found


def _section(watcher: Watcher, began: int) -> tuple[str, str]:
    records = [each for each in watcher.journal.read(began)[0] if is_news(each)]
    table = list_records(records, ROWS, stable=False) if records else "nothing came"
    keys = ", ".join(f"'{one_line(key)}'" for key in watcher.keys[:KEYS])
    more = f" and {len(watcher.keys) - KEYS} more" if len(watcher.keys) > KEYS else ""
    return f"etcd journal, {watcher!r}: {keys or 'no keys'}{more}", table


def _file_name(test: str, number: int) -> str:
    name = re.sub(r"[^\w.=\[\]-]+", "-", test)[-NAME:].strip("-.")
    return f"{name}-{number + 1}.jsonl" if number else f"{name}.jsonl"


def _keep(watcher: Watcher, path: Path) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        watcher.journal.save(path)
    except OSError as error:
        return f"no recording was kept: {error}"
    return f"kept in {path}"
