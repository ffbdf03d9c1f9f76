"""Events as an iterator: nothing lost while nobody asks, and gone when nobody holds it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from etcd_watcher import Event, Watcher
from etcd_watcher.errors import Compacted, ConnectionFailed
from etcd_watcher.stream import EventStream, Signal
from tests.eventually import eventually
from tests.fake_store import PATIENCE, FakeStore
from tests.lagging import lag_early
from tests.threads import in_thread, interrupted, threads_left


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    lag_early(monkeypatch)


@pytest.fixture
def watcher(store: FakeStore) -> Iterator[Watcher]:
    with Watcher(store, journal_events=10) as watcher:
        yield watcher
    assert threads_left() == []


def put(store: FakeStore, count: int, key: str = "k") -> int:
    for number in range(count):
        store.commit((key, str(number)))
    return store.now


def take(stream: Iterator[Event], count: int) -> list[int]:
    return [next(stream).revision for _ in range(count)]


def is_waited_for(stream: EventStream) -> bool:
    """Wait until somebody is blocked in `next`."""
    changed: Any = stream._signal._changed
    return eventually(lambda: changed._waiters)  # a Condition's own


# One after the other.


def test_it_gives_what_comes_from_now_on(watcher: Watcher, store: FakeStore) -> None:
    put(store, 3)
    with watcher.events("k") as stream:
        put(store, 3)
        put(store, 1, "other")
        assert take(stream, 3) == [5, 6, 7]


def test_it_waits_for_the_next(watcher: Watcher, store: FakeStore) -> None:
    with watcher.events("k") as stream:
        thread, results = in_thread(lambda: next(stream).value)
        assert is_waited_for(stream)
        store.commit(("k", "hello"))
        thread.join(PATIENCE)
        assert results == ["hello"]


def test_it_loses_nothing_while_nobody_asks(watcher: Watcher, store: FakeStore) -> None:
    with watcher.events("k") as stream:
        put(store, 50)
        watcher._feed.wait_complete(store.now, PATIENCE)
        assert take(stream, 50) == list(range(2, 52))
        put(store, 1)
        assert take(stream, 1) == [52]


def test_several_keys_come_in_one_order(watcher: Watcher, store: FakeStore) -> None:
    with watcher.events(["a", "b"]) as stream:
        for key in "abbaxab":
            store.commit((key, "v"))
        assert [next(stream).key for _ in range(6)] == list("abbaab")


def test_a_prefix_comes_with_all_below_it(watcher: Watcher, store: FakeStore) -> None:
    with watcher.events("a/", prefix=True) as stream:
        store.commit(("a/1", "v"), ("a", "v"), ("a/2", "v"))
        assert [next(stream).key for _ in range(2)] == ["a/1", "a/2"]


def test_two_streams_of_one_key_are_independent(watcher: Watcher, store: FakeStore) -> None:
    with watcher.events("k") as one, watcher.events("k") as other:
        put(store, 20)
        assert take(one, 20) == list(range(2, 22))
        assert take(other, 20) == list(range(2, 22))


# From the past.


def test_since_a_revision_history_comes_first_and_then_what_is_live(
    watcher: Watcher, store: FakeStore
) -> None:
    put(store, 30)
    with watcher.events("k", since=5) as stream:
        put(store, 30)
        assert take(stream, 57) == list(range(5, 62))


def test_since_a_revision_that_the_journal_has_the_server_is_not_asked(
    watcher: Watcher, store: FakeStore
) -> None:
    watcher.add_key("k")
    last = put(store, 8)
    watcher._feed.wait_complete(last, PATIENCE)
    with watcher.events("k", since=4) as stream:
        assert take(stream, 6) == [4, 5, 6, 7, 8, 9]
    assert len(store.watches) == 1


def test_since_a_revision_before_the_key_was_watched_the_journal_is_not_believed(
    watcher: Watcher, store: FakeStore
) -> None:
    watcher.add_key("other")
    store.commit(("k", "1"), ("other", "1"))
    store.commit(("k", "2"), ("other", "2"))
    watcher._feed.wait_complete(store.now, PATIENCE)
    with watcher.events("k", since=2) as stream:
        assert take(stream, 2) == [2, 3]


def test_since_a_revision_what_comes_as_the_stream_is_made_is_given_once(
    watcher: Watcher, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, 3)
    registry_watch = watcher._registry.watch

    def watch(*args: Any, **options: Any) -> None:
        registry_watch(*args, **options)
        put(store, 3)
        watcher._feed.wait_complete(store.now, PATIENCE)

    monkeypatch.setattr(watcher._registry, "watch", watch)
    with watcher.events("k", since=2) as stream:
        put(store, 3)
        assert take(stream, 9) == list(range(2, 11))


def test_since_the_revision_that_comes_next_nothing_earlier_is_given(
    watcher: Watcher, store: FakeStore
) -> None:
    put(store, 3)
    with watcher.events("k", since=5) as stream:
        put(store, 3)
        assert take(stream, 3) == [5, 6, 7]


def test_since_a_later_revision_is_refused(watcher: Watcher, store: FakeStore) -> None:
    put(store, 3)
    with pytest.raises(ValueError, match=r"^since=6 is yet to come: the newest is 4$"):
        watcher.events("k", since=6)
    assert watcher.keys == []


def test_a_transaction_at_since_is_given_whole(watcher: Watcher, store: FakeStore) -> None:
    store.commit(("k1", "v"), ("k2", "v"))
    store.commit(("k1", "v"), ("k2", "v"), ("k3", "v"))
    with watcher.events("k", prefix=True, since=3) as stream:
        assert [next(stream).key for _ in range(3)] == ["k1", "k2", "k3"]


def test_history_that_is_gone_is_an_error_each_time_it_is_asked_for(
    watcher: Watcher, store: FakeStore
) -> None:
    put(store, 30)
    store.compact(20)
    with watcher.events("k", since=5) as stream:
        for _ in range(2):
            with pytest.raises(Compacted) as caught:
                next(stream)
            assert caught.value.revision == 20
    with watcher.events("k", since=20) as stream:
        assert take(stream, 12) == list(range(20, 32))


def test_a_server_that_goes_away_while_history_is_read_costs_nothing(
    watcher: Watcher, store: FakeStore
) -> None:
    put(store, 30)
    store.breaks = {2: 10, 3: 1}
    with watcher.events("k", since=2) as stream:
        assert take(stream, 30) == list(range(2, 32))


# In a loop.


def test_it_is_an_async_iterator_too(watcher: Watcher, store: FakeStore) -> None:
    async def main() -> list[int]:
        found = []
        async for event in stream:
            found.append(event.revision)
            if len(found) == 60:
                break
        return found

    put(store, 30)
    with watcher.events("k", since=2) as stream:
        put(store, 30)
        assert asyncio.run(main()) == list(range(2, 62))


def test_waiting_in_a_loop_does_not_block_it(watcher: Watcher, store: FakeStore) -> None:
    async def main() -> str | None:
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)  # it waits now
        await asyncio.sleep(0)  # and others go on
        assert not waiting.done()
        store.commit(("k", "hello"))
        return (await waiting).value

    with watcher.events("k") as stream:
        assert asyncio.run(main()) == "hello"


def test_giving_up_to_wait_in_a_loop_loses_nothing(watcher: Watcher, store: FakeStore) -> None:
    async def main() -> list[int]:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.001)
        put(store, 3)
        return [(await anext(stream)).revision for _ in range(3)]

    with watcher.events("k") as stream:
        assert asyncio.run(main()) == [2, 3, 4]


def test_several_streams_share_a_loop(watcher: Watcher, store: FakeStore) -> None:
    async def read(stream: EventStream) -> list[int]:
        return [(await anext(stream)).revision for _ in range(20)]

    async def main() -> list[list[int]]:
        reading = asyncio.gather(*[read(stream) for stream in streams])
        await asyncio.sleep(0)
        put(store, 20)
        return await reading

    streams = [watcher.events("k") for _ in range(5)]
    assert asyncio.run(main()) == [list(range(2, 22))] * 5


# The end.


def test_closing_ends_the_iteration_even_where_somebody_waits(
    watcher: Watcher, store: FakeStore
) -> None:
    stream = watcher.events("k")
    thread, results = in_thread(lambda: list(stream))
    assert is_waited_for(stream)
    stream.close()
    thread.join(PATIENCE)
    assert results == [[]]
    stream.close()
    assert list(stream) == []


def test_removing_its_only_key_ends_the_iteration(watcher: Watcher) -> None:
    stream = watcher.events("k")
    thread, results = in_thread(lambda: list(stream))
    assert is_waited_for(stream)
    watcher.remove_key("k")
    thread.join(PATIENCE)
    assert results == [[]]


def test_closing_the_watcher_ends_the_iteration(watcher: Watcher, store: FakeStore) -> None:
    stream = watcher.events("k")
    thread, results = in_thread(lambda: list(stream))
    assert is_waited_for(stream)
    watcher.close()
    thread.join(PATIENCE)
    assert results == [[]]


def test_closing_the_watcher_ends_the_iteration_in_a_loop(
    watcher: Watcher, store: FakeStore
) -> None:
    async def main() -> list[Event]:
        async def read() -> list[Event]:
            return [event async for event in stream]

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        await asyncio.to_thread(watcher.close)
        return await asyncio.wait_for(reading, PATIENCE)

    stream = watcher.events("k")
    assert asyncio.run(main()) == []


def test_closing_the_watcher_ends_one_that_catches_up(watcher: Watcher, store: FakeStore) -> None:
    put(store, 30)
    stream = watcher.events("k", since=2)
    held = threading.Event()

    def hold() -> None:
        def hold_it() -> None:
            store.wait_until(lambda: len(store.watches) == 2)
            store.watches[1].hold()
            held.set()

        threading.Thread(target=hold_it).start()

    store.before("watch", hold)
    thread, results = in_thread(lambda: sum(1 for _ in stream))
    assert held.wait(PATIENCE)
    watcher.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert isinstance(results[0], int)


def test_a_stream_that_nobody_holds_any_more_ends(watcher: Watcher, store: FakeStore) -> None:
    stream = watcher.events("k")
    gone = weakref.ref(stream)
    assert len(watcher._demux.router) == 1
    del stream
    gc.collect()
    assert gone() is None
    watcher._registry.sweep()  # as every call of the watcher does
    assert len(watcher._demux.router) == 0
    assert watcher._feed.scope is None


def test_a_stream_in_a_cycle_ends_when_it_is_collected(watcher: Watcher) -> None:
    class Holder:
        def __init__(self, stream: EventStream) -> None:
            self.stream = stream
            self.me = self

    holder = Holder(watcher.events("k"))
    next_cycle = weakref.ref(holder)
    del holder
    gc.collect()
    assert next_cycle() is None
    watcher._registry.sweep()
    assert len(watcher._demux.router) == 0


def test_a_for_loop_that_is_left_ends_its_stream(watcher: Watcher, store: FakeStore) -> None:
    put(store, 3)
    for event in watcher.events("k", since=2):
        if event.revision == 3:
            break
    gc.collect()
    watcher._registry.sweep()
    assert len(watcher._demux.router) == 0


def test_the_end_of_a_stream_leaves_the_subscribers_of_its_key_alone(
    watcher: Watcher, store: FakeStore
) -> None:
    who, told = object(), list[tuple[str, str | None]]()
    watcher.register("k", who, lambda key, value: told.append((key, value)))
    with watcher.events("k"):
        pass
    assert watcher.get_subscribers("k") == [who]
    put(store, 1)
    watcher.sync()
    assert told == [("k", "0")]


def test_an_interrupt_while_waiting_leaves_the_stream_usable(
    watcher: Watcher, store: FakeStore
) -> None:
    with watcher.events("k") as stream:
        with interrupted(lambda: is_waited_for(stream)):
            next(stream)
        put(store, 3)
        assert take(stream, 3) == [2, 3, 4]


def test_its_repr_tells_whether_it_is_open(watcher: Watcher) -> None:
    stream = watcher.events("k")
    assert repr(stream) == "EventStream(open)"
    stream.close()
    assert repr(stream) == "EventStream(closed)"


@pytest.mark.parametrize("since", [0, -1, 1.5, True, "2"])
def test_a_since_that_is_no_revision_is_refused(watcher: Watcher, since: object) -> None:
    with pytest.raises(ValueError, match="since="):
        watcher.events("k", since=since)  # type: ignore[arg-type]  # that is what is tested


def test_a_stream_that_the_server_refuses_leaves_nothing_behind(
    watcher: Watcher, store: FakeStore
) -> None:
    store.fail_next("revision", ConnectionFailed("away"))
    with pytest.raises(ConnectionFailed):
        watcher.events("k")
    assert len(watcher._demux.router) == 0


# What wakes them.


def test_a_signal_that_comes_before_the_wait_is_not_missed() -> None:
    signal, ready = Signal(), [False]

    async def wait() -> None:
        await asyncio.wait_for(signal.wait_async(lambda: ready[0]), PATIENCE)

    ready[0] = True
    signal.set()
    signal.wait(lambda: ready[0])
    asyncio.run(wait())


def test_a_signal_wakes_all_who_wait() -> None:
    signal, ready = Signal(), [False]

    async def main() -> None:
        waiting = asyncio.gather(*[signal.wait_async(lambda: ready[0]) for _ in range(5)])
        await asyncio.sleep(0)
        ready[0] = True
        await asyncio.to_thread(signal.set)
        await asyncio.wait_for(waiting, PATIENCE)

    threads = [in_thread(lambda: signal.wait(lambda: ready[0])) for _ in range(5)]
    asyncio.run(main())
    for thread, _ in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_loop_that_closes_just_as_it_is_woken_is_passed_over() -> None:
    class Closing:
        def is_closed(self) -> bool:
            return False

        def call_soon_threadsafe(self, *_: object) -> None:
            raise RuntimeError("Event loop is closed")

    signal = Signal()
    signal._waiting.append((Closing(), asyncio.Event()))  # type: ignore[arg-type]  # a part of one
    signal.set()


def test_a_signal_passes_over_a_loop_that_is_closed() -> None:
    signal = Signal()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(signal.wait_async(lambda: False), 0.001)

    asyncio.run(give_up())
    signal.set()


def test_what_history_told_is_not_told_again_by_a_feed_that_is_behind_it(
    watcher: Watcher, store: FakeStore
) -> None:
    watcher.add_key(["a", "k", "z"])  # and so what lies between
    store.watch_number(1).hold()
    for number in range(5):
        store.commit(("k", str(number)), ("l", str(number)))
    # `k` has been watched since the beginning, `l` is from now on.
    with watcher.events(["k", "l"], since=2) as stream:
        assert take(stream, 10) == [revision for revision in range(2, 7) for _ in "kl"]
        store.watch_number(1).hold(held=False)
        last = store.commit(("k", "live"), ("l", "live"))
        assert take(stream, 2) == [last, last]
