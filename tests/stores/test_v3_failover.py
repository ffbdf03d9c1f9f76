"""Requests of a v3 store whose endpoint goes away, comes back, or is left by the feed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import Conflict, ConnectionFailed, Denied, RequestRejected, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v3_connection, v3_requests, wire
from etcd_watcher.stores.rpc import ChannelClosed, RpcError, StatusCode
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from etcd_watcher.stores.v3_events import ended
from tests.stores.v3_failing import Scripted, always
from tests.stores.v3_failing import store as store  # noqa: PLC0414 - a fixture
from tests.stores.v3_failing import two as two  # noqa: PLC0414 - a fixture
from tests.threads import in_thread

TIMEOUT = 10.0


@pytest.fixture
def paused_first(etcd: LocalEtcd) -> Iterator[V3Store]:
    """Give a store whose first endpoint does not answer, and whose second does."""
    with (
        LocalEtcd() as paused,
        closing(V3Store([paused.url, etcd.url], credentials=Credentials())) as made,
    ):
        assert made.revision(TIMEOUT) == 1
        paused.pause()
        yield made


@pytest.fixture
def replaced_first(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connection replaced between being asked for and being used, the first time."""
    given = store._requests._present
    times = iter([True])

    def present() -> tuple[Connection, int]:
        found = given()
        if next(times, False):
            store.rotate(store.turn)
        return found

    monkeypatch.setattr(store._requests, "_present", present)


@pytest.mark.usefixtures("replaced_first")
def test_a_read_is_made_on_the_new_connection(store: V3Store) -> None:
    assert store.revision(TIMEOUT) >= 1


@pytest.mark.usefixtures("replaced_first")
def test_a_write_is_made_on_the_new_connection_where_it_was_not_sent_on_the_old(
    store: V3Store, fresh_key: str
) -> None:
    revision = store.put(fresh_key.encode(), b"v", None, TIMEOUT)
    found = store.get(fresh_key.encode(), TIMEOUT)
    assert found is not None
    assert (found.revision, found.version) == (revision, 1)


@pytest.mark.usefixtures("replaced_first")
def test_a_watch_fails_as_one_that_can_be_opened_again(store: V3Store) -> None:
    with pytest.raises(ConnectionFailed, match="was replaced"):
        store.watch(KeyRange.of_key(b"k"), 0)
    watch = store.watch(KeyRange.of_key(b"k"), 0)
    assert watch.read().opened
    watch.close()


def begun(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, name: str, *, soon: bool = False
) -> threading.Event:
    """Tell when a request of a kind is on its way, or is to be soon."""
    sent = threading.Event()
    calls = store.connection().calls
    given = calls[name]

    def call(*arguments: Any, **options: Any) -> Any:
        if soon:
            sent.set()
        call = given.begin(*arguments, **options)
        sent.set()
        return call.result()

    monkeypatch.setitem(calls, name, call)
    return sent


def test_a_read_that_hangs_when_the_connection_is_replaced_is_made_again(
    paused_first: V3Store,
) -> None:
    thread, found = in_thread(lambda: paused_first.revision(60))
    assert thread.is_alive()
    paused_first.rotate(0)
    thread.join(TIMEOUT)
    assert isinstance(found[0], int)


def test_a_write_under_way_when_the_connection_is_replaced_is_not_made_again(
    paused_first: V3Store, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = begun(paused_first, monkeypatch, "put")
    thread, found = in_thread(lambda: paused_first.put(fresh_key.encode(), b"v", None, 60))
    assert sent.wait(TIMEOUT)
    paused_first.rotate(0)
    thread.join(TIMEOUT)
    assert "it may have done so, or not" in str(found[0])
    assert paused_first.get(fresh_key.encode(), TIMEOUT) is None


def test_another_endpoint_is_read_from_where_the_one_in_use_does_not_answer(
    paused_first: V3Store, etcd: LocalEtcd
) -> None:
    first, second = paused_first.endpoints
    assert second == etcd.url
    # Half of it is less than the 2 s after which gRPC misses a sign of life, and the endpoint is left.
    assert paused_first.revision(3) >= 1
    assert paused_first.endpoint == first  # that is for the feed to judge


def test_the_past_is_read_elsewhere_where_the_endpoint_in_use_does_not_answer(
    paused_first: V3Store, etcd: LocalEtcd, fresh_key: str
) -> None:
    etcd.put(fresh_key, "v")
    scope = KeyRange.of_prefix(fresh_key.encode())
    now = paused_first.snapshot(scope, None, 3)
    assert [each.raw_value for each in now.items] == [b"v"]
    assert paused_first.snapshot(scope, now.revision - 1, 3).items == []
    assert paused_first.endpoint == paused_first.endpoints[0]


def test_closing_ends_a_large_read_under_way(
    paused_first: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, asked = Connection.call, threading.Event()

    def call(self: Connection, *arguments: Any) -> Any:
        asked.set()
        return given(self, *arguments)

    monkeypatch.setattr(Connection, "call", call)
    thread, found = in_thread(lambda: paused_first.snapshot(KeyRange.of_prefix(b""), None, 60))
    assert asked.wait(TIMEOUT)
    paused_first.close()
    thread.join(TIMEOUT)
    assert isinstance(found[0], StoreClosed)


def test_all_are_named_where_none_answers() -> None:
    with LocalEtcd() as paused, LocalEtcd() as gone:
        store = V3Store([paused.url, gone.url], credentials=Credentials())
        assert store.revision(TIMEOUT) == 1
        paused.pause()
        gone.stop()
        with pytest.raises(ConnectionFailed) as failed, closing(store):
            store.revision(1)
        assert f"{paused.url}: no answer in time; {gone.url}: connection refused" in str(
            failed.value
        )


def test_all_are_named_where_no_time_was_left_to_ask_them(two: V3Store) -> None:
    two._requests._absences.note(two.endpoint)  # so that the others are asked first
    with pytest.raises(ConnectionFailed) as failed:
        two._requests.read("range", wire.RangeRequest(key=b"k"), 0.0)
    for url in two.endpoints:
        assert f"{url}: no time was left to ask it" in str(failed.value)


@pytest.mark.parametrize("watched", [False, True])
def test_a_write_goes_to_the_next_endpoint_where_one_is_gone(
    etcd: LocalEtcd, fresh_key: str, *, watched: bool
) -> None:
    with LocalEtcd() as gone:
        store = V3Store([gone.url, etcd.url], credentials=Credentials())
        assert store.revision(TIMEOUT) == 1
        watch = store.watch(KeyRange.of_key(b"k"), 0) if watched else None
        gone.stop()
        with closing(store):
            # The first may learn of the end from its answer; what comes next can not.
            with_luck = in_thread(lambda: store.put(b"first", b"v", None, TIMEOUT))[0]
            with_luck.join(TIMEOUT)
            assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
            assert store.endpoint == etcd.url
            if watch is not None:
                watch.close()


@pytest.mark.parametrize("ask", ["put", "revision"])
def test_a_server_that_is_back_answers_at_once_whatever_was_before(ask: str) -> None:
    with LocalEtcd() as server, closing(V3Store([server.url], credentials=Credentials())) as store:
        watch = store.watch(KeyRange.of_key(b"k"), 0)  # gRPC notices the end by itself
        for number in range(5):
            server.kill()
            with pytest.raises(ConnectionFailed):
                store.revision(TIMEOUT)
            server.start()
            if ask == "put":
                assert store.put(b"k", b"v", None, TIMEOUT) == number + 2
            else:
                assert store.revision(TIMEOUT) == 1
        watch.close()


def test_what_comes_behind_a_write_that_was_lost_with_its_connection_goes_elsewhere(
    store: V3Store, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.connection()
    lost = first.failed("the connection was reset")
    monkeypatch.setattr(first, "call", Scripted(first.call, lost))
    with pytest.raises(ConnectionFailed, match="it may have done so, or not"):
        store.put(fresh_key.encode(), b"v", None, TIMEOUT)
    assert store.connection() is not first
    assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1


def test_the_number_of_tries_is_bounded(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def call(self: Connection, *_: object) -> object:
        asked.append(self.endpoint)
        raise self.failed("connection refused", sent=False)

    monkeypatch.setattr(Connection, "call", call)
    with pytest.raises(ConnectionFailed, match="connection refused"):
        store.put(b"k", b"v", None, TIMEOUT)
    assert len(asked) == v3_requests.TRIES * len(store.endpoints)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.revision(TIMEOUT),
        lambda store: store.put(b"k", b"v", None, TIMEOUT),
        lambda store: store.watch(KeyRange.of_key(b"k"), 0),
        lambda store: store.time_left(b"k", TIMEOUT),
    ],
)
def test_once_closed_it_says_so(store: V3Store, ask: Callable[[V3Store], object]) -> None:
    store.close()
    with pytest.raises(StoreClosed):
        ask(store)


def test_closing_ends_a_request_under_way(
    paused_first: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = begun(paused_first, monkeypatch, "put")
    thread, found = in_thread(lambda: paused_first.put(b"k", b"v", None, 60))
    assert sent.wait(TIMEOUT)
    paused_first.close()
    thread.join(TIMEOUT)
    assert isinstance(found[0], StoreClosed)


def test_leases_that_are_asked_for_on_a_closed_channel_are_no_defect_either(
    etcd: LocalEtcd,
) -> None:
    connection = Connection(etcd.url, Credentials())
    connection.close()
    with pytest.raises(StoreClosed):  # which a watch knows: its connection was replaced
        ended([1], connection)


def test_a_closed_channel_is_no_defect(etcd: LocalEtcd) -> None:
    connection = Connection(etcd.url, Credentials())
    connection.close()
    with pytest.raises(ChannelClosed):
        connection.call("status", wire.StatusRequest(), TIMEOUT)


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ("context deadline exceeded", "no answer in time"),
        ("context canceled", "the server is stopping"),
        ("etcdserver: request canceled", "request canceled"),
        ("raft: stopped", "the server is stopping"),
    ],
)
def test_a_server_that_drops_a_write_has_not_refused_it(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, details: str, reason: str
) -> None:
    """Etcd says so with the code UNKNOWN or CANCELLED; the write may have been carried out."""
    calls = store.connection().calls
    code = StatusCode.CANCELLED if "etcd" in details else StatusCode.UNKNOWN
    call = Scripted(calls["put"], RpcError(code, details))
    monkeypatch.setitem(calls, "put", call)
    with pytest.raises(ConnectionFailed, match=f"{reason}.*it may have done so, or not"):
        store.put(b"k", b"v", None, TIMEOUT)
    assert call.calls == 1


@pytest.mark.parametrize("refusal", ["rpc not supported for learner", "not capable"])
def test_an_endpoint_that_cannot_serve_is_left(
    two: V3Store, monkeypatch: pytest.MonkeyPatch, fresh_key: str, refusal: str
) -> None:
    told = RpcError(StatusCode.UNAVAILABLE, f"etcdserver: {refusal}")
    calls = two.connection().calls
    monkeypatch.setitem(calls, "put", Scripted(calls["put"], *[told] * 9))
    assert two.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
    assert two.endpoint == two.endpoints[1]


def test_what_connects_to_no_answer_never_left(
    etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    monkeypatch.setattr(v3_connection, "CONNECTING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with closing(V3Store([mute, etcd.url], credentials=Credentials())) as store:
            assert store.put(fresh_key.encode(), b"v", None, TIMEOUT) > 1
            assert store.endpoint == etcd.url


@pytest.fixture
def mute() -> Iterator[str]:
    """Give the URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_a_write_whose_time_is_up_while_it_connects_was_never_sent(mute: str) -> None:
    with closing(V3Store([mute], credentials=Credentials())) as store:
        with pytest.raises(ConnectionFailed, match="no answer in time") as failed:
            store.put(b"k", b"v", None, 0.3)
        assert type(failed.value) is ConnectionFailed  # no name that nobody knows
        assert "it may have done so" not in str(failed.value)


def test_a_write_goes_elsewhere_where_the_endpoint_in_use_cannot_be_connected_to(
    mute: str, etcd: LocalEtcd, fresh_key: str
) -> None:
    with closing(V3Store([mute, etcd.url], credentials=Credentials())) as store:
        # Half of it is less than it tries to connect.
        assert store.put(fresh_key.encode(), b"v", None, 3) > 1
        found = store.get(fresh_key.encode(), TIMEOUT)
        assert found is not None
        assert found.version == 1


@pytest.mark.parametrize("ask", ["greeting", "login"])
def test_a_write_whose_connection_is_replaced_before_it_is_sent_is_made_on_the_new_one(
    ask: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = "luis" if ask == "login" else None
    first = "authenticate" if ask == "login" else "status"
    with LocalEtcd() as paused, LocalEtcd(user=user) as server:
        credentials = Credentials(server.user, server.password)
        with closing(V3Store([paused.url, server.url], credentials=credentials)) as store:
            paused.pause()
            sent = begun(store, monkeypatch, first, soon=True)
            thread, found = in_thread(lambda: store.put(b"k", b"v", None, 60))
            assert sent.wait(TIMEOUT)
            store.rotate(0)
            thread.join(TIMEOUT)
            assert isinstance(found[0], int), found


@pytest.mark.parametrize(
    ("ask", "second", "longest"),
    [
        (lambda store: store.put(b"k", b"v", 60, 3), "put", 1.5),
        (lambda store: store.compare_and_put(b"k", b"v", 0, 3, ttl=60), "txn", 1.5),
        (lambda store: store.time_left(b"k", 3), "time_to_live", 0.75),
        (lambda store: store.cluster(3), "members", 0.75),
    ],
)
def test_what_takes_two_requests_takes_no_longer_than_one(
    paused_first: V3Store,
    etcd: LocalEtcd,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[V3Store], object],
    second: str,
    longest: float,
) -> None:
    """The first takes half of the time, and what only reads has half of the rest at each."""
    with closing(V3Store([etcd.url], credentials=Credentials())) as store:
        store.put(b"k", b"v", 60, TIMEOUT)
    given, timeouts = Connection.call, []

    def call(self: Connection, name: str, request: Any, timeout: float) -> Any:
        if name == second:
            timeouts.append(timeout)
        return given(self, name, request, timeout)

    monkeypatch.setattr(Connection, "call", call)
    with suppress(ConnectionFailed, Conflict):  # the first endpoint is still the one in use
        ask(paused_first)
    assert timeouts[0] <= longest


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.learn_rights(3),
        lambda store: store.revision(3),
    ],
)
def test_what_a_user_may_read_takes_no_longer_to_ask_than_one_request(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[V3Store], object]
) -> None:
    timeouts = []

    def read(name: str, _: object, timeout: float) -> object:
        timeouts.append(timeout)
        if name == "user":
            return wire.UserGetResponse(roles=["one", "other"])
        if name == "role":
            return wire.RoleGetResponse()
        raise Denied("permission denied")

    store = V3Store(["http://127.0.0.1:1"], credentials=Credentials(user="luis", password="secret"))
    with closing(store):
        monkeypatch.setattr(store._requests, "read", read)
        with suppress(Denied):
            ask(store)
    assert len(timeouts) >= 3
    assert timeouts == sorted(timeouts, reverse=True)
    assert len(set(timeouts)) == len(timeouts)


def test_how_a_cluster_stands_another_endpoint_tells_where_the_one_in_use_is_silent(
    paused_first: V3Store,
) -> None:
    assert paused_first.cluster(5).members


def test_a_write_that_nobody_takes_names_all_who_were_asked() -> None:
    with LocalEtcd() as one, LocalEtcd() as other:
        urls = [one.url, other.url]
    with closing(V3Store(urls, credentials=Credentials())) as store:
        with pytest.raises(ConnectionFailed) as failed:
            store.put(b"k", b"v", None, TIMEOUT)
        for url in urls:
            assert f"{url}: connection refused" in str(failed.value)


def test_closing_ends_a_request_beside(
    paused_first: V3Store, etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = paused_first.endpoint
    with closing(V3Store([etcd.url, paused], credentials=Credentials())) as store:
        connection, connect = store.connection(), store._requests._connect
        late = connection.failed("no answer in time", late=True)
        monkeypatch.setattr(Connection, "call", always(connection, late))
        beside = threading.Event()

        def note(endpoint: str) -> Connection:
            beside.set()
            return connect(endpoint)

        monkeypatch.setattr(store._requests, "_connect", note)
        thread, found = in_thread(lambda: store.revision(60))
        assert beside.wait(TIMEOUT)
        store.close()
        thread.join(TIMEOUT)
        assert isinstance(found[0], StoreClosed)


def test_a_server_that_cancels_all_is_given_up(
    store: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = store.connection()
    call = Scripted(connection.call, *[StoreClosed("cancelled")] * 1000)
    monkeypatch.setattr(connection, "call", call)
    with pytest.raises(ConnectionFailed):
        store.revision(TIMEOUT)
    assert call.calls == v3_requests.TRIES * len(store.endpoints)


def test_a_login_that_takes_too_long_leaves_nobody_and_names_the_endpoint(etcd: LocalEtcd) -> None:
    store = V3Store([etcd.url], credentials=Credentials(user="luis", password="secret"))
    with closing(store):
        store._login._asked.add(etcd.url)  # as by somebody who is logging in
        connection = store.connection()
        with pytest.raises(ConnectionFailed, match=etcd.url) as failed:
            store.put(b"k", b"v", None, 0.1)
        assert type(failed.value) is ConnectionFailed  # no name that nobody knows
        assert store.connection() is connection


@pytest.mark.parametrize(
    ("write", "refusal"),
    [
        (lambda store, key: store.compare_and_put(key, b"v", 1, TIMEOUT, ttl=600), Conflict),
        (lambda store, key: store.put(key, b"v" * 4_000_000, 600, TIMEOUT), RequestRejected),
    ],
)
def test_a_write_that_is_refused_leaves_no_lease(
    store: V3Store,
    fresh_key: str,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[V3Store, bytes], object],
    refusal: type[Exception],
) -> None:
    given, leases = store._requests.read, []

    def read(name: str, request: Any, timeout: float) -> Any:
        answer = given(name, request, timeout)
        if name == "grant":
            leases.append(answer.ID)
        return answer

    monkeypatch.setattr(store._requests, "read", read)
    with pytest.raises(refusal):
        write(store, fresh_key.encode())
    life = given("time_to_live", wire.LeaseTimeToLiveRequest(ID=leases[0]), TIMEOUT)
    assert life.TTL == -1
