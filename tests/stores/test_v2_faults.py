"""A watch of etcd v2 whose server, connection or reader does not do as it should."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from etcd_watcher.errors import ConnectionFailed, HistoryReplaced, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v2_poll
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_wire import Waker, Wire
from tests.clock import sooner_than
from tests.eventually import eventually
from tests.stores.v2_follower import TIMEOUT, Follower, put, writing

PROMPT = 0.2
"""Seconds in which a blocked read obeys, on a machine that has other things to do as well."""


@pytest.fixture
def server(any_version: str) -> Iterator[LocalEtcd]:
    with LocalEtcd(version=any_version) as etcd:
        yield etcd


@pytest.fixture
def store(server: LocalEtcd) -> Iterator[V2Store]:
    made = V2Store([server.url])
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubt a quiet server sooner, so that tests need not wait."""
    monkeypatch.setattr(v2_poll, "IDLE", 0.2)
    monkeypatch.setattr(v2_poll, "SIGN_OF_LIFE", 1.0)


def fastest(action: Callable[[], object], tries: int = 5) -> float:
    """Give the seconds of the fastest of some tries: what is not the machine's own delay."""
    seconds = []
    for _ in range(tries):
        began = time.monotonic()
        action()
        seconds.append(time.monotonic() - began)
    return min(seconds)


def test_a_write_that_was_sent_has_all_of_the_time_and_what_reads_its_share(
    etcd: LocalEtcd, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, left = Wire.receive, []

    def receive(self: Wire, waker: Waker, until: float) -> bytes:
        left.append(until - time.monotonic())
        return given(self, waker, until)

    monkeypatch.setattr(Wire, "receive", receive)
    key = f"/{fresh_key}".encode()
    with closing(V2Store([etcd.url, etcd.url.replace("127.0.0.1", "localhost")])) as store:
        store.get(key, 40)
        assert left.pop(0) <= 20
        left.clear()
        store.put(key, b"v", None, 40)
        assert left.pop(0) > 20
        left.clear()
        store.get(key, 40)  # on the same connection
        assert left.pop(0) <= 20


def test_a_blocked_read_obeys_at_once(store: V2Store) -> None:
    follower = Follower(store, b"a", prefix=True)
    scopes = [store.key_range(key, prefix=True) for key in (b"a/b", b"a")]

    def retarget() -> None:
        opened = follower.opened
        scopes.reverse()
        follower.watch.retarget(scopes[0], follower.complete)
        follower.until(lambda: follower.opened > opened)

    def probe() -> None:
        put(store, "foreign")
        follower.sync()

    assert fastest(retarget) < PROMPT
    assert fastest(probe) < PROMPT
    with sooner_than(PROMPT):
        follower.close()
    assert isinstance(follower.error, StoreClosed)


def test_closing_the_store_ends_its_watches_and_requests(store: V2Store, server: LocalEtcd) -> None:
    follower = Follower(store, b"a", prefix=True)
    errors: list[Exception] = []
    server.pause()
    thread = threading.Thread(target=lambda: errors.append(failure(store)))
    thread.start()
    assert eventually(lambda: store._requests)  # it is under way
    with sooner_than(0.5):
        store.close()
        thread.join(TIMEOUT)
        follower.thread.join(TIMEOUT)
    assert isinstance(errors[0], StoreClosed)
    assert isinstance(follower.error, StoreClosed)


def failure(store: V2Store) -> Exception:
    try:
        store.revision(TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whichever it is
        return error
    raise AssertionError("it answered")


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts as Linux does")
def test_nothing_is_left_open(store: V2Store, server: LocalEtcd) -> None:
    def use() -> None:
        mine = V2Store([server.url])
        with Follower(mine, b"a", prefix=True) as follower:
            put(mine, "a/x")
            put(mine, "b")
            follower.sync()
            follower.watch.retarget(mine.key_range(b"c", prefix=False), follower.complete)
        mine.watch(follower.scope, 1).close()
        mine.close()

    use()
    before = open_files(), threading.active_count()
    for _ in range(20):
        use()
    assert (open_files(), threading.active_count()) == before


def test_a_watch_that_cannot_even_connect_can_be_closed() -> None:
    # A full backlog: the kernel leaves whoever comes next without an answer.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)  # noqa: FBT003 - the socket module's way
            each.connect_ex(("127.0.0.1", port))
        store = V2Store([f"http://127.0.0.1:{port}"])
        watch = store.watch(KeyRange.of_prefix(b"/a/"), 0)
        errors: list[BaseException] = []

        def read() -> None:
            try:
                watch.read()
            except StoreClosed as error:
                errors.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        with sooner_than(1):
            watch.close()
            thread.join(TIMEOUT)
        assert errors
        store.close()
        for each in waiting:
            each.close()


def test_a_server_that_dies_ends_the_watch(store: V2Store, server: LocalEtcd) -> None:
    with Follower(store, b"a", prefix=True) as follower:
        server.kill()
        error = follower.until_error(2)
        assert isinstance(error, ConnectionFailed)
        assert server.url in str(error)
        with pytest.raises(ConnectionFailed, match="refused"):
            store.revision(TIMEOUT)


def test_after_a_restart_the_next_watch_misses_nothing(store: V2Store, server: LocalEtcd) -> None:
    with Follower(store, b"a", prefix=True) as follower:
        last = put(store, "a/1", "before")
        put(store, "a/2", "stays")
        follower.sync()
        server.restart()
        assert isinstance(follower.until_error(), ConnectionFailed)
    put(store, "a/1", "after")
    store.delete(b"a", TIMEOUT, prefix=True)
    with Follower(store, b"a", prefix=True, after=last + 1) as follower:
        follower.sync()
        assert [(event.key, event.value, event.prev_value) for event in follower.events] == [
            ("/a/1", "after", "before"),
            ("/a/1", None, "after"),
            ("/a/2", None, "stays"),
        ]


def test_a_server_with_a_new_life_is_a_loss(store: V2Store, server: LocalEtcd) -> None:
    with Follower(store, b"a", prefix=True) as follower:
        for _ in range(10):
            last = put(store, "a/1")
        follower.sync()
        server.stop()
        follower.until_error()
    server.start()  # without its data
    watch = store.watch(follower.scope, last)
    with pytest.raises(HistoryReplaced) as lost:
        watch.read()
    assert lost.value.revision < last
    snapshot = store.snapshot(follower.scope, None, TIMEOUT)
    assert snapshot.items == []
    with Follower(store, b"a", prefix=True, after=snapshot.revision) as follower:
        mine = put(store, "a/1")
        follower.sync()
        assert [event.revision for event in follower.events] == [mine]


@pytest.mark.slow
def test_a_paused_server_is_noticed_within_ten_seconds(store: V2Store, server: LocalEtcd) -> None:
    with Follower(store, b"a", prefix=True) as follower:
        server.pause()
        with sooner_than(10):
            assert isinstance(follower.until_error(), ConnectionFailed)


@pytest.mark.usefixtures("impatient")
def test_a_paused_server_is_noticed_and_one_that_went_on_is_not(
    store: V2Store, server: LocalEtcd
) -> None:
    with Follower(store, b"a", prefix=True) as follower:
        server.pause()
        server.resume()
        mine = put(store, "a/1")
        follower.sync()
        assert [event.revision for event in follower.events] == [mine]
        server.pause()
        assert isinstance(follower.until_error(), ConnectionFailed)


@pytest.mark.usefixtures("impatient")
def test_a_quiet_range_does_not_fall_behind_in_a_busy_server(
    store: V2Store, server: LocalEtcd
) -> None:
    with Follower(store, b"quiet", prefix=True) as follower:

        def be_busy() -> None:
            """Write three times what the server keeps: 1,000 changes, of which we are let have half."""
            for _ in range(6):
                with writing(server.url, "busy", count=500):
                    pass
                # It tells how far it is without being asked, so that a poll that is made anew does
                # not begin too early.
                written = store.revision(TIMEOUT)
                follower.until(lambda written=written: follower.complete >= written)  # type: ignore[misc]

        be_busy()
        first = put(store, "quiet/1")
        follower.until(lambda: follower.events)
        be_busy()
        second = put(store, "quiet/2")
        follower.sync()
        assert [event.revision for event in follower.events] == [first, second]


@pytest.mark.usefixtures("impatient")
def test_a_poll_that_grew_old_is_made_anew(store: V2Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_poll, "POLL_AGE", 0.0)
    closed = threading.Event()
    close = v2_poll.Poll._say_goodbye

    def notice(poll: v2_poll.Poll, wanted: int) -> None:
        close(poll, wanted)
        closed.set()

    monkeypatch.setattr(v2_poll.Poll, "_say_goodbye", notice)
    with Follower(store, b"a", prefix=True) as follower:
        assert closed.wait(TIMEOUT)
        mine = put(store, "a/1")
        follower.sync()
        assert [event.revision for event in follower.events] == [mine]


def test_a_burst_of_another_process_is_followed(store: V2Store, server: LocalEtcd) -> None:
    # At some 1,200 writes/s, which python-etcd's own loop does not follow beside them on two cores.
    # We follow any one writer there, unless the machine keeps us from running while it writes 1,000
    # times; the pause is for such a machine.
    with Follower(store, b"burst", prefix=True) as follower:
        with writing(server.url, "burst", count=3_000, pause=0.0005):
            follower.until(lambda: len(follower.events) == 3_000, 90)
        assert [int(event.value or "") for event in follower.events] == list(range(3_000))


@pytest.mark.parametrize("step", [1, 2, 3, 10])
def test_catching_up_tells_each_change_once_whatever_lies_between(
    store: V2Store, step: int
) -> None:
    begin = store.revision(TIMEOUT)
    mine = []
    for number in range(600):
        if number % step == 0 or 200 < number < 300:
            mine.append(put(store, f"mine/{number}"))
        else:
            put(store, "foreign")
    with Follower(store, b"mine", prefix=True, after=begin) as follower:
        follower.sync()
        assert [event.revision for event in follower.events] == mine


def test_after_a_write_without_an_answer_the_next_goes_elsewhere(etcd: LocalEtcd) -> None:
    with LocalEtcd() as paused, closing(V2Store([paused.url, etcd.url])) as store:
        paused.pause()
        with pytest.raises(ConnectionFailed, match="it may have done so, or not"):
            store.put(b"/k", b"v", None, 0.4)
        assert store.put(b"/k", b"v", None, 10.0) > 0
        assert store.endpoint == etcd.url
