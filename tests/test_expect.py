"""Expectations: what is expected and comes, and what a person reads where it does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_watcher import Event, EventType, LocalEtcd, Watcher
from etcd_watcher.errors import ConnectionFailed, EtcdWatcherError, ExpectationFailed, WatcherClosed
from etcd_watcher.expect import AnyOrder, Change, any_order, changed, deleted, expired, put
from tests.fake_store import PATIENCE, FakeStore, event

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]

SOON = 0.02
"""Seconds to wait for what does not come."""


@pytest.fixture
def watcher(watcher: Watcher) -> Watcher:
    watcher.add_key("", prefix=True)
    return watcher


def expire(store: FakeStore, key: str) -> None:
    with store.changed:
        store.now += 1
        store.transactions.append([event(store.now, key, None)._replace(expired=True)])
        store.changed.notify_all()


def failure(
    watcher: Watcher,
    *steps: Change | AnyOrder,
    nothing_else: bool | str = False,
    since: int | None = None,
) -> list[str]:
    """Give the lines of the failure of an expectation."""
    watcher.sync()
    with pytest.raises(ExpectationFailed) as caught:
        watcher.expect(*steps, within=SOON, nothing_else=nothing_else, since=since)
    return str(caught.value).splitlines()


def revisions(events: list[Event]) -> list[int]:
    return [each.revision for each in events]


# What comes as expected.


def test_it_does_not_matter_whether_it_comes_before_or_after_the_call(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    watcher.sync()
    assert revisions(watcher.expect(put("a", "1"))) == [2]
    threading.Timer(0.01, lambda: store.commit(("a", "2"))).start()
    assert revisions(watcher.expect(put("a", "2"))) == [3]


def test_steps_come_in_their_order_with_others_in_between(
    store: FakeStore, watcher: Watcher
) -> None:
    for change in [("a", "1"), ("b", "1"), ("a", None), ("c", "1"), ("b", None)]:
        store.commit(change)
    assert revisions(watcher.expect(put("a"), deleted("a"), deleted("b"))) == [2, 4, 6]


def test_several_may_come_in_any_order(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("b", "1"))
    store.commit(("a", "1"), ("c", None))
    store.commit(("d", "1"))
    found = watcher.expect(any_order(put("a"), put("b"), deleted("c")), put("d"))
    assert [each.key for each in found] == ["a", "b", "c", "d"]


def test_in_any_order_each_event_is_taken_for_what_leaves_most_of_them_right(
    store: FakeStore, watcher: Watcher
) -> None:
    for value in ("1", "2", "3"):
        store.commit(("a", value))
    step = any_order(changed("a"), put("a", "1"), put("a", lambda value: value < "3"))
    assert [each.value for each in watcher.expect(step)] == ["3", "1", "2"]


def test_each_word_means_its_kind(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    store.commit(("a", None))
    expire(store, "a")
    watcher.expect(put("a"), deleted("a"), expired("a"), nothing_else=True)
    assert revisions(watcher.expect(changed("a"), changed("a"), changed("a"), since=1)) == [2, 3, 4]


def test_a_value_may_be_bytes_or_a_condition_and_so_may_the_event(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", b"\xff"))
    store.commit(("a", "42"))
    watcher.expect(put("a", b"\xff"), put("a", str.isdigit, where=lambda event: event.version == 1))
    watcher.expect(put(b"a", "\udcff"), since=1)


def test_a_prefix_stands_for_every_key_that_begins_so(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("news", "1"))
    store.commit(("news/a", "1"))
    assert revisions(watcher.expect(put("news/", prefix=True))) == [3]


def test_a_key_that_nobody_watches_is_watched_for_the_call(store: FakeStore) -> None:
    with Watcher(store, request_timeout=PATIENCE) as watcher:
        timer = threading.Timer(0, lambda: (store.watch_number(1), store.commit(("a", "1"))))
        timer.start()
        assert revisions(watcher.expect(put("a"))) == [2]
        assert watcher.keys == []
        timer.join()


def test_each_key_goes_on_behind_what_was_last_expected_of_it(
    store: FakeStore, watcher: Watcher
) -> None:
    for change in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")]:
        store.commit(change)
    assert revisions(watcher.expect(put("a"), put("a"))) == [2, 4]
    assert revisions(watcher.expect(put("b"))) == [3]
    assert watcher.wait_for("b").revision == 5
    with pytest.raises(ExpectationFailed):
        watcher.expect(put("b"), within=SOON)
    assert revisions(watcher.expect(put("b"), since=3)) == [3]


def test_a_failure_changes_nothing(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    failure(watcher, put("a"), put("a"))
    assert revisions(watcher.expect(put("a"))) == [2]


def test_callbacks_of_what_was_expected_have_returned(store: FakeStore, watcher: Watcher) -> None:
    told: list[int] = []
    watcher.on("a")(lambda event: told.append(event.revision))
    store.commit(("a", "1"))
    watcher.expect(put("a"))
    assert told == [2]


def test_it_can_be_awaited(store: FakeStore, watcher: Watcher) -> None:
    async def main() -> list[Event]:
        waiting = asyncio.ensure_future(watcher.expect_async(put("a"), nothing_else="a"))
        await asyncio.sleep(0)
        store.commit(("a", "1"))
        return await waiting

    assert revisions(asyncio.run(main())) == [2]


# Nothing else.


def test_nothing_else_holds_all_that_came_since_the_last_expectation(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    store.commit(("b", "1"))
    watcher.expect(put("b"))
    watcher.expect(nothing_else=True)
    store.commit(("c", "1"))
    assert revisions(watcher.expect(put("c"), nothing_else=True)) == [4]


def test_nothing_else_may_be_said_of_some_keys(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("other", "1"))
    store.commit(("news/a", "1"))
    store.commit(("other", "2"))
    watcher.expect(put("news/a"), nothing_else="news/")
    watcher.expect(nothing_else=["sport/", b"w"], since=1)


def test_nothing_else_looks_at_all_that_was_committed_before_it_ends(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    watcher.sync()
    store.before("revision", lambda: store.commit(("b", "1")))
    with pytest.raises(ExpectationFailed, match="this did: put 'b'"):
        watcher.expect(put("a"), nothing_else=True)


def test_where_nothing_else_may_come_the_first_other_event_is_the_end(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("b", "1"))
    with pytest.raises(ExpectationFailed, match="was to be put 'a', and something else came"):
        watcher.expect(put("a"), nothing_else=True, within=PATIENCE * 10)


# What a person reads.


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


# Where it is used.


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


def test_a_watcher_that_is_closed_meanwhile_ends_it(watcher: Watcher) -> None:
    threading.Timer(0.02, watcher.close).start()
    with pytest.raises(WatcherClosed):
        watcher.expect(put("a"), within=PATIENCE)


def test_a_server_that_is_away_is_no_failed_expectation(store: FakeStore, watcher: Watcher) -> None:
    store.fail_next("revision", *[ConnectionFailed("away")] * 1000)
    with pytest.raises(TimeoutError, match="away"):
        watcher.expect(nothing_else=True, within=0.05)


# What cannot be meant.


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda watcher: watcher.expect(), r"expect\(nothing_else=True\)"),
        (lambda watcher: watcher.expect("a"), r"a step is a change, such as put\('key', 'value'\)"),
        (lambda watcher: watcher.expect(put), "a step is a change"),
        (lambda watcher: watcher.expect(put("a"), within=0), "within=0"),
        (lambda watcher: watcher.expect(put("a"), since=0), "since=0"),
        (lambda watcher: watcher.expect(nothing_else=1), "a key is text or bytes"),
        (lambda _: put("a", 5), "write '5'"),  # type: ignore[arg-type]
        (lambda _: put(""), "a key is empty"),
        (lambda _: put(5), "a key is text or bytes"),  # type: ignore[arg-type]
        (lambda _: put("a", where="b"), "a predicate is called"),  # type: ignore[arg-type]
        (lambda _: any_order("a"), "any_order takes changes"),  # type: ignore[arg-type]
        (lambda _: any_order(), "any_order of nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    watcher: Watcher, make: Callable[[Watcher], object], says: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make(watcher)


def test_the_words_show_what_they_expect() -> None:
    assert [str(put("a", "b")), str(put(b"\xff", prefix=True)), str(expired("a"))] == [
        "put 'a' = 'b'",
        r"put '\udcff…'",
        "expired 'a'",
    ]
    assert put("a").objection(event(1, "a")) is None
    assert EventType.PUT.value == "PUT"


def test_of_a_key_that_is_not_watched_there_is_no_past_to_look_at(
    etcd: LocalEtcd, fresh_key: str
) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        first = watcher.put(fresh_key, "1")
        watcher.add_key(f"{fresh_key}/a")
        steps: list[tuple[Change | AnyOrder, int]] = [
            (put(fresh_key), first),
            (put(fresh_key), first + 1),  # so that it does not depend on what others write
            (any_order(put(f"{fresh_key}/a"), put(fresh_key)), first),
            (put(f"{fresh_key}/", prefix=True), 1),  # of which one key is watched
        ]
        for step, since in steps:
            with pytest.raises(ValueError, match=r"nothing of .* is not watched: add_key\(\) it"):
                watcher.expect(step, since=since)
        assert watcher.keys == [f"{fresh_key}/a"]


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
