"""Untrusted bytes as text for a page."""

from __future__ import annotations

import pytest

from etcd_watcher.widgets.shown_text import block, cell, escaped_text, pretty, python_literal


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        ("café 日本".encode(), "café 日本"),
        (b"two\nlines\t.", r"two\nlines\t."),
        (b"\x1b[31m", r"\x1b[31m"),
        ("\u202eabc".encode(), r"\u202eabc"),
        (b"a\0b", r"a\x00b"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"", ""),
    ],
)
def test_a_cell_is_one_line_that_does_nothing(raw: bytes, shown: str) -> None:
    assert cell(raw) == shown


def test_a_cell_is_cut_between_characters() -> None:
    assert cell(b"x" * 10**6, 10) == "x" * 9 + "…"
    assert cell("日本".encode() * 1000, 10) == "日本" * 4 + "日…"
    assert cell(b"x" * 10, 10) == "x" * 10
    assert cell(b"\0" * 100, 10) == r"\x00\x00\…"


def test_a_block_keeps_lines_and_says_when_there_is_more() -> None:
    assert block(b"a\n\tb\x07", 100) == ("a\n\tb\\x07", True)
    text, whole = block(b"x" * 1000, 100)
    assert not whole
    assert set(text) == {"x"}
    assert 80 < len(text) <= 100
    text, whole = block("日".encode() * 100, 100)
    assert set(text) == {"日"}, "no half of a character"


def test_json_gets_a_line_for_each_part_and_other_text_none() -> None:
    assert pretty(b'{"a": [1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert pretty('["é\\u202e"]'.encode()) == '[\n  "é\\u202e"\n]'
    for raw in [b"12", b'"text"', b"{not json", b'{"a": \xff}', b"", b"[" * 100_000]:
        assert pretty(raw) is None


def test_a_python_literal_gives_the_bytes_back() -> None:
    for raw in [b"x", "é'\"\n".encode(), b"\xff\0", b""]:
        given = eval(python_literal(raw))  # noqa: S307 - our own
        assert (given if isinstance(given, bytes) else given.encode()) == raw


def test_a_setting_for_a_page_has_no_lone_surrogates() -> None:
    assert escaped_text("a\udcff\u202e") == "a\\xff\u202e"
    assert escaped_text("a\ud800\u202e") == "a\\ud800\u202e"
