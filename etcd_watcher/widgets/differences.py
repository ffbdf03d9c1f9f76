"""What has changed from one value to the next, line by line."""

from __future__ import annotations

from difflib import SequenceMatcher

from etcd_watcher.widgets.shown_text import block, pretty

__all__ = ["Line", "differences"]

Line = tuple[str, str]
"""What became of a line ("same", "gone", "new", or "skipped" for several) and its text."""

MOST_BYTES = 200_000
"""Of each value, for a comparison: difflib takes seconds for more."""

MOST_LINES = 2_000
AROUND = 3
"""Lines that stay the same, shown before and after each change."""

WIDEST = 2_000
"""Characters of a line."""


def differences(before: bytes, after: bytes) -> list[Line] | None:
    """Compare two values line by line, JSON with a line for each of its parts.

    Returns
    -------
    list of Line or None
        All that changed, with a few lines around it; empty where nothing did. None for values that
        are too large to compare while somebody waits.
    """
    if before == after:
        return []
    if len(before) > MOST_BYTES or len(after) > MOST_BYTES:
        return None
    old, new = pretty(before), pretty(after)
    if old is None or new is None or old == new:
        old, new = block(before, MOST_BYTES)[0], block(after, MOST_BYTES)[0]
    a, b = old.split("\n"), new.split("\n")
    if len(a) > MOST_LINES or len(b) > MOST_LINES:
        return None
    lines: list[Line] = []
    told = 0  # lines of the old value
    for group in SequenceMatcher(None, a, b).get_grouped_opcodes(AROUND):
        lines += _skipped(group[0][1] - told)
        for what, a_from, a_to, b_from, b_to in group:
            if what == "equal":
                lines += [("same", _cut(each)) for each in a[a_from:a_to]]
            else:
                lines += [("gone", _cut(each)) for each in a[a_from:a_to]]
                lines += [("new", _cut(each)) for each in b[b_from:b_to]]
        told = group[-1][2]
    return lines + _skipped(len(a) - told)


def _skipped(count: int) -> list[Line]:
    return [("skipped", str(count))] if count else []


def _cut(line: str) -> str:
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"
