"""Waiting: for all that is on its way, or for one event that was described."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from etcd_watcher import Event, Subscriber, Watcher
from etcd_watcher import waiting as waiting_module
from etcd_watcher.errors import ConnectionFailed, WatcherClosed
from tests.fake_store import PATIENCE, FakeStore
from tests.threads import in_thread, interrupted


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a server that is away again at once."""
    monkeypatch.setattr(waiting_module, "RETRY", 0.005)


class Blocked:
    """A callback that waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.ended = (threading.Event() for _ in range(3))

    def __call__(self, _: Event) -> None:
        self.begun.set()
        self.go_on.wait(PATIENCE)
        self.ended.set()


@pytest.fixture
def blocked() -> Iterator[Blocked]:
    blocked = Blocked()
    yield blocked
    blocked.go_on.set()


# sync.


def test_sync_returns_once_the_callbacks_have(
    watcher: Watcher, store: FakeStore, blocked: Blocked
) -> None:
    watcher.on("k")(blocked)
    store.commit(("k", "v"))
    thread, results = in_thread(watcher.sync)
    assert blocked.begun.wait(PATIENCE)
    assert results == []
    blocked.go_on.set()
    thread.join(PATIENCE)
    assert results == [None]
    assert blocked.ended.is_set()


def test_sync_of_nothing_returns_at_once(watcher: Watcher, store: FakeStore) -> None:
    watcher.sync(0.001 * PATIENCE)
    store.commit(("k", "v"))
    watcher.sync(0.001 * PATIENCE)


def test_sync_returns_where_the_last_changes_are_of_other_keys(
    watcher: Watcher, store: FakeStore
) -> None:
    watcher.add_key("k")
    store.commit(("x", "v"))
    watcher.sync()
    assert watcher.revision == store.now


def test_sync_waits_for_every_change_before_it_and_every_subscriber(
    watcher: Watcher, store: FakeStore
) -> None:
    told: list[tuple[int, int]] = []
    for number in range(5):
        watcher.on("k")(lambda event, number=number: told.append((number, event.revision)))
    for _ in range(200):
        store.commit(("k", "v"))
        watcher.sync()
        assert sum(revision == store.now for _, revision in told) == 5
    assert len(told) == 1000


def test_sync_says_when_changes_did_not_come(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    store.watch_number(1).hold()
    store.commit(("k", "v"))
    with pytest.raises(TimeoutError) as caught:
        watcher.sync(0.02)
    assert str(caught.value) == (
        "after 0.02 s the changes up to revision 2 had not all come: 1 was reached, "
        "and the watcher is connected"
    )


def test_sync_says_why_it_is_not_connected(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    watch = store.watch_number(1)
    watch.hold()
    store.commit(("k", "v"))
    store.fail_next("watch", *[ConnectionFailed("in full", "refused")] * 1000)
    watch.push(ConnectionFailed("in full", "refused"))
    with pytest.raises(TimeoutError, match=r"the watcher is reconnecting \(refused\)"):
        watcher.sync(0.05)


def test_sync_says_whose_callbacks_did_not_return(
    watcher: Watcher, store: FakeStore, blocked: Blocked
) -> None:
    luis = Subscriber("Luis")
    watcher.register("k", luis, lambda _, __: blocked.go_on.wait(PATIENCE))
    store.commit(("k", "v"))
    with pytest.raises(TimeoutError) as caught:
        watcher.sync(0.05)
    assert "the callbacks of 1 subscriber had not returned" in str(caught.value)
    assert "up to revision 2: Subscriber('Luis')" in str(caught.value)


def test_sync_names_no_more_than_some_of_many_subscribers(
    watcher: Watcher, store: FakeStore, blocked: Blocked
) -> None:
    for number in range(9):
        watcher.register("k", Subscriber(f"S{number}"), lambda _, __: blocked.go_on.wait(PATIENCE))
    store.commit(("k", "v"))
    with pytest.raises(TimeoutError) as caught:
        watcher.sync(0.05)
    assert "of 9 subscribers" in str(caught.value)
    assert str(caught.value).count("Subscriber('") == waiting_module.SHOWN


def test_sync_asks_a_server_that_is_away_again(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    store.commit(("k", "v"))
    store.fail_next("revision", *[ConnectionFailed("away")] * 3)
    watcher.sync()
    assert watcher.revision == 2


def test_sync_gives_up_on_a_server_that_stays_away(watcher: Watcher, store: FakeStore) -> None:
    store.fail_next("revision", *[ConnectionFailed("nobody answers")] * 10_000)
    with pytest.raises(TimeoutError, match=r"after 0\.05 s: nobody answers"):
        watcher.sync(0.05)


def test_sync_of_a_closed_watcher_says_so(watcher: Watcher) -> None:
    watcher.close()
    with pytest.raises(WatcherClosed):
        watcher.sync()


def test_closing_ends_a_sync(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    store.deaf_to_probes = True
    store.commit(("x", "v"))
    thread, results = in_thread(watcher.sync)
    store.wait_until(lambda: store.calls["probe"])
    watcher.close()
    thread.join(PATIENCE)
    assert [type(each) for each in results] in ([WatcherClosed], [TimeoutError])


def test_a_callback_may_sync_itself(watcher: Watcher, store: FakeStore) -> None:
    errors: list[BaseException | None] = []

    @watcher.on("k")
    def callback(_: Event) -> None:
        watcher.sync()
        errors.append(None)

    store.commit(("k", "v"))
    watcher.sync()
    assert errors == [None]
    assert watcher.delivery(callback).failed == 0


def test_an_interrupt_in_sync_leaves_the_watcher_usable(
    watcher: Watcher, store: FakeStore, blocked: Blocked
) -> None:
    watcher.on("k")(blocked)
    store.commit(("k", "v"))

    def once() -> None:
        blocked.begun.wait(PATIENCE)

    with interrupted(once):
        watcher.sync()
    blocked.go_on.set()
    watcher.sync()
    assert blocked.ended.is_set()


@pytest.mark.parametrize("timeout", [0, -1, None, True, "1", float("nan")])
def test_a_timeout_that_is_none_is_refused(watcher: Watcher, timeout: object) -> None:
    with pytest.raises(ValueError, match="timeout="):
        watcher.sync(timeout)  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(ValueError, match="timeout="):
        watcher.wait_for("k", timeout=timeout)  # type: ignore[arg-type]  # the same


# wait_for.


def test_an_event_is_found_whether_it_comes_before_or_after_the_call(
    watcher: Watcher, store: FakeStore
) -> None:
    watcher.add_key("k")
    store.commit(("k", "before"))
    watcher.sync()
    assert watcher.wait_for("k").value == "before"
    thread, results = in_thread(lambda: watcher.wait_for("k").value)
    store.commit(("k", "after"))
    thread.join(PATIENCE)
    assert results == ["after"]


def test_each_call_goes_on_behind_the_last(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key(["k", "l"])
    for number in range(3):
        store.commit(("k", str(number)), ("l", str(number)))
    assert [watcher.wait_for("k").value for _ in range(3)] == ["0", "1", "2"]
    assert [watcher.wait_for("l").value for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(TimeoutError):
        watcher.wait_for("k", timeout=0.01)


def test_what_does_not_fit_is_passed_over(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    for value in ("1", "2", None, "3"):
        store.commit(("k", value))
    assert watcher.wait_for("k", lambda event: event.value is None).revision == 4
    assert watcher.wait_for("k").value == "3"


def test_a_prefix_can_be_waited_for(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("a", prefix=True)
    store.commit(("b", "v"))
    store.commit(("a/1", "v"))
    assert watcher.wait_for("a/", prefix=True).key == "a/1"


def test_a_key_that_is_not_watched_is_watched_for_the_call(
    watcher: Watcher, store: FakeStore
) -> None:
    thread, results = in_thread(lambda: watcher.wait_for("k").value)
    store.watch_number(1)
    store.commit(("k", "v"))
    thread.join(PATIENCE)
    assert results == ["v"]
    assert watcher.keys == []


def test_its_callbacks_have_returned_when_it_returns(watcher: Watcher, store: FakeStore) -> None:
    told: list[int] = []
    watcher.on("k")(lambda event: told.append(event.revision))
    for _ in range(200):
        store.commit(("k", "v"))
        event = watcher.wait_for("k")
        assert told[-1:] == [event.revision]


def test_an_event_that_is_in_the_journal_but_not_with_its_workers_yet_is_waited_for(
    watcher: Watcher, store: FakeStore, blocked: Blocked
) -> None:
    found = threading.Event()
    watcher.on("k")(blocked)
    stream = watcher.events("k")

    def predicate(_: Event) -> bool:
        found.set()
        return True

    def between() -> None:  # a stream is woken behind the journal and before the workers
        assert found.wait(PATIENCE)
        thread.join(0.1)

    stream._mailbox.notify = between
    thread, results = in_thread(lambda: watcher.wait_for("k", predicate))
    store.commit(("k", "v"))
    assert blocked.begun.wait(PATIENCE)
    assert results == []
    blocked.go_on.set()
    thread.join(PATIENCE)
    assert len(results) == 1
    stream.close()


def test_a_timeout_says_that_nothing_came(watcher: Watcher) -> None:
    watcher.add_key("k")
    with pytest.raises(TimeoutError) as caught:
        watcher.wait_for("k", timeout=0.01)
    assert str(caught.value) == "after 0.01 s there was no event of 'k' at all"


def test_a_timeout_shows_the_last_of_what_came(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    for number in range(8):
        store.commit(("k", str(number)))
    watcher.sync()
    with pytest.raises(TimeoutError) as caught:
        watcher.wait_for("k", lambda _: False, timeout=0.01)
    assert str(caught.value).splitlines() == [
        (
            "after 0.01 s there was no event of 'k' for which the predicate holds; "
            "what had come (8 events):"
        ),
        "  … and 3 before",
        *[f"  Event(PUT 'k'='{number}', revision={number + 2})" for number in range(3, 8)],
    ]


def test_a_predicate_that_raises_is_the_callers_own(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    store.commit(("k", "v"))
    watcher.sync()
    with pytest.raises(ZeroDivisionError):
        watcher.wait_for("k", lambda _: 1 / 0)
    assert watcher.wait_for("k").value == "v"


def test_closing_ends_the_wait_for_an_event(watcher: Watcher, store: FakeStore) -> None:
    watcher.add_key("k")
    thread, results = in_thread(lambda: watcher.wait_for("k"))
    watcher.close()
    thread.join(PATIENCE)
    assert [type(each) for each in results] == [WatcherClosed]


def test_an_interrupt_in_wait_for_leaves_the_watcher_usable(
    watcher: Watcher, store: FakeStore
) -> None:
    with interrupted(lambda: store.watch_number(1)):
        watcher.wait_for("k")
    store.commit(("k", "v"))
    watcher.add_key("k")
    store.commit(("k", "w"))
    assert watcher.wait_for("k").value == "w"
