"""Closing: prompt, final, and nothing left."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Watcher
from tests.clock import sooner_than
from tests.eventually import eventually
from tests.watcher.conftest import News


def threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each is not threading.main_thread()}


def sockets() -> set[str]:
    names = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            names.add(target)
    return names


def test_close_leaves_no_thread_and_no_socket(
    etcd: LocalEtcd, api: str, fresh_key: str, news: News
) -> None:
    threads_before, sockets_before = threads(), sockets()
    watcher = Watcher(etcd.url, api=api)
    watcher.register(fresh_key, news, "tell")
    revision = watcher.put(fresh_key, "one")
    watcher.sync()
    stream = watcher.events(fresh_key, since=revision)
    next(stream)
    with sooner_than(2):
        watcher.close()
    # gRPC ends its own thread and sockets a moment after its channel was closed.
    assert eventually(lambda: threads() <= threads_before)
    assert eventually(lambda: sockets() <= sockets_before)


def test_closing_twice_is_closing_once(watcher: Watcher) -> None:
    watcher.close()
    watcher.close()
    assert watcher.status.state == "closed"


def test_close_from_a_callback_returns(watcher: Watcher, fresh_key: str) -> None:
    closed = threading.Event()

    @watcher.on(fresh_key)
    def close(_: object) -> None:
        watcher.close()
        closed.set()

    watcher.put(fresh_key, "bye")
    assert closed.wait(10)


def test_close_during_a_callback_does_not_wait_for_it(watcher: Watcher, fresh_key: str) -> None:
    began, go_on = threading.Event(), threading.Event()

    @watcher.on(fresh_key)
    def block(_: object) -> None:
        began.set()
        go_on.wait(30)

    watcher.put(fresh_key, "x")
    assert began.wait(10)
    with sooner_than(2):
        watcher.close()
    go_on.set()


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_close_with_a_dead_server_returns(api: str, news: News, fault: str) -> None:
    with LocalEtcd() as server:
        watcher = Watcher(server.url, api=api)
        watcher.register("key", news, "tell")
        getattr(server, fault)()
        with sooner_than(2):
            watcher.close()
        if fault == "pause":
            server.resume()


def test_a_watcher_that_nobody_holds_closes_by_itself(
    etcd: LocalEtcd, api: str, fresh_key: str, news: News
) -> None:
    before = threads()
    watcher = Watcher(etcd.url, api=api)
    watcher.register(fresh_key, news, "tell")
    del watcher
    gc.collect()
    assert eventually(lambda: threads() <= before)


def test_iterators_end_with_the_watcher(watcher: Watcher, fresh_key: str) -> None:
    stream = watcher.events(fresh_key)
    came: list[object] = []
    reader = threading.Thread(target=lambda: came.extend(stream))
    reader.start()
    watcher.put(fresh_key, "one")
    watcher.wait_for(fresh_key)
    watcher.close()
    reader.join(2)
    assert not reader.is_alive()
    assert len(came) <= 1


def test_the_counts_of_deliveries_stay(watcher: Watcher, fresh_key: str, news: News) -> None:
    watcher.register(fresh_key, news, "tell")
    watcher.put(fresh_key, "one")
    watcher.sync()
    watcher.close()
    assert watcher.delivery(news).delivered == 1
