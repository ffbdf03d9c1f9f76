"""What a person reads where it does not come."""

from __future__ import annotations

from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.errors import EtcdWatcherError, ExpectationFailed
from etcd_watcher.expect import any_order, deleted, expired, put
from tests.expect.failing import failure
from tests.fake_store import PATIENCE, FakeStore

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]


def test_another_value(store: FakeStore, watcher: Watcher) -> None:
    for value in ("1", "3", None):
        store.commit(("nokia", value))
    assert failure(watcher, put("nokia", "1"), put("nokia", "2"), deleted("nokia")) == [
        "step 2 of 3 did not come within 0.02 s: put 'nokia' = '2'",
        "",
        "    expected               came",
        "    1  put 'nokia' = '1'   put 'nokia' = '1'  (revision 2)",
        " >  2  put 'nokia' = '2'   put 'nokia' = '3'  (revision 3)",
        "    3  deleted 'nokia'",
        "                           deleted 'nokia'  (revision 4)",
        "",
        "They part at revision 3: its value differs:",
        "  - '2'",
        "  + '3'",
    ]


def test_another_kind_of_change(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    store.commit(("a", None))
    assert failure(watcher, put("a"), expired("a"))[-2:] == [
        "",
        "They part at revision 3: it was to be expired, and was deleted",
    ]


def test_the_event_that_is_nearest_is_the_one_that_is_explained(
    store: FakeStore, watcher: Watcher
) -> None:
    for value in (None, "wrong", None):
        store.commit(("a", value))
    lines = failure(watcher, put("a", "right"))
    assert lines[3].strip() == "deleted 'a'  (revision 2)"
    assert lines[4] == " >  1  put 'a' = 'right'   put 'a' = 'wrong'  (revision 3)"
    assert "They part at revision 3: its value differs:" in lines


def test_nothing_came(watcher: Watcher) -> None:
    assert failure(watcher, put("job", "done")) == [
        "what was expected did not come within 0.02 s: put 'job' = 'done'",
        "",
        "    expected                came",
        " >  1  put 'job' = 'done'",
    ]


def test_some_of_several_in_any_order_are_missing(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    store.commit(("b", "2"))
    assert failure(watcher, any_order(put("a"), put("b", "3"), deleted("c")), put("d")) == [
        "step 1 of 2 did not come within 0.02 s: 2 of 3 changes in any order missing",
        "",
        "    expected           came",
        "    1* put 'a'         put 'a' = '1'  (revision 2)",
        " >  1* put 'b' = '3'   put 'b' = '2'  (revision 3)",
        " >  1* deleted 'c'",
        "    2  put 'd'",
        "",
        "They part at revision 3: its value differs:",
        "  - '3'",
        "  + '2'",
    ]


def test_it_came_too_early(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    store.commit(("b", "1"))
    assert failure(watcher, put("b"), put("a")) == [
        "step 2 of 2 did not come within 0.02 s: put 'a'",
        "",
        "    expected     came",
        "                 put 'a' = '1'  (revision 2)",
        "    1  put 'b'   put 'b' = '1'  (revision 3)",
        " >  2  put 'a'",
        "",
        "It came too early: put 'a' = '1'  (revision 2)",
    ]


def test_something_else_came_in_between(store: FakeStore, watcher: Watcher) -> None:
    for change in [("a", "1"), ("x", "y"), ("a", None)]:
        store.commit(change)
    assert failure(watcher, put("a"), deleted("a"), nothing_else=True) == [
        "step 2 of 2 was to be deleted 'a', and something else came",
        "",
        "    expected         came",
        "    1  put 'a'       put 'a' = '1'  (revision 2)",
        " >  2  deleted 'a'   put 'x' = 'y'  (revision 3)",
        "",
        "They part at revision 3: it is of another key than deleted 'a'",
    ]


def test_something_else_came_afterwards(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    store.commit(("x", "y"))
    assert failure(watcher, put("a"), nothing_else=True) == [
        "nothing else was to come after the one step, and this did: put 'x' = 'y'  (revision 3)",
        "",
        "    expected     came",
        "    1  put 'a'   put 'a' = '1'  (revision 2)",
        " >               put 'x' = 'y'  (revision 3)",
    ]


def test_something_came_where_nothing_was_to(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("x", "y"))
    assert failure(watcher, nothing_else=True) == [
        "nothing was to come, and this did: put 'x' = 'y'  (revision 2)",
        "",
        "    expected   came",
        " >             put 'x' = 'y'  (revision 2)",
    ]


def test_a_condition_does_not_hold(store: FakeStore, watcher: Watcher) -> None:
    def is_large(value: str) -> bool:
        return float(value) > 10

    store.commit(("load", "3"))
    lines = failure(watcher, put("load", is_large))
    assert lines[0] == "what was expected did not come within 0.02 s: put 'load' = is_large"
    assert lines[-1] == "They part at revision 2: its value does not satisfy is_large"
    lines = failure(watcher, put("load", where=lambda event: event.lease))
    assert lines[0].endswith(": put 'load' where <lambda>")
    assert lines[-1] == "They part at revision 2: it does not satisfy <lambda>"


def test_a_condition_that_raises_is_shown_and_not_raised(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("load", "much\n"))
    lines = failure(watcher, put("load", float))
    assert lines[-1] == (
        "They part at revision 2: its value made float raise "
        r"ValueError: could not convert string to float: 'much\n'"
    )


def test_of_long_text_the_lines_that_differ_are_shown(store: FakeStore, watcher: Watcher) -> None:
    wanted = [f"line {number}" for number in range(1000)]
    came = [*wanted]
    came[700] = "line 7OO"
    store.commit(("file", "\n".join(came)))
    lines = failure(watcher, put("file", "\n".join(wanted)))
    difference = lines[lines.index("They part at revision 2: its value differs:") + 1 :]
    assert difference[0] == "    …"
    assert difference[8:12] == ["  - line 700", "  ?       ^^", "  + line 7OO", "  ?       ^^"]
    assert len(difference) < 40


def test_of_a_long_line_the_part_that_differs_is_shown(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("blob", "x" * 500_000 + "y" + "z" * 500_000))
    lines = failure(watcher, put("blob", "x" * 500_000 + "w" + "z" * 500_000))
    assert lines[-4] == f"  - '…{'x' * 25}w{'z' * 74}'"
    assert max(map(len, lines)) < 200


def test_what_is_not_printable_is_escaped(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("\x1b[31mkey", b"\xff\x1b"))
    text = "\n".join(failure(watcher, put("\x1b[31mkey", "\n\x1b")))
    assert text.replace("\n", "").isprintable()


def test_of_much_that_came_a_part_is_shown(store: FakeStore, watcher: Watcher) -> None:
    for number in range(100):
        store.commit(("a", f"{number}"))
    lines = failure(watcher, deleted("a"))
    assert lines[-3].lstrip() == "… 87 more events"
    assert len(lines) < 25


def test_what_was_expected_before_does_not_count_again(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    watcher.expect(put("a"))
    assert failure(watcher, put("a"))[-1] == (
        "What was expected of these keys before does not count again, without since="
    )


def test_what_the_journal_has_forgotten_is_said(store: FakeStore) -> None:
    with Watcher(store, request_timeout=PATIENCE, journal_events=2) as watcher:
        watcher.add_key("a")
        for value in "12345":
            store.commit(("a", value))
        assert failure(watcher, put("a", "1"))[1] == (
            "Before what is shown the journal has forgotten 3 records."
        )
        assert failure(watcher, put("a", "1"), since=3)[1] == (
            "since=3, but the journal has forgotten what came up to revision 4. "
            "Watcher.history() tells what came before."
        )


def test_a_failure_with_since_says_nothing_of_what_was_expected_before(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    watcher.expect(put("a"))
    assert "does not count again" not in "\n".join(failure(watcher, put("a"), since=3))


def test_a_failure_says_where_the_journal_began_later_than_since(
    etcd: LocalEtcd, fresh_key: str
) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        first = watcher.put(fresh_key, "1")
        watcher.add_key(fresh_key)
        with pytest.raises(ExpectationFailed) as failed:
            watcher.expect(put(fresh_key), since=first, within=0.1)
        assert (
            str(failed.value)
            .splitlines()[1]
            .startswith(
                f"since={first}, but '{fresh_key}' has been watched only from revision {first + 1} on."
            )
        )
        second = watcher.put(fresh_key, "2")
        with pytest.raises(ExpectationFailed) as failed:
            watcher.expect(deleted(fresh_key), since=second, within=0.1)
        assert "watched only" not in str(failed.value)


# In pytest.


def test_it_is_an_assertion_and_an_error_of_ours() -> None:
    assert issubclass(ExpectationFailed, AssertionError)
    assert issubclass(ExpectationFailed, EtcdWatcherError)


def test_pytest_shows_the_line_that_expects_and_the_difference(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others take seconds to load
    pytester.makepyfile(
        f"""
        import asyncio, sys
        sys.path.insert(0, {str(ROOT)!r})

        from etcd_watcher import Watcher
        from etcd_watcher.expect import put
        from tests.fake_store import FakeStore

        def test_it():
            store = FakeStore()
            with Watcher(store) as watcher:
                watcher.add_key("a")
                store.commit(("a", "1"))
                watcher.expect(put("a", "2"), within=0.02)

        def test_that():
            with Watcher(FakeStore()) as watcher:
                watcher.wait_for("a", timeout=0.02)

        async def wait():
            with Watcher(FakeStore()) as watcher:
                await watcher.wait_for_async("a", timeout=0.02)

        def test_on_a_loop():
            asyncio.run(wait())
        """
    )
    result = pytester.runpytest_subprocess("-p", "etcd_watcher", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(
        [
            '>           watcher.expect(put("a", "2"), within=0.02)',
            "E           *ExpectationFailed: what was expected did not come within 0.02 s: *",
            "E *     expected           came",
            "E *  >  1  put 'a' = '2'   put 'a' = '1'  (revision 2)",
            "E *   - '2'",
            "E *   + '1'",
            "*.py:13: ExpectationFailed",
            '>           watcher.wait_for("a", timeout=0.02)',
            "E           *TimedOut: after 0.02 s there was no event of 'a' at all",
            "*.py:17: TimedOut",
            '>           await watcher.wait_for_async("a", timeout=0.02)',
        ]
    )
    assert "waiting.py" not in result.stdout.str()
    assert "witness.py" not in result.stdout.str()
    assert "background.py" not in result.stdout.str()
