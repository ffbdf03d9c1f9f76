"""Closing, at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Status
from tests.fake_store import PATIENCE, FakeStore
from tests.feed.core import LOST, A, B, Core, batch_of, refuse_b


def never_began(core: Core) -> None:
    pass


def has_nothing_to_watch(core: Core) -> None:
    core.cover(A)
    core.feed.narrow(None)


def reads(core: Core) -> None:
    core.cover(A)
    core.store.wait_until(lambda: core.store.watches[0].reads == 2)


def waits_to_try_again(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("watch", *[LOST] * 10)
    core.store.watch_number(1).push(LOST)
    core.wait_until(lambda: core.feed.status.state == "reconnecting")


def is_refused(core: Core) -> None:
    core.cover(B)
    core.store.refusal = refuse_b
    core.store.watch_number(1).push(LOST)
    core.wait_until(lambda: "permission" in core.feed.status.reason)


@pytest.mark.parametrize(
    "moment", [never_began, has_nothing_to_watch, reads, waits_to_try_again, is_refused]
)
def test_closing_returns_at_once_and_leaves_no_thread_when_it(
    moment: Callable[[Core], None], store: FakeStore
) -> None:
    core = Core(store)
    moment(core)
    thread = core.feed._readers.thread
    core.feed.close(PATIENCE / 2)
    assert thread is None or not thread.is_alive()
    assert core.feed.status.state == "closed"
    assert core.journal[-1] == Status("closed", "http://one:2379")
    core.feed.close()
    assert core.states().count("closed") == 1
    core.close()


def test_what_was_read_as_it_closed_is_not_published(core: Core) -> None:
    core.cover(A)
    watch = core.store.watch_number(1)
    thread = core.feed._readers.thread
    assert thread is not None
    with core.demux.lock:
        watch.push(batch_of(watch, 5, opened=True))
        core.store.wait_until(lambda: not watch._pushed)  # read, and held up at the lock
        core.feed.close(0.0)
    thread.join(PATIENCE)
    assert core.feed.status.state == "closed"
    assert core.told() == []


def test_closing_while_it_connects_waits_no_longer_than_it_may(store: FakeStore) -> None:
    core = Core(store)
    core.cover(A)
    goes_on = threading.Event()
    store.before("watch", lambda: goes_on.wait(PATIENCE))
    store.watch_number(1).push(LOST)
    store.wait_until(lambda: store.calls["watch"] == 2)
    core.feed.close(0.0)
    store.close()  # which is what ends a connection that is being made
    goes_on.set()
    core.close()


def test_closing_ends_those_who_ask_for_a_key(core: Core) -> None:
    core.store.silent = True
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            core.cover(A)
        except StoreClosed as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    core.store.wait_until(lambda: core.store.watches and core.store.watches[0].reads)
    core.feed.close()
    thread.join(PATIENCE)
    assert len(errors) == 1


def test_what_is_closed_cannot_watch(core: Core) -> None:
    core.feed.close()
    with pytest.raises(StoreClosed):
        core.cover(A)
    assert core.feed._readers.thread is None


def test_a_store_that_is_closed_beneath_it_ends_its_thread(core: Core) -> None:
    core.cover(A)
    core.store.close()
    thread = core.feed._readers.thread
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()
