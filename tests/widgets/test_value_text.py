"""Any value survives being shown for editing, and what is edited is what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.widgets.value_text import from_text, needs_escapes, to_text_field


@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_value_comes_back_as_it_was(raw: bytes) -> None:
    escapes = needs_escapes(raw)
    shown = to_text_field(raw, escapes=escapes)
    shown.encode()  # a page can be sent it
    assert all(each.isprintable() or each in "\n\t" for each in shown)
    assert from_text(shown, escapes=escapes) == raw


@given(raw=st.binary(max_size=60))
def test_any_value_can_be_edited_with_escapes(raw: bytes) -> None:
    assert from_text(to_text_field(raw, escapes=True), escapes=True) == raw


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a\\n\n\tb", "a\\n\n\tb"),
        ('{"é": "日本"}'.encode(), '{"é": "日本"}'),
        (b"a\\\r\n", "a\\\\\\r\n"),
        (b"\xff\0", r"\xff\x00"),
        ("\u202e\x85😀\U000e0001".encode(), r"\u202e\u0085😀\U000e0001"),
    ],
)
def test_a_value_is_shown_as_text_where_that_does_and_else_with_escapes(
    raw: bytes, shown: str
) -> None:
    escapes = needs_escapes(raw)
    assert to_text_field(raw, escapes=escapes) == shown
    assert escapes == (shown.encode() != raw)


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        (r"\n\t\r\\", b"\n\t\r\\"),
        (r"\x41\xff", b"A\xff"),
        (r"\u00e9\U0001F600", "é😀".encode()),
        (r"\\x41", rb"\x41"),
    ],
)
def test_what_escapes_mean(text: str, raw: bytes) -> None:
    assert from_text(text, escapes=True) == raw
    assert from_text(text, escapes=False) == text.encode()


@pytest.mark.parametrize("text", ["\\q", "\\", "\\x4", "\\u12", r"\ud800", r"\U00110000", "\\\n"])
def test_what_is_no_escape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no escape|no character"):
        from_text(text, escapes=True)
