"""What a slider's page gets of the past: one change in a line, keys and deletions as rows."""

from __future__ import annotations

from etcd_watcher.stores.base import KeyValue
from etcd_watcher.widgets.base import Message
from etcd_watcher.widgets.revisions import Deletion, Step
from etcd_watcher.widgets.shown_text import cell

__all__ = ["deletion_row", "key_row", "step_line"]

WIDTH = 120
"""Characters of a key and of a value."""


def step_line(step: Step) -> Message:
    """Say what changed at a revision: the first of its keys, and how many there are."""
    raw, kind = next(iter(step.kinds.items()))
    return {
        "revision": step.revision,
        "came": step.came,
        "kind": kind,
        "key": cell(raw, WIDTH),
        "of": len(step.kinds),
    }


def key_row(entry: KeyValue) -> list[str]:
    """Give a key and its value."""
    return [cell(entry.raw_key, WIDTH), cell(entry.raw_value, WIDTH)]


def deletion_row(deletion: Deletion) -> Message:
    """Give a key that is gone; the page names it by `id` when it asks for something."""
    return {
        "id": deletion.raw_key.hex(),
        "key": cell(deletion.raw_key, WIDTH),
        "revision": deletion.revision,
        "kind": deletion.kind,
        "value": None if deletion.value is None else cell(deletion.value, WIDTH),
    }
