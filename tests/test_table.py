"""Text for people: on one line, and free of tricks."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.keys import to_text
from etcd_watcher.table import one_line, plural, text_table

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)

any_text = st.text(st.characters(), max_size=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ü, 漢字, 😀", "plain text, ü, 漢字, 😀"),
        ("two\nlines", r"two\nlines"),
        ("back\rspace\x08", r"back\rspace\x08"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("line\u2028separator", r"line\u2028separator"),
        ("nul\x00", r"nul\x00"),
        ("tab\t", r"tab\t"),
        (to_text(b"\xff\xfe"), r"\udcff\udcfe"),
    ],
)
def test_what_could_play_tricks_shows_as_what_it_is(text: str, shown: str) -> None:
    assert one_line(text) == shown


@patient
@given(any_text, st.integers(1, 80))
def test_it_is_one_printable_line_within_its_width(text: str, width: int) -> None:
    shown = one_line(text, width)
    assert len(shown) <= width
    assert shown.isprintable()
    shown.encode("utf-8")  # so a terminal can take it: no lone surrogate is left


@patient
@given(st.text(st.characters(categories=["L", "N"]), max_size=60))
def test_what_fits_is_shown_whole(text: str) -> None:
    assert one_line(text, 60) == text


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert one_line("x" * 60) == "x" * 60
    assert one_line("x" * 61) == "x" * 59 + "…"
    assert one_line("\n" * 60) == (r"\n" * 30)[:59] + "…"


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1000, "1,000 events")]
)
def test_counts_agree_with_their_noun(count: int, shown: str) -> None:
    assert plural(count, "event") == shown


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    rows = [("2", "", "short"), ("10", "", "a longer key")]
    assert text_table(("revision", "lease", "key"), rows) == [
        "revision  key",
        "2         short",
        "10        a longer key",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert text_table(("revision", "key"), []) == ["revision  key"]


def test_a_table_whose_cells_are_all_empty_keeps_its_columns() -> None:
    assert text_table(("a", "b"), [("", "")]) == ["a  b", ""]


@patient
@given(st.lists(st.tuples(any_text, any_text), max_size=5))
def test_no_cell_breaks_its_line(rows: list[tuple[str, str]]) -> None:
    lines = text_table(("one", "two"), rows)
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)
