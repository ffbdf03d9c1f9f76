"""Reading and writing over etcd v2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ApiNotServed, ConnectionFailed, RequestRejected, StoreClosed
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.local.ports import free_ports
from etcd_watcher.stores.base import KeyValue, Store
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_served import serves_v2
from tests.stores.v2_follower import TIMEOUT, put

ODD = [
    "x#y",
    "q?r=1",
    "p%25q",
    "50%",
    "a b",
    " ",
    "+",
    "a&b",
    "é/ü",
    "日本",
    "a;b",
    "a\nb",
    "~'\"<>",
]


@pytest.fixture
def store(any_etcd: LocalEtcd) -> Iterator[V2Store]:
    made = V2Store([any_etcd.url])
    yield made
    made.close()


def get(store: V2Store, key: str) -> KeyValue | None:
    return store.get(key.encode(), TIMEOUT)


def test_it_is_a_store(store: V2Store) -> None:
    known: Store = store
    assert known.api == "v2"
    assert known.endpoint == known.endpoints[0]
    assert repr(store) == f"V2Store({store.endpoint})"


def test_what_is_put_is_there_with_its_revision(store: V2Store, fresh_key: str) -> None:
    first = put(store, fresh_key, "one")
    second = put(store, fresh_key, "two")
    assert first < second <= store.revision(TIMEOUT)
    key = f"/{fresh_key}".encode()
    assert get(store, fresh_key) == KeyValue(key, b"two", second, second, 0, 0)
    assert store.delete(fresh_key.encode(), TIMEOUT, prefix=False) == 1
    assert get(store, fresh_key) is None
    assert store.delete(fresh_key.encode(), TIMEOUT, prefix=False) == 0


@pytest.mark.parametrize("name", ODD)
def test_any_text_is_a_key_of_its_own(store: V2Store, fresh_key: str, name: str) -> None:
    put(store, f"{fresh_key}/x", "not this")
    put(store, f"{fresh_key}/{name}", name)
    found = get(store, f"{fresh_key}/{name}")
    assert found is not None
    assert found.raw_key == f"/{fresh_key}/{name}".encode()
    assert found.raw_value == name.encode()
    other = get(store, f"{fresh_key}/x")
    assert other is not None
    assert other.raw_value == b"not this"


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=st.text(max_size=50))
def test_any_text_is_a_value(store: V2Store, value: str) -> None:
    put(store, "values", value)
    found = get(store, "values")
    assert found is not None
    assert found.raw_value == value.encode()


def test_a_value_of_a_megabyte_comes_back(store: V2Store, fresh_key: str) -> None:
    value = "äb" * 400_000
    put(store, fresh_key, value)
    found = get(store, fresh_key)
    assert found is not None
    assert found.raw_value == value.encode()


def test_a_value_that_v2_would_garble_is_refused(store: V2Store, fresh_key: str) -> None:
    with pytest.raises(ValueError, match=r"not UTF-8.*base64.*v3"):
        store.put(fresh_key.encode(), b"\xff", None, TIMEOUT)
    assert get(store, fresh_key) is None


@pytest.mark.parametrize("ttl", [0, -1])
def test_a_ttl_that_deletes_at_once_is_refused(store: V2Store, fresh_key: str, ttl: int) -> None:
    with pytest.raises(ValueError, match="1 s or more"):
        put(store, fresh_key, ttl=ttl)
    assert get(store, fresh_key) is None


def test_a_directory_is_no_key(store: V2Store, fresh_key: str) -> None:
    put(store, f"{fresh_key}/below")
    assert get(store, fresh_key) is None
    assert store.delete(fresh_key.encode(), TIMEOUT, prefix=False) == 0
    with pytest.raises(RequestRejected, match="Not a file"):
        put(store, fresh_key)


def test_below_a_key_there_is_nothing(store: V2Store, fresh_key: str) -> None:
    put(store, fresh_key)
    assert get(store, f"{fresh_key}/below") is None
    assert store.delete(f"{fresh_key}/below".encode(), TIMEOUT, prefix=False) == 0
    with pytest.raises(RequestRejected, match="Not a directory"):
        put(store, f"{fresh_key}/below")


def test_a_prefix_is_deleted_with_all_below_and_nothing_else(
    store: V2Store, fresh_key: str
) -> None:
    for name in ("a/1", "a/b/2", "a/b/3", "ab"):
        put(store, f"{fresh_key}/{name}")
    assert store.delete(f"{fresh_key}/a".encode(), TIMEOUT, prefix=True) == 3
    assert get(store, f"{fresh_key}/a/1") is None
    assert get(store, f"{fresh_key}/ab") is not None
    assert store.delete(f"{fresh_key}/a".encode(), TIMEOUT, prefix=True) == 0
    assert store.delete(f"{fresh_key}/ab".encode(), TIMEOUT, prefix=True) == 0
    assert get(store, f"{fresh_key}/ab") is not None


def test_the_root_can_be_emptied(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        store = V2Store([etcd.url])
        for name in ("a/1", "a/2", "b"):
            put(store, name)
        assert store.delete(b"", TIMEOUT, prefix=True) == 3
        assert store.snapshot(KeyRange.of_prefix(b"/"), None, TIMEOUT).items == []
        store.close()


def test_a_snapshot_has_every_key_of_the_range_sorted(store: V2Store, fresh_key: str) -> None:
    names = ["b", "a/2", "a/1/x", "a/1/y", "c"]
    revisions = {name: put(store, f"{fresh_key}/{name}", name) for name in names}
    put(store, f"{fresh_key}/a/_hidden")
    last = put(store, f"{fresh_key}-foreign")
    snapshot = store.snapshot(store.key_range(fresh_key.encode(), prefix=True), 1, TIMEOUT)
    assert snapshot.revision == last == store.revision(TIMEOUT)
    assert snapshot.items == [
        KeyValue(
            f"/{fresh_key}/{name}".encode(), name.encode(), revisions[name], revisions[name], 0, 0
        )
        for name in sorted(names)
    ]
    one = store.snapshot(store.key_range(f"{fresh_key}/b".encode(), prefix=False), None, TIMEOUT)
    assert [item.raw_value for item in one.items] == [b"b"]
    none = store.snapshot(store.key_range(f"{fresh_key}/z".encode(), prefix=True), None, TIMEOUT)
    assert none.items == []
    assert none.revision == last


def test_it_knows_whether_v2_is_served(any_etcd: LocalEtcd, any_version: str) -> None:
    assert serves_v2(any_etcd.url, TIMEOUT)
    with LocalEtcd(version=any_version, v2=False) as etcd:
        assert not serves_v2(etcd.url, TIMEOUT)
        store = V2Store([etcd.url])
        for ask in (lambda: store.revision(TIMEOUT), lambda: store.get(b"x", TIMEOUT)):
            with pytest.raises(ApiNotServed, match="--enable-v2"):
                ask()
        watch = store.watch(store.key_range(b"x", prefix=False), 0)
        with pytest.raises(ConnectionFailed, match="--enable-v2"):
            watch.read()
        store.close()


def nowhere() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_where_nothing_listens_the_error_names_all_endpoints_tried() -> None:
    urls = [nowhere(), nowhere()]
    store = V2Store(urls)
    with pytest.raises(ConnectionFailed) as caught:
        store.revision(TIMEOUT)
    for text in (*urls, "refused", "LocalEtcd"):
        assert text in str(caught.value)
    with pytest.raises(ConnectionFailed):
        serves_v2(urls[0], TIMEOUT)
    store.close()


def test_each_endpoint_is_named_with_its_own_reason() -> None:
    gone = nowhere()
    with LocalEtcd() as paused, closing(V2Store([paused.url, gone])) as store:
        paused.pause()
        with pytest.raises(ConnectionFailed) as caught:
            store.revision(1)
    assert f"{paused.url}: no answer in time; {gone}: Connection refused" in str(caught.value)


def test_a_host_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = V2Store(["http://no-such-host.invalid:2379"])
    with pytest.raises(ConnectionFailed, match="not found"):
        store.revision(TIMEOUT)
    store.close()


def test_another_endpoint_is_asked_and_kept_where_one_is_dead(
    any_etcd: LocalEtcd, fresh_key: str
) -> None:
    store = V2Store([nowhere(), any_etcd.url])
    put(store, fresh_key, "there")
    assert store.endpoint == any_etcd.url
    found = get(store, fresh_key)
    assert found is not None
    store.rotate(store.turn)
    assert store.endpoint != any_etcd.url
    store.close()


def test_a_paused_server_is_given_up_in_time_and_a_write_is_not_repeated(
    any_version: str,
) -> None:
    with LocalEtcd(version=any_version) as etcd, LocalEtcd(version=any_version) as other:
        store = V2Store([etcd.url, other.url])
        put(store, "before")
        etcd.pause()
        with pytest.raises(ConnectionFailed, match="may have done so, or not"):
            store.put(b"key", b"x", None, 0.5)
        etcd.resume()
        store.close()
        with closing(V2Store([other.url])) as there:
            assert get(there, "key") is None


def test_the_user_never_shows(any_etcd: LocalEtcd) -> None:
    store = V2Store([nowhere()], credentials=Credentials("luis", "s3cret-word"))
    with pytest.raises(ConnectionFailed) as caught:
        store.revision(TIMEOUT)
    for shown in (repr(store), str(caught.value), repr(caught.value)):
        assert "s3cret" not in shown
    store.close()


def test_a_closed_store_says_so(any_etcd: LocalEtcd) -> None:
    store = V2Store([any_etcd.url])
    scope = store.key_range(b"x", prefix=False)
    store.close()
    store.close()
    for ask in (
        lambda: store.revision(TIMEOUT),
        lambda: store.get(b"x", TIMEOUT),
        lambda: store.put(b"x", b"", None, TIMEOUT),
        lambda: store.watch(scope, 1),
    ):
        with pytest.raises(StoreClosed):
            ask()
