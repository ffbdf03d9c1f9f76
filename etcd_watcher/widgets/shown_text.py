"""Untrusted bytes as text for a page: every character shows as what it is, and does nothing."""

from __future__ import annotations

import json

from etcd_watcher.table import one_line

__all__ = ["block", "cell", "escaped_text", "pretty", "python_literal", "words"]


def cell(raw: bytes, width: int = 200) -> str:
    r"""Give bytes on one line of at most `width` characters: `\n`, `\x1b`, `\u202e`, `\xff`.

    Bytes that are not UTF-8 are escaped, since a page gets JSON, which can hold no lone surrogate.
    """
    cut = raw[: 4 * width + 4]
    text = cut.decode("utf-8", "backslashreplace")
    if len(cut) < len(raw):
        text = text[:width] + "…"
    if len(text) <= width and text.isprintable():
        return text
    return one_line(text, width)


def words(text: str, width: int = 200) -> str:
    """Give somebody's words on one line, as `cell` does a key: a stranger's recording has any."""
    return one_line(text, width)


def block(raw: bytes, limit: int) -> tuple[str, bool]:
    r"""Give the first `limit` bytes with their lines and tabs, and whether that is all.

    All else that does not print is escaped as in `cell`.
    """
    text = raw[:limit].decode("utf-8", "backslashreplace")
    if len(raw) > limit:  # perhaps in the middle of a character
        text = text[: max(0, len(text) - 12)]
    return printable(text), len(raw) <= limit


def printable(text: str) -> str:
    """Escape what does not print, but lines and tabs."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escape(each) for each in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def pretty(raw: bytes) -> str | None:
    """Give JSON with a line for each part; None for what is no JSON object or array."""
    if raw[:1] not in (b"{", b"[") and raw.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return printable(json.dumps(json.loads(raw), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):  # ValueError: not JSON, or not UTF-8
        return None


def python_literal(raw: bytes) -> str:
    """Give a Python literal of the bytes: text where they are UTF-8."""
    try:
        return repr(raw.decode())
    except UnicodeDecodeError:
        return repr(raw)


def escaped_text(text: str, _: object = None) -> str:
    """Give a setting's text for the page: JSON can hold no lone surrogate."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # one that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()
