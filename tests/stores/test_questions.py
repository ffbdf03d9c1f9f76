"""What widgets ask of a store beyond its keys' changes, on both APIs."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import Conflict, ConnectionFailed, RequestRejected, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v2_questions
from etcd_watcher.stores.base import KeyPage, Store
from etcd_watcher.stores.open import open_store

TIMEOUT = 10.0


@pytest.fixture(params=["v2", "v3"])
def store(request: pytest.FixtureRequest, any_etcd: LocalEtcd) -> Iterator[Store]:
    made = open_store(any_etcd.endpoints, api=request.param, credentials=Credentials(), timeout=5)
    yield made
    made.close()


def slashed(store: Store, key: str) -> bytes:
    """Give a key as the store names it."""
    return f"/{key}".encode() if store.api == "v2" else key.encode()


def pages(store: Store, scope: KeyRange, limit: int) -> list[KeyPage]:
    """Read a whole range, page by page."""
    read = [store.keys(scope, None, limit, TIMEOUT)]
    while read[-1].after is not None:
        read.append(store.keys(scope, read[-1].after, limit, TIMEOUT))
    return read


def names(read: list[KeyPage]) -> list[bytes]:
    return [head.raw_key for page in read for head in page.heads]


# Where bytes sort otherwise than people or trees: "-" comes before "/", "0" behind it.
TREE = ["a-b", "a/1", "a/2/x", "a/2/y", "a/20", "a0", "b/c/d/e/f", "z"]


@pytest.mark.parametrize("limit", [1, 2, 3, len(TREE), 100])
def test_keys_come_in_pages_each_once_and_in_order(
    store: Store, fresh_key: str, limit: int
) -> None:
    for name in TREE:
        store.put(f"{fresh_key}/{name}".encode(), b"v", None, TIMEOUT)
    store.put(f"{fresh_key}0".encode(), b"a neighbour", None, TIMEOUT)
    scope = KeyRange.of_prefix(slashed(store, f"{fresh_key}/"))
    read = pages(store, scope, limit)
    assert names(read) == sorted(slashed(store, f"{fresh_key}/{name}") for name in TREE)
    assert all(len(page.heads) <= limit for page in read)
    assert len(read) <= -(-len(TREE) // limit)
    counts = [page.count for page in read]
    left = [max(0, len(TREE) - number * limit) for number in range(len(read))]
    assert counts == ([None] * len(read) if store.api == "v2" else left)


def test_the_beginning_of_a_name_finds_keys(store: Store, fresh_key: str) -> None:
    for name in ["nokia", "nobody/knows", "redhat"]:
        store.put(f"{fresh_key}/{name}".encode(), b"v", None, TIMEOUT)
    scope = KeyRange.of_prefix(slashed(store, f"{fresh_key}/no"))
    assert names(pages(store, scope, 10)) == [
        slashed(store, f"{fresh_key}/{name}") for name in ["nobody/knows", "nokia"]
    ]


def test_a_page_begins_behind_any_key_there_or_not(store: Store, fresh_key: str) -> None:
    for name in TREE:
        store.put(f"{fresh_key}/{name}".encode(), b"v", None, TIMEOUT)
    scope = KeyRange.of_prefix(slashed(store, f"{fresh_key}/"))
    everything = names(pages(store, scope, 100))
    for name in [*TREE, "", "a", "a/", "a/2", "a/3", "b/c/d", "zz"]:
        after = slashed(store, f"{fresh_key}/{name}")
        page = store.keys(scope, after, 100, TIMEOUT)
        assert [head.raw_key for head in page.heads] == [key for key in everything if key > after]


def test_a_head_tells_what_a_read_tells_but_for_the_value(store: Store, fresh_key: str) -> None:
    key = fresh_key.encode()
    created = store.put(key, b"one", None, TIMEOUT)
    store.put(key, b"two", None, TIMEOUT)
    (head,) = store.keys(store.key_range(key, prefix=False), None, 5, TIMEOUT).heads
    found = store.get(key, TIMEOUT)
    assert found is not None
    told = (head.raw_key, head.revision, head.created, head.version, head.lease)
    assert told == (found.raw_key, found.revision, found.created, found.version, found.lease)
    assert not head.expires
    # v2 makes a key anew with each set.
    assert head.created == (created if store.api == "v3" else found.revision)
    store.put(key, b"three", 100, TIMEOUT)
    (head,) = store.keys(store.key_range(key, prefix=False), None, 5, TIMEOUT).heads
    assert head.expires


def test_a_range_without_keys_is_one_empty_page(store: Store, fresh_key: str) -> None:
    scope = store.key_range(fresh_key.encode(), prefix=True)
    page = store.keys(scope, None, 5, TIMEOUT)
    assert (page.heads, page.after, page.count or 0) == ([], None, 0)
    assert page.revision > 0


def test_many_empty_directories_are_not_walked_for_one_page(
    etcd: LocalEtcd, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2_questions, "MOST_DIRECTORIES", 3)
    store = open_store(etcd.endpoints, api="v2", credentials=Credentials(), timeout=5)
    for number in range(7):
        key = f"{fresh_key}/{number}/key".encode()
        store.put(key, b"v", None, TIMEOUT)
        store.delete(key, TIMEOUT, prefix=False)
    store.put(f"{fresh_key}/8/key".encode(), b"v", None, TIMEOUT)
    read = pages(store, store.key_range(fresh_key.encode(), prefix=True), 10)
    assert names(read) == [f"/{fresh_key}/8/key".encode()]
    assert len(read) > 2
    store.close()


def test_a_write_is_made_only_at_the_revision_it_was_meant_for(
    store: Store, fresh_key: str
) -> None:
    key = fresh_key.encode()
    first = store.compare_and_put(key, b"one", 0, TIMEOUT)
    second = store.compare_and_put(key, b"two", first, TIMEOUT)
    assert first < second
    for expected in (first, 0, second + 1):
        with pytest.raises(Conflict, match="somebody else wrote it") as caught:
            store.compare_and_put(key, b"lost", expected, TIMEOUT)
        assert (caught.value.expected, caught.value.revision) == (expected, second)
    with pytest.raises(Conflict) as caught:
        store.compare_and_delete(key, first, TIMEOUT)
    assert caught.value.revision == second
    found = store.get(key, TIMEOUT)
    assert found is not None
    assert (found.raw_value, found.revision) == (b"two", second)
    store.compare_and_delete(key, second, TIMEOUT)
    assert store.get(key, TIMEOUT) is None
    for write in (
        lambda: store.compare_and_put(key, b"lost", second, TIMEOUT),
        lambda: store.compare_and_delete(key, second, TIMEOUT),
    ):
        with pytest.raises(Conflict, match="it is not there") as caught:
            write()
        assert caught.value.revision == 0
    assert store.get(key, TIMEOUT) is None


def test_a_conflict_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(Conflict("nokia", 3, 0)))  # noqa: S301 - our own
    assert (again.key, again.expected, again.revision) == ("nokia", 3, 0)
    assert "'nokia' was to be at revision 3, and it is not there" in str(again)


def test_a_key_says_how_long_it_lives(store: Store, fresh_key: str) -> None:
    key = fresh_key.encode()
    assert store.time_left(key, TIMEOUT) is None
    revision = store.compare_and_put(key, b"v", 0, TIMEOUT, ttl=1000)
    life = store.time_left(key, TIMEOUT)
    assert life is not None
    assert 0 < life.left <= 1000
    assert bool(life.lease) == (store.api == "v3")
    assert life.granted == (1000 if store.api == "v3" else 0)
    if store.api == "v3":
        revision = store.compare_and_put(key, b"w", revision, TIMEOUT, lease=life.lease)
        kept = store.time_left(key, TIMEOUT)
        assert kept is not None
        assert kept.lease == life.lease
        with pytest.raises(RequestRejected, match="lease not found"):
            store.compare_and_put(key, b"x", revision, TIMEOUT, lease=1)
    else:
        with pytest.raises(ValueError, match="no leases"):
            store.compare_and_put(key, b"x", revision, TIMEOUT, lease=1)
    store.compare_and_put(key, b"v", revision, TIMEOUT)
    assert store.time_left(key, TIMEOUT) is None


def test_a_store_tells_how_its_cluster_stands(store: Store, any_etcd: LocalEtcd) -> None:
    cluster = store.cluster(TIMEOUT)
    assert cluster.version == any_etcd.version
    assert cluster.revision == store.revision(TIMEOUT)
    (member,) = cluster.members
    assert member.leads
    assert cluster.leader == member.name
    assert any_etcd.url in member.urls
    assert (cluster.size > 0) == (store.api == "v3")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_without_a_server_each_question_says_so(etcd: LocalEtcd, api: str) -> None:
    with LocalEtcd() as own:
        store = open_store(own.endpoints, api=api, credentials=Credentials(), timeout=5)
    scope = KeyRange.of_prefix(b"/")
    for ask in (
        lambda: store.keys(scope, None, 5, TIMEOUT),
        lambda: store.compare_and_put(b"k", b"v", 0, TIMEOUT),
        lambda: store.compare_and_delete(b"k", 5, TIMEOUT),
        lambda: store.time_left(b"k", TIMEOUT),
        lambda: store.cluster(TIMEOUT),
    ):
        with pytest.raises(ConnectionFailed):
            ask()
    store.close()
    with pytest.raises(StoreClosed):
        store.cluster(TIMEOUT)
