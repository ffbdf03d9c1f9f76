"""Text for people: cells that stay on one line and cannot play tricks on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["one_line", "plural", "text_table"]


def one_line(text: str, width: int = 60) -> str:
    r"""Give `text` on one line, at most `width` characters, unprintable ones escaped.

    Keys and values are untrusted: a newline, a terminal's escape sequence, a right-to-left mark or
    a byte that is not UTF-8 shows as what it is (`\n`, `\x1b`, `\u202e`, `\udcff`).
    """
    cut = text[: width + 1]
    shown = "".join(char if char.isprintable() else _escape(char) for char in cut)
    return shown if len(shown) <= width and len(text) <= width else shown[: width - 1] + "…"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def plural(count: int, noun: str) -> str:
    """Give "1 event", "2 events", "1,000 events"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def text_table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lay out rows under a head, columns two spaces apart; empty columns are left out."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    kept = [i for i in range(len(head)) if any(row[i] for row in cells)] or range(len(head))
    lines = [[head[i] for i in kept], *([row[i] for i in kept] for row in cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
