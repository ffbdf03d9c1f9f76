r"""Values as text that a person can edit, without a byte changed that nobody has touched.

Most values are text and are edited as they are. A page's text field keeps no carriage return, and
nobody sees a NUL or a right-to-left mark in it: a value that holds such, or is not UTF-8, is edited
with escapes (`\r`, `\x00`, `\u202e`, and `\\` for a backslash).
"""

from __future__ import annotations

import re

__all__ = ["from_text", "needs_escapes", "to_text_field"]

BEYOND_BASIC = 0x10000
"""The first character whose number takes more than four digits."""

NAMED = {"\\": "\\\\", "\r": "\\r"}
PART = re.compile(
    r"\\(?:(?P<named>[\\rnt])|x(?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>[0-9a-fA-F]{8})|(?P<wrong>.?))",
    re.DOTALL,
)


def needs_escapes(raw: bytes) -> bool:
    """Tell whether a value can be edited with escapes alone."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return True
    return not (text.isprintable() or all(each.isprintable() or each in "\n\t" for each in text))


def to_text_field(raw: bytes, *, escapes: bool) -> str:
    """Give a value as it is edited."""
    text = raw.decode("utf-8", "surrogateescape")
    return "".join(map(_escaped, text)) if escapes else text


def _escaped(char: str) -> str:
    if char in NAMED:
        return NAMED[char]
    if char.isprintable() or char in "\n\t":
        return char
    try:
        raw = char.encode()
    except UnicodeEncodeError:  # a byte that is not UTF-8
        raw = char.encode("utf-8", "surrogateescape")
    if len(raw) == 1:
        return f"\\x{raw[0]:02x}"
    return f"\\u{ord(char):04x}" if ord(char) < BEYOND_BASIC else f"\\U{ord(char):08x}"


def from_text(text: str, *, escapes: bool) -> bytes:
    r"""Give the value that an edited text means.

    Raises
    ------
    ValueError
        For an escape that means nothing, such as `\q`.
    """
    if not escapes:
        return text.encode()

    def meant(match: re.Match[str]) -> bytes:
        if match["named"]:
            return {"\\": b"\\", "r": b"\r", "n": b"\n", "t": b"\t"}[match["named"]]
        if match["byte"]:
            return bytes([int(match["byte"], 16)])
        if match["short"] or match["long"]:
            try:
                return chr(int(match["short"] or match["long"], 16)).encode()
            except (ValueError, OverflowError):  # beyond Unicode, or half a character
                raise ValueError(f"{match[0]} is no character") from None
        raise ValueError(
            f"{match[0]!r} is no escape: write \\\\ for a backslash, or \\r, \\n, \\t, \\x00, "
            "\\u0000, \\U00000000"
        )

    parts, at = [], 0
    for match in PART.finditer(text):
        parts += [text[at : match.start()].encode(), meant(match)]
        at = match.end()
    return b"".join([*parts, text[at:].encode()])
