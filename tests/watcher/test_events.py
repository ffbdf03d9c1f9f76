"""`events`, `wait_for`, `sync`, async callbacks: how a program waits without sleeping."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import urllib.request
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from etcd_watcher import Compacted, Event, LocalEtcd, Watcher
from etcd_watcher.keys import KeyRange
from etcd_watcher.shared_past import PastReader
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stream import EventStream
from tests.fake_store import PATIENCE
from tests.stores.v3_past import Operation, told_by_a_watch, write
from tests.threads import in_thread
from tests.watcher.conftest import News


def test_events_iterates_from_now_on(watcher: Watcher, fresh_key: str) -> None:
    watcher.put(fresh_key, "before")
    with watcher.events(fresh_key) as events:
        for number in range(3):
            watcher.put(fresh_key, str(number))
        assert [next(events).value for _ in range(3)] == ["0", "1", "2"]
    assert next(events, None) is None


def test_events_since_replays_history_first(
    etcd: LocalEtcd, fresh_key: str, any_etcd: LocalEtcd
) -> None:
    with Watcher(any_etcd.url, api="v3") as watcher:
        first = watcher.put(fresh_key, "0")
        watcher.put(fresh_key, "1")
        watcher.delete(fresh_key)
        watcher.put(fresh_key + "-other", "x")
        with watcher.events(fresh_key, since=first) as events:
            watcher.put(fresh_key, "2")
            assert [next(events).value for _ in range(4)] == ["0", "1", None, "2"]


def test_what_several_replay_is_read_from_the_server_once(
    fresh_key: str, any_etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, read, readings = V3Store.history, PastReader.read, []
    all_here, here = threading.Barrier(5), set()

    def history(self: V3Store, scope: KeyRange, first: int, last: int) -> Any:
        readings.append(first)
        return begin(self, scope, first, last)

    def read_when_all_are_here(self: PastReader) -> list[Event] | None:
        if self not in here:
            here.add(self)
            all_here.wait(PATIENCE)
        return read(self)

    monkeypatch.setattr(V3Store, "history", history)
    monkeypatch.setattr(PastReader, "read", read_when_all_are_here)
    with Watcher(any_etcd.url, api="v3") as watcher:
        puts: list[list[Operation]] = [[(fresh_key.encode(), b"v")] for _ in range(1_500)]
        last = write(any_etcd, puts)
        first = last - len(puts) + 1
        assert isinstance(watcher._store, V3Store)
        truth = told_by_a_watch(watcher._store, KeyRange.of_key(fresh_key.encode()), first, last)

        def replay() -> list[Event]:
            with watcher.events(fresh_key, since=first) as events:
                return list(islice(events, len(puts)))

        for thread, results in [in_thread(replay) for _ in range(5)]:
            thread.join(PATIENCE)
            assert results == [truth]
    assert readings == [first]


def test_events_since_of_a_key_without_history(fresh_key: str, any_etcd: LocalEtcd) -> None:
    with Watcher(any_etcd.url, api="v3") as watcher:
        watcher.put(fresh_key + "-other", "x")
        with watcher.events(fresh_key, since=1) as events:
            watcher.put(fresh_key, "first")
            assert next(events).value == "first"


def test_events_since_a_compacted_revision_is_an_error() -> None:
    with LocalEtcd() as server, Watcher(server.url, api="v3") as watcher:
        for number in range(10):
            watcher.put("key", str(number))
        server_compact(server, 8)
        with watcher.events("key", since=2) as events, pytest.raises(Compacted) as lost:
            next(events)
        assert f": begin with since={lost.value.whole_from}, or" in str(lost.value)
        assert "begin" not in lost.value.reason


def test_events_since_a_revision_whose_deletions_may_be_forgotten_is_an_error() -> None:
    with LocalEtcd() as server, Watcher(server.url, api="v3") as watcher:
        watcher.put("gone", "v")
        watcher.put("key", "first")
        deleted = watcher.put("key", "second") + 1
        watcher.delete("gone")
        server_compact(server, deleted)
        watcher.put("key", "third")
        with watcher.events("gone", since=deleted) as events, pytest.raises(Compacted) as lost:
            next(events)
        with watcher.events("key", since=lost.value.whole_from) as events:
            assert next(events).value == "third"
        history = watcher.history("key", prefix=True)
        assert (history.since, history.values) == (lost.value.whole_from, ["third"])


def test_events_since_a_revision_that_is_yet_to_come_is_an_error(
    watcher: Watcher, fresh_key: str
) -> None:
    newest = watcher.put(fresh_key, "before")
    with pytest.raises(ValueError, match=rf"since={newest + 1000} is yet to come"):
        watcher.events(fresh_key, since=newest + 1000)
    assert watcher.keys == []
    with watcher.events(fresh_key, since=newest + 1) as events:
        watcher.put(fresh_key, "the next one")
        assert next(events).value == "the next one"


def server_compact(server: LocalEtcd, revision: int) -> None:
    body = json.dumps({"revision": str(revision), "physical": True}).encode()
    urllib.request.urlopen(f"{server.url}/v3/kv/compaction", body, timeout=10).close()  # noqa: S310 - loopback


def test_events_can_be_iterated_on_a_loop(watcher: Watcher, fresh_key: str) -> None:
    async def read(events: EventStream) -> list[str | None]:
        return [(await anext(events)).value for _ in range(3)]

    async def main() -> list[str | None]:
        async with watcher.events(fresh_key) as events:
            reading = asyncio.create_task(read(events))
            for number in range(3):
                await asyncio.to_thread(watcher.put, fresh_key, str(number))
            return await asyncio.wait_for(reading, 10)

    assert asyncio.run(main()) == ["0", "1", "2"]


def test_an_async_callback_runs_on_its_loop_in_order(watcher: Watcher, fresh_key: str) -> None:
    seen: list[tuple[str | None, bool]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        @watcher.on(fresh_key)
        async def keep(event: Event) -> None:
            await asyncio.sleep(0)
            seen.append((event.value, asyncio.get_running_loop() is loop))

        for number in range(100):
            watcher.put(fresh_key, str(number))
        await watcher.sync_async()

    asyncio.run(main())
    assert seen == [(str(number), True) for number in range(100)]


def test_where_loop_runs_a_plain_function_on_the_loops_thread(
    watcher: Watcher, fresh_key: str
) -> None:
    where: list[threading.Thread] = []

    async def main() -> None:
        watcher.on(fresh_key, where="loop")(lambda _: where.append(threading.current_thread()))
        watcher.put(fresh_key, "x")
        await watcher.sync_async()

    asyncio.run(main())
    assert where == [threading.current_thread()]


def test_a_blocking_sync_on_the_callbacks_own_loop_says_what_to_do(
    watcher: Watcher, fresh_key: str
) -> None:
    async def main() -> None:
        @watcher.on(fresh_key)
        async def keep(_: Event) -> None: ...

        watcher.put(fresh_key, "x")
        with pytest.raises(RuntimeError, match="sync_async"):
            watcher.sync()
        await watcher.sync_async()

    asyncio.run(main())


def test_wait_for_finds_what_came_before_the_call(watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    watcher.put(fresh_key, "1")
    watcher.put(fresh_key, "2")
    watcher.sync()
    assert watcher.wait_for(fresh_key).value == "1"
    assert watcher.wait_for(fresh_key).value == "2"


def test_wait_for_waits_for_what_comes_after(watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    writing = threading.Thread(target=watcher.put, args=(fresh_key, "late"))
    writing.start()
    assert watcher.wait_for(fresh_key, lambda event: event.value == "late").value == "late"
    writing.join()


def test_wait_for_watches_a_key_that_nobody_watches(watcher: Watcher, fresh_key: str) -> None:
    found: list[Event] = []
    waiting = threading.Thread(target=lambda: found.append(watcher.wait_for(fresh_key)))
    waiting.start()
    while waiting.is_alive():
        watcher.put(fresh_key, "x")
        waiting.join(0.01)
    assert found[0].value == "x"
    assert watcher.keys == []


def test_wait_for_says_what_came_instead(watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    with pytest.raises(TimeoutError, match="no event"):
        watcher.wait_for(fresh_key, timeout=0.05)
    watcher.put(fresh_key, "other")
    watcher.sync()
    with pytest.raises(TimeoutError, match=r"predicate.*\n.*PUT.*other"):
        watcher.wait_for(fresh_key, lambda event: event.value == "this", timeout=0.05)
    watcher.wait_for(fresh_key)
    with pytest.raises(TimeoutError, match="no further event"):
        watcher.wait_for(fresh_key, timeout=0.05)


def test_wait_for_returns_when_the_callbacks_have(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    watcher.register(fresh_key, news, "tell")
    for number in range(100):
        watcher.put(fresh_key, str(number))
        watcher.wait_for(fresh_key)
        assert len(news.told) == number + 1


def test_sync_waits_for_a_slow_callback(watcher: Watcher, fresh_key: str) -> None:
    done: list[str] = []
    pause = threading.Event()

    @watcher.on(fresh_key)
    def slow(event: Event) -> None:
        pause.wait(0.05)
        done.append(str(event.value))

    watcher.put(fresh_key, "x")
    watcher.sync()
    assert done == ["x"]


def test_sync_names_the_subscriber_that_does_not_return(watcher: Watcher, fresh_key: str) -> None:
    go_on = threading.Event()

    @watcher.on(fresh_key)
    def stuck(_: Event) -> None:
        go_on.wait(30)

    watcher.put(fresh_key, "x")
    with pytest.raises(TimeoutError, match="stuck"):
        watcher.sync(0.1)
    go_on.set()
    watcher.sync()


def test_sync_from_a_callback_does_not_wait_for_itself(watcher: Watcher, fresh_key: str) -> None:
    done = threading.Event()

    @watcher.on(fresh_key)
    def call(_: Event) -> None:
        watcher.sync(5)
        done.set()

    watcher.put(fresh_key, "x")
    assert done.wait(10)


@pytest.mark.parametrize("call", ["sync", "wait_for", "events"])
def test_an_interrupt_leaves_the_watcher_usable(
    watcher: Watcher, fresh_key: str, news: News, call: str
) -> None:
    go_on = threading.Event()

    @watcher.on(fresh_key + "-stuck")
    def stuck(_: Event) -> None:
        go_on.wait(30)

    watcher.register(fresh_key, news, "tell")
    watcher.put(fresh_key + "-stuck", "x")
    stream = watcher.events(fresh_key)
    calls: dict[str, Callable[[], object]] = {
        "sync": lambda: watcher.sync(30),
        "wait_for": lambda: watcher.wait_for(fresh_key, timeout=30),
        "events": lambda: next(stream),
    }
    main = threading.main_thread().ident
    interrupt = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        calls[call]()
    interrupt.join()
    go_on.set()
    watcher.put(fresh_key, "after")
    watcher.sync()
    assert news.values == ["after"]
    assert next(stream).value == "after"
    assert watcher.wait_for(fresh_key).value == "after"
