"""A long past is read from another member than the one that tells what comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event
from etcd_watcher.local import LocalCluster, LocalEtcd
from etcd_watcher.stores import v3_past
from etcd_watcher.stores.history import replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection
from tests.stores.v3_past import ALL, TIMEOUT, mixed, told_by_a_watch, write

REVISIONS = 6_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(version="3.5") as made:
        write(made, mixed(REVISIONS))
        yield made


@pytest.fixture
def store(cluster: LocalCluster) -> Iterator[V3Store]:
    made = V3Store(cluster.endpoints, history_watchers=1, history_copy_bytes=0)
    made.connect(TIMEOUT)
    yield made
    made.close()


@pytest.fixture
def truth(store: V3Store) -> list[Event]:
    return told_by_a_watch(store, ALL, 1, store.revision(TIMEOUT))


@pytest.fixture
def connected(store: V3Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The endpoints that are connected to for the past."""
    endpoints: list[str] = []
    connect = store._past._connect

    def noted(endpoint: str) -> Connection:
        endpoints.append(endpoint)
        return connect(endpoint)

    monkeypatch.setattr(store._past, "_connect", noted)
    return endpoints


def told(batches: Iterator[list[Event]]) -> list[Event]:
    return list(itertools.chain.from_iterable(batches))


def test_another_member_is_asked(store: V3Store, truth: list[Event], connected: list[str]) -> None:
    assert told(replay(store, ALL, 1, truth[-1].revision)) == truth
    assert connected == [store.endpoints[1]]


def test_it_is_another_one_wherever_we_are(
    store: V3Store, truth: list[Event], connected: list[str]
) -> None:
    store.rotate(store.turn)
    store.rotate(store.turn)
    assert told(replay(store, ALL, 1, truth[-1].revision)) == truth
    assert connected == [store.endpoints[0]]


def test_one_that_is_away_is_passed_by(
    cluster: LocalCluster, store: V3Store, truth: list[Event], connected: list[str]
) -> None:
    cluster.faults.kill("m2")
    try:
        assert told(replay(store, ALL, 1, truth[-1].revision)) == truth
    finally:
        cluster.faults.start("m2")
    assert connected == list(store.endpoints[1:])


def test_a_stranger_that_has_the_same_revisions_is_passed_by(
    cluster: LocalCluster, truth: list[Event]
) -> None:
    with LocalEtcd(version="3.5") as stranger:
        write(stranger, mixed(REVISIONS + 10, seed=2))
        ours = cluster.endpoints[0]
        with closing(V3Store([ours, stranger.url])) as store:
            store.connect(TIMEOUT)
            assert told(replay(store, ALL, 1, truth[-1].revision)) == truth
            store._requests._absences.note(ours)  # who is late once is not asked first
            assert told(replay(store, ALL, 1, truth[-1].revision)) == truth


def test_one_that_does_not_say_which_cluster_it_is_of_is_read_itself(
    store: V3Store, truth: list[Event], connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Connection.call

    def call(self: Connection, name: str, request: Any, timeout: float) -> Any:
        if name == "status" and self is store.connection():
            raise self.failed("no answer in time", late=True)
        return given(self, name, request, timeout)

    monkeypatch.setattr(Connection, "call", call)
    assert told(replay(store, ALL, 1, truth[-1].revision)) == truth
    assert connected == [store.endpoints[0]]


def test_one_that_is_behind_is_passed_by(
    store: V3Store, truth: list[Event], connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = truth[-1].revision
    monkeypatch.setattr(v3_past, "FAR", last)  # nothing comes by the way that this asks for
    list(store._past.read(store.endpoints, ALL, 1, last + 1000))
    assert connected == [*store.endpoints[1:], store.endpoints[0]]


def test_one_that_is_only_a_moment_behind_is_waited_for(
    store: V3Store, truth: list[Event], connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Connection.call
    behind = [3, 2, 1]

    def call(self: Connection, name: str, request: Any, timeout: float) -> Any:
        reply = given(self, name, request, timeout)
        if name == "status" and behind:
            reply.header.revision = truth[-1].revision - behind.pop(0)
        return reply

    monkeypatch.setattr(Connection, "call", call)
    assert told(replay(store, ALL, 1, truth[-1].revision)) == truth
    assert connected == [store.endpoints[1]]
    assert not behind


def test_one_that_goes_in_the_middle_is_gone_on_without(
    cluster: LocalCluster, store: V3Store, truth: list[Event], connected: list[str]
) -> None:
    batches = replay(store, ALL, 1, truth[-1].revision)
    events = list(next(batches))
    cluster.faults.kill("m2")
    try:
        events += told(batches)
    finally:
        cluster.faults.start("m2")
    assert events == truth
    assert connected == [store.endpoints[1], store.endpoints[0]]


def test_closing_the_store_ends_it(store: V3Store, truth: list[Event]) -> None:
    batches = replay(store, ALL, 1, truth[-1].revision)
    next(batches)
    store.close()
    with pytest.raises(StoreClosed):
        told(batches)
