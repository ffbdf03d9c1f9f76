"""After a lost connection: it goes on behind the last revision, and the status says how it stands."""

from __future__ import annotations

import threading
import time

import pytest

from etcd_watcher import backoff as backoff_module
from etcd_watcher.backoff import FIRST_BACKOFF, Backoff
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.event import Status
from tests.fake_store import PATIENCE, FakeStore
from tests.feed.core import LOST, A, C, Core


@pytest.mark.usefixtures("quick")
def test_a_lost_watch_is_made_anew_behind_the_last_revision(core: Core) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.store.commit(("a", "2"))
    core.wait_complete()
    first = core.store.watch_number(1)
    first.hold()
    core.store.commit(("a", "3"))
    first.push(LOST)
    assert core.store.watch_number(2).targets == [(A, 3)]
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (3, "a", "2"), (4, "a", "3")]
    assert first.closed


@pytest.mark.usefixtures("quick")
def test_a_range_that_is_asked_for_while_it_connects_is_watched_by_the_new_watch(
    core: Core,
) -> None:
    core.cover(A)
    asking = threading.Thread(target=core.cover, args=(C,))

    def ask_meanwhile() -> None:
        asking.start()
        core.wait_until(lambda: core.feed.scope is not None and b"c" in core.feed.scope)

    core.store.before("watch", ask_meanwhile)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    asking.join(PATIENCE)
    assert not asking.is_alive()
    core.store.commit(("a", "1"), ("c", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (2, "c", "1")]
    assert len(core.store.watches) == 2


@pytest.mark.usefixtures("quick")
def test_what_the_server_called_complete_is_not_read_again(core: Core) -> None:
    core.cover(A)
    for _ in range(5):
        core.store.commit(("b", "1"))
    core.wait_complete()
    assert core.feed.revision == 6
    core.store.watch_number(1).push(LOST)
    assert core.store.watch_number(2).targets == [(A, 6)]


@pytest.mark.usefixtures("quick")
def test_it_tries_for_as_long_as_it_takes(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("watch", *[LOST] * 20)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.store.calls["watch"] == 22
    assert core.told() == [(2, "a", "1")]


@pytest.mark.usefixtures("quick")
def test_each_failure_turns_to_the_next_endpoint(core: Core) -> None:
    core.store.endpoints = ("http://one:1", "http://two:2", "http://three:3")
    core.cover(A)
    core.store.fail_next("watch", LOST, LOST, LOST)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.wait_until(lambda: core.feed.status.state == "connected")
    assert core.store.calls["rotate"] == 4
    assert core.feed.status.endpoint == "http://two:2"


@pytest.mark.usefixtures("quick")
def test_it_stays_where_a_request_has_gone_meanwhile(core: Core) -> None:
    core.store.endpoints = ("http://one:1", "http://two:2", "http://three:3")
    core.cover(A)
    core.store.rotate(0)  # a request found the first one dead
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.wait_until(lambda: core.feed.status.state == "connected")
    assert core.feed.status.endpoint == "http://two:2"
    core.store.watch_number(2).push(LOST)
    core.store.watch_number(3)
    core.wait_until(lambda: core.feed.status.endpoint == "http://three:3")


def test_the_status_names_the_endpoint_that_was_lost(core: Core) -> None:
    core.store.endpoints = ("http://one:1", "http://two:2")
    core.cover(A)
    core.store.rotate(0)  # a request found it dead first
    core.store.silent = True
    core.store.watch_number(1).push(LOST)
    core.wait_until(lambda: core.feed.status.state == "reconnecting")
    assert core.feed.status.endpoint == "http://one:1"


def test_waits_are_jittered(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff_module, "FIRST_BACKOFF", PATIENCE)
    monkeypatch.setattr(backoff_module, "LAST_BACKOFF", PATIENCE)
    core = Core(store)
    core.feed._backoff = Backoff(1, jitter=lambda: 0.0)
    core.cover(A)
    store.fail_next("watch", LOST, LOST)
    store.watch_number(1).push(LOST)
    store.watch_number(2)
    core.close()


def test_a_server_that_drops_each_watch_that_it_has_opened_is_asked_ever_more_slowly(
    core: Core,
) -> None:
    core.cover(A)
    for number in range(1, 6):
        watch = core.store.watch_number(number)
        core.wait_until(lambda: core.feed.status.state == "connected")
        watch.push(LOST)
    core.store.watch_number(6)
    begun = core.store.opened_at
    # Waits of 1, 2, 4, 8 and 16 units, at least.
    assert begun[5] - begun[4] >= 16 * FIRST_BACKOFF
    assert begun[1] - begun[0] >= FIRST_BACKOFF


def test_it_does_wait_between_tries(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("watch", LOST, LOST)
    begun = time.monotonic()
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    # Before the second watch, two tries failed and the first watch had: 1 + 1 + 2 units, at least.
    assert core.store.opened_at[-1] - begun >= 3 * FIRST_BACKOFF


def test_the_status_tells_why_since_when_and_when_next(core: Core) -> None:
    assert core.feed.status == Status("connected", "http://one:2379")
    core.cover(A)
    goes_on = threading.Event()
    core.store.before("watch", lambda: goes_on.wait(PATIENCE))
    begun = time.time()
    core.store.watch_number(1).push(ConnectionFailed("in full", "in short"))
    core.wait_until(lambda: core.feed.status.state == "reconnecting")
    status = core.feed.status
    assert status.reason == "in short"
    assert begun <= status.since <= time.time()
    assert status.next_try is not None
    assert status.next_try >= status.since
    core.store.fail_next("watch", ConnectionFailed("in full", "another"))
    goes_on.set()
    core.wait_until(lambda: core.feed.status.reason == "another")
    assert core.feed.status.since == status.since  # it is the same loss
    core.wait_until(lambda: core.feed.status.state == "connected")
    assert core.feed.status.reason == ""
    assert core.feed.status.next_try is None


@pytest.mark.usefixtures("quick")
def test_the_journal_records_each_loss_and_each_return_once(core: Core) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    core.store.fail_next("watch", LOST, LOST, LOST)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.store.commit(("a", "2"))
    core.wait_complete()
    core.feed.close()
    kinds = [each.state if isinstance(each, Status) else "event" for each in core.journal]
    assert kinds == ["event", "reconnecting", "connected", "event", "closed"]


@pytest.mark.usefixtures("quick")
def test_a_defect_on_the_way_is_logged_and_the_feed_goes_on(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    core.store.watch_number(1).push(ZeroDivisionError("a defect"))
    core.store.watch_number(2)
    core.store.commit(("a", "2"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (3, "a", "2")]
    assert "ZeroDivisionError: a defect" in caplog.text
