"""What has changed from one value to the next."""

from __future__ import annotations

import json

from etcd_watcher.widgets.differences import Line, differences


def told(before: bytes, after: bytes) -> list[Line]:
    lines = differences(before, after)
    assert lines is not None
    return lines


def test_nothing_changed() -> None:
    assert told(b"same", b"same") == []


def test_a_line_that_changed_is_gone_and_new() -> None:
    assert told(b"a\nb\nc", b"a\nB\nc") == [
        ("same", "a"),
        ("gone", "b"),
        ("new", "B"),
        ("same", "c"),
    ]


def test_json_is_compared_part_by_part() -> None:
    lines = told(b'{"a": 1, "b": 2}', b'{"a":1,"b":3,"c":4}')
    assert [line for line in lines if line[0] != "same"] == [
        ("gone", '  "b": 2'),
        ("new", '  "b": 3,'),
        ("new", '  "c": 4'),
    ]


def test_json_that_was_only_written_differently_shows_how() -> None:
    assert [what for what, _ in told(b'{"a": 1}', b'{"a":1}')] == ["gone", "new"]


def test_long_stretches_that_stay_are_skipped_and_counted() -> None:
    before = [str(number) for number in range(100)]
    after = [*before[:50], "new", *before[50:]]
    lines = told("\n".join(before).encode(), "\n".join(after).encode())
    assert lines[0] == ("skipped", "47")
    assert lines[-1] == ("skipped", "47")
    assert ("new", "new") in lines
    assert len(lines) == 9


def test_from_what_is_told_both_values_can_be_made() -> None:
    before = b"\n".join(b"%d" % (number % 3) for number in range(12))
    after = b"\n".join(b"%d" % (number % 2) for number in range(9))
    lines = told(before, after)
    assert not any(what == "skipped" for what, _ in lines)
    assert "\n".join(text for what, text in lines if what != "new").encode() == before
    assert "\n".join(text for what, text in lines if what != "gone").encode() == after


def test_what_would_take_long_is_not_compared() -> None:
    assert differences(b"x" * 10**6, b"y" * 10**6) is None
    assert differences(b"\n" * 5000, b"\n" * 5001) is None


def test_a_long_line_is_cut() -> None:
    lines = told(b"x" * 10_000, b"y" * 10_000)
    assert [len(text) for _, text in lines] == [2000, 2000]


def test_untrusted_text_does_nothing() -> None:
    lines = told(b"\x1b[0m", json.dumps("\u202e").encode() + b"\xff")
    assert all(text.isprintable() for _, text in lines)
