"""What a violation says: one line, the same at each run, whatever keys and values hold."""

from __future__ import annotations

import pytest

from etcd_watcher.testing import ALL, History, Transaction, Violation, assert_valid, check, put

NASTY = b"\x1b[31m\n\xff\xe2\x80\xae"


def test_its_line_is_its_repr_too() -> None:
    violation = Violation("unique", "it once", "it twice", 7, b"a", 3)
    assert (
        str(violation) == "unique: revision 7, key 'a', record 3: expected it once; came it twice"
    )
    assert repr(violation) == f"Violation({violation})"
    assert violation == Violation("unique", "it once", "it twice", 7, b"a", 3)


def test_untrusted_keys_and_values_are_escaped() -> None:
    history = History([Transaction(2, (put(NASTY, NASTY), put("b", "")))])
    first, second = history.events()
    lies = [
        [first._replace(raw_value=NASTY + b"!"), second],
        [first._replace(raw_prev_value=NASTY), second],
        [second],
        [first, first, second],
        [second, first],
        [first._replace(synthetic=True), second],
        [first._replace(raw_key=NASTY + b"!"), second],
    ]
    for lie in lies:
        lines = list(map(str, check(lie, history, scope=ALL, since=1, until=2)))
        assert any(r"\x1b[31m\n\udcff\u202e" in line for line in lines)
        assert all(line.isprintable() for line in lines)


def test_long_values_are_cut_and_told_apart() -> None:
    long = b"x" * 1_000_000
    history = History([Transaction(2, (put("a", long),))])
    (event,) = history.events()
    lie = event._replace(raw_value=long[:-1] + b"y")
    (violation,) = check([lie], history, scope=ALL, since=1)
    shown = f"PUT '{'x' * 59}…' (1,000,000 bytes)"
    assert violation.expected == shown
    assert violation.came == f"{shown}, different from byte 999,999 on"


@pytest.mark.parametrize("length", [59, 60, 61, 240, 241, 244, 245])
def test_a_value_is_cut_where_it_is_long_and_only_there(length: int) -> None:
    history = History([Transaction(2, (put("a", "é" * length),))])
    (violation,) = check([], history, scope=ALL, since=1, until=2)
    whole = f"PUT '{'é' * length}'"
    cut = f"PUT '{'é' * 59}…' ({2 * length} bytes)"
    assert violation.expected == (whole if length <= 60 else cut)


def test_a_valid_stream_passes() -> None:
    history = History([Transaction(2, (put("a", ""),))])
    assert_valid(history.events(), history, scope=ALL, since=1, until=2)


def test_an_invalid_one_fails_with_the_first_few_and_the_count() -> None:
    history = History([Transaction(revision, (put("a", ""),)) for revision in range(2, 1203)])
    first, *_, last = history.events()
    stream = [first._replace(raw_value=b"!"), last]
    with pytest.raises(AssertionError) as failure:
        assert_valid(stream, history, scope=ALL, since=1, show=2)
    assert str(failure.value).splitlines() == [
        "1,200 violations (reliable 1,199, genuine 1):",
        "  reliable: revision 3, key 'a': expected PUT ''; came nothing",
        "  reliable: revision 4, key 'a': expected PUT ''; came nothing",
        "  … and 1,198 more",
    ]
