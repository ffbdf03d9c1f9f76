"""Knowing that nothing is missing, on etcd v2, which has no word for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from etcd_watcher.event import EventType
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v2_poll
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_wire import Wire
from tests.stores.v2_follower import TIMEOUT, Follower, put, writing

ROUNDS = 300
"""Of each kind in an ordinary run. `make slow` makes ten times as many."""


@pytest.fixture
def store(any_etcd: LocalEtcd) -> Iterator[V2Store]:
    made = V2Store([any_etcd.url])
    yield made
    made.close()


def check_rounds(follower: Follower, own: str, rounds: int, *, new_keys: bool) -> None:
    """Put, ask for the revision, probe, and look whether the put was told."""
    store, told = follower.store, follower.events
    for number in range(rounds):
        looked_at = len(told)
        expected = []
        if new_keys and number % 3 == 0:
            key = f"{own}/new-{number}"
            revision = put(store, key)
            assert store.delete(key.encode(), TIMEOUT, prefix=False) == 1
            expected.append((EventType.DELETE, f"/{key}"))
        else:
            key = own if not new_keys else f"{own}/own"
            revision = put(store, key, str(number))
        expected.append((EventType.PUT, f"/{key}"))
        follower.sync()
        came = [event for event in told[looked_at:] if event.revision >= revision]
        missing = set(expected) - {(event.type, event.key) for event in came}
        assert not missing, f"round {number}: complete to {follower.complete} without {missing}"


@pytest.mark.parametrize(
    "rounds",
    [ROUNDS, pytest.param(10 * ROUNDS, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
@pytest.mark.parametrize("where", ["in the range", "beside it"])
def test_complete_is_never_said_too_early_while_others_write(
    store: V2Store, fresh_key: str, where: str, rounds: int
) -> None:
    directory = fresh_key if where == "in the range" else f"{fresh_key}-foreign"
    with (
        writing(store.endpoint, directory, pause=0.001, writers=2),
        Follower(store, fresh_key.encode(), prefix=True) as follower,
    ):
        check_rounds(follower, fresh_key, rounds, new_keys=True)


def test_complete_is_never_said_too_early_for_one_key_among_others(
    store: V2Store, fresh_key: str
) -> None:
    with (
        writing(store.endpoint, fresh_key, pause=0.001, writers=2),
        Follower(store, f"{fresh_key}/one".encode(), prefix=False) as follower,
    ):
        check_rounds(follower, f"{fresh_key}/one", ROUNDS, new_keys=False)


# Both ways to know are tested by themselves: looking at the changes one by one, and half-closing.


@pytest.fixture
def without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2_poll, "NEAR", 0)


@pytest.mark.usefixtures("without_looking")
def test_half_closing_alone_never_says_it_too_early(store: V2Store, fresh_key: str) -> None:
    with (
        writing(store.endpoint, f"{fresh_key}-foreign", pause=0.001, writers=2),
        Follower(store, fresh_key.encode(), prefix=True) as follower,
    ):
        check_rounds(follower, fresh_key, ROUNDS // 2, new_keys=True)


def cut(wire: Wire) -> None:
    """Do what a proxy does that takes a half-closed connection for a closed one."""
    wire._socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("without_looking")
def test_where_half_closing_does_not_work_quiet_is_enough(
    store: V2Store, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wire, "end", cut)
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        mine = put(store, f"{fresh_key}/mine")
        for _ in range(3):
            put(store, f"{fresh_key}-foreign")
            follower.sync()
        put(store, f"{fresh_key}/mine")
        follower.sync()
    assert [event.revision for event in follower.events] == [mine, mine + 4]


def test_a_quiet_server_is_complete_without_being_asked_for_more(
    store: V2Store, fresh_key: str
) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        last = put(store, f"{fresh_key}/x")
        follower.until(lambda: follower.complete >= last)
        follower.watch.probe(last)
        follower.sync()
        assert follower.complete == last


def test_several_may_ask_at_once(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        revisions = [put(store, f"{fresh_key}-foreign/{n}") for n in range(5)]
        for revision in (revisions[3], revisions[1], revisions[4]):
            follower.watch.probe(revision)
        follower.until(lambda: follower.complete >= revisions[4])


def test_a_refresh_beside_the_range_delays_nothing(store: V2Store, fresh_key: str) -> None:
    put(store, f"{fresh_key}-foreign", ttl=100)
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        for _ in range(3):
            refresh(store, f"{fresh_key}-foreign")
            follower.sync()
        assert follower.events == []


def refresh(store: V2Store, key: str) -> None:
    connection = HTTPConnection(str(urlsplit(store.endpoint).netloc), timeout=TIMEOUT)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "ttl=100&refresh=true&prevExist=true"
    connection.request("PUT", f"/v2/keys/{key}", body, form)
    assert connection.getresponse().status == HTTPStatus.OK
    connection.close()


def test_what_another_member_has_said_is_waited_for(any_version: str, fresh_key: str) -> None:
    # Its revision may be ahead of the member that we watch: the index there is asked for first.
    with LocalEtcd(version=any_version) as etcd:
        store, other = V2Store([etcd.url]), V2Store([etcd.url])
        with Follower(store, fresh_key.encode(), prefix=True) as follower:
            mine = put(other, f"{fresh_key}/x")
            last = put(other, "foreign")
            follower.watch.probe(last)
            follower.until(lambda: follower.complete >= last)
            assert [event.revision for event in follower.events] == [mine]
        store.close()
        other.close()
