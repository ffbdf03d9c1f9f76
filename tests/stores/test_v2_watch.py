"""What a watch of etcd v2 tells."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from etcd_watcher.errors import Compacted, RequestRejected
from etcd_watcher.event import Event, EventType
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores.base import Watch
from etcd_watcher.stores.v2 import V2Store
from tests.stores.v2_follower import TIMEOUT, Follower, put

PUT, DELETE = EventType.PUT, EventType.DELETE


@pytest.fixture
def store(any_etcd: LocalEtcd) -> Iterator[V2Store]:
    made = V2Store([any_etcd.url])
    yield made
    made.close()


def ask(store: V2Store, method: str, path: str, **form: object) -> dict[str, Any]:
    """Do what our store does not offer, as curl would."""
    connection = HTTPConnection(str(urlsplit(store.endpoint).netloc), timeout=TIMEOUT)
    query = f"?{urlencode(form)}" if method == "DELETE" else ""
    connection.request(
        method,
        f"/v2/keys/{path}{query}",
        None if query else urlencode(form),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_it_is_a_watch(store: V2Store, fresh_key: str) -> None:
    scope = store.key_range(fresh_key.encode(), prefix=False)
    watch: Watch = store.watch(scope, store.revision(TIMEOUT))
    batch = watch.read()
    assert batch.opened
    assert batch.scope is scope
    watch.close()


def test_an_event_tells_all_that_v2_knows(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=False) as follower:
        first = put(store, fresh_key, "one")
        second = put(store, fresh_key, "two")
        store.delete(fresh_key.encode(), TIMEOUT, prefix=False)
        follower.until(lambda: len(follower.events) == 3)
    key = f"/{fresh_key}".encode()
    assert follower.events == [
        Event(PUT, key, b"one", None, first, first, 0, 0, "set", expired=False, synthetic=False),
        Event(
            PUT, key, b"two", b"one", second, second, 0, 0, "set", expired=False, synthetic=False
        ),
        Event(
            DELETE,
            key,
            None,
            b"two",
            second + 1,
            second,
            0,
            0,
            "delete",
            expired=False,
            synthetic=False,
        ),
    ]
    assert follower.complete == second + 1


def test_every_action_of_the_server_is_told_by_its_name(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        key = f"{fresh_key}/key"
        created = ask(store, "PUT", key, value="1", prevExist="false")["node"]["createdIndex"]
        ask(store, "PUT", key, value="2", prevExist="true")
        ask(store, "PUT", key, value="3", prevValue="2")
        ask(store, "DELETE", key, prevValue="3")
        appended = ask(store, "POST", fresh_key, value="4")["node"]["key"]
        follower.sync()
    assert [(event.action, event.value, event.prev_value) for event in follower.events] == [
        ("create", "1", None),
        ("update", "2", "1"),
        ("compareAndSwap", "3", "2"),
        ("compareAndDelete", None, "3"),
        ("create", "4", None),
    ]
    assert {event.created for event in follower.events[:4]} == {created}
    assert follower.events[-1].key == appended


def test_a_ttl_that_ends_is_an_expiry(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=False) as follower:
        put(store, fresh_key, "short", ttl=1)
        follower.until(lambda: len(follower.events) == 2)
    expiry = follower.events[1]
    assert (expiry.type, expiry.action, expiry.expired) == (DELETE, "expire", True)
    assert (expiry.value, expiry.prev_value) == (None, "short")


def test_a_refresh_is_no_change_and_holds_nothing_up(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        put(store, f"{fresh_key}/a", ttl=100)
        for _ in range(3):
            ask(store, "PUT", f"{fresh_key}/a", ttl=100, refresh="true", prevExist="true")
        follower.sync()
        put(store, f"{fresh_key}/b")
        follower.sync()
    assert [event.key for event in follower.events] == [f"/{fresh_key}/a", f"/{fresh_key}/b"]


@pytest.mark.parametrize("prefix", [False, True], ids=["key", "prefix"])
def test_only_the_range_is_told(store: V2Store, fresh_key: str, prefix: bool) -> None:  # noqa: FBT001
    with Follower(store, fresh_key.encode(), prefix=prefix) as follower:
        put(store, f"{fresh_key}x")
        put(store, fresh_key.removesuffix(fresh_key[-1]))
        mine = put(store, f"{fresh_key}/below" if prefix else fresh_key)
        follower.sync()
    assert [event.revision for event in follower.events] == [mine]


def test_text_of_any_kind_is_watched_as_what_it_is(store: V2Store, fresh_key: str) -> None:
    names = ["x#y", "q?r", "p%25", "a b", "é", "日本", "a;b&c=d", "x"]
    with Follower(store, fresh_key.encode(), prefix=True) as below:
        for name in names:
            with Follower(store, f"{fresh_key}/{name}".encode(), prefix=False) as follower:
                put(store, f"{fresh_key}/{name}", name)
                follower.sync()
                assert follower.brief() == [(PUT, f"/{fresh_key}/{name}", name)]
        below.sync()
        assert [event.value for event in below.events] == names


def test_keys_that_etcd_hides_are_told_to_nobody(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        put(store, f"{fresh_key}/_hidden")
        put(store, f"{fresh_key}/_dir/x")
        mine = put(store, f"{fresh_key}/seen")
        follower.sync()
    # The history would tell of them: it has them, and looks no further.
    with Follower(store, fresh_key.encode(), prefix=True, after=mine - 3) as late:
        late.sync()
    assert [event.key for event in follower.events + late.events] == [f"/{fresh_key}/seen"] * 2


def test_a_directory_that_goes_takes_each_key_of_the_range_along(
    store: V2Store, fresh_key: str
) -> None:
    put(store, f"{fresh_key}/d/there before", "0")
    put(store, f"{fresh_key}/d/gone before", "0")
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        put(store, f"{fresh_key}/d/sub/2", "2")
        put(store, f"{fresh_key}/d/1", "1")
        put(store, f"{fresh_key}/d/1", "one")
        store.delete(f"{fresh_key}/d/gone before".encode(), TIMEOUT, prefix=False)
        put(store, f"{fresh_key}/stays", "s")
        begin = follower.store.revision(TIMEOUT)
        assert store.delete(f"{fresh_key}/d".encode(), TIMEOUT, prefix=True) == 3
        follower.sync()
    gone = [event for event in follower.events if event.revision > begin]
    assert [(event.type, event.key, event.prev_value, event.action) for event in gone] == [
        (DELETE, f"/{fresh_key}/d/1", "one", "delete"),
        (DELETE, f"/{fresh_key}/d/sub/2", "2", "delete"),
        (DELETE, f"/{fresh_key}/d/there before", "0", "delete"),
    ]
    assert len({event.revision for event in gone}) == 1


@pytest.mark.parametrize("prefix", [False, True], ids=["key", "prefix"])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_directory_far_above_that_goes_is_seen(
    store: V2Store,
    fresh_key: str,
    prefix: bool,  # noqa: FBT001
    levels: int,
) -> None:
    watched = f"{fresh_key}/a/b"
    key = f"{watched}/c" if prefix else watched
    put(store, key, "there")
    with Follower(store, watched.encode(), prefix=prefix) as follower:
        above = watched.rsplit("/", levels)[0]
        store.delete(above.encode(), TIMEOUT, prefix=True)
        follower.sync()
    assert follower.brief() == [(DELETE, f"/{key}", None)]
    assert follower.events[0].prev_value == "there"


def test_a_directory_whose_ttl_ends_takes_its_keys_along(store: V2Store, fresh_key: str) -> None:
    ask(store, "PUT", fresh_key, dir="true", ttl=1)
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        put(store, f"{fresh_key}/b", "2")
        put(store, f"{fresh_key}/a", "1")
        follower.until(lambda: len(follower.events) == 4)
    last = follower.events[2:]
    assert [(event.key, event.prev_value) for event in last] == [
        (f"/{fresh_key}/a", "1"),
        (f"/{fresh_key}/b", "2"),
    ]
    assert all(event.expired and event.action == "expire" for event in last)


def test_directories_that_come_and_change_are_no_changes_of_keys(
    store: V2Store, fresh_key: str
) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        ask(store, "PUT", f"{fresh_key}/d", dir="true")
        ask(store, "PUT", f"{fresh_key}/d", dir="true", prevExist="true", ttl=100)
        ask(store, "DELETE", f"{fresh_key}/d", dir="true")
        follower.sync()
        assert follower.events == []


def test_a_directory_in_the_place_of_a_key_deletes_the_key(store: V2Store, fresh_key: str) -> None:
    with Follower(store, fresh_key.encode(), prefix=True) as follower:
        created = put(store, f"{fresh_key}/x", "1")
        ask(store, "PUT", f"{fresh_key}/x", dir="true")
        put(store, f"{fresh_key}/x/y", "2")
        follower.sync()
    assert follower.brief() == [
        (PUT, f"/{fresh_key}/x", "1"),
        (DELETE, f"/{fresh_key}/x", None),
        (PUT, f"/{fresh_key}/x/y", "2"),
    ]
    assert (follower.events[1].prev_value, follower.events[1].created) == ("1", created)


def test_history_is_told_from_any_revision_that_is_still_there(
    store: V2Store, fresh_key: str
) -> None:
    before = store.revision(TIMEOUT)
    revisions = [put(store, f"{fresh_key}/{n}", str(n)) for n in range(100)]
    with Follower(store, fresh_key.encode(), prefix=True, after=before) as follower:
        follower.sync()
        assert [event.revision for event in follower.events] == revisions
    with Follower(store, fresh_key.encode(), prefix=True, after=revisions[49]) as follower:
        follower.sync()
        assert [event.revision for event in follower.events] == revisions[50:]


def test_history_that_was_dropped_is_told_and_a_snapshot_leads_on(
    store: V2Store, fresh_key: str
) -> None:
    put(store, f"{fresh_key}/kept", "kept")
    before = store.revision(TIMEOUT)
    for n in range(1_001):
        put(store, f"{fresh_key}/{n % 7}", str(n))
    scope = store.key_range(fresh_key.encode(), prefix=True)
    watch = store.watch(scope, before)
    assert watch.read().opened
    with pytest.raises(Compacted) as lost:
        watch.read()
    assert lost.value.revision == store.revision(TIMEOUT)
    assert lost.value.whole_from == before + 2
    with Follower(store, fresh_key.encode(), prefix=True, after=before + 1) as follower:
        follower.sync()
        assert [event.value for event in follower.events] == [str(n) for n in range(1, 1_001)]
    # Far from the watched keys' own revisions: only the server's index leads back in.
    for n in range(1_001):
        put(store, f"{fresh_key}-foreign", str(n))
    snapshot = store.snapshot(scope, lost.value.revision, TIMEOUT)
    values = {str(n % 7): str(n) for n in range(1_001)} | {"kept": "kept"}
    assert {item.raw_key.decode(): item.raw_value.decode() for item in snapshot.items} == {
        f"/{fresh_key}/{name}": value for name, value in values.items()
    }
    with Follower(store, fresh_key.encode(), prefix=True, after=snapshot.revision) as follower:
        put(store, f"{fresh_key}/kept", "again")
        store.delete(fresh_key.encode(), TIMEOUT, prefix=True)
        follower.sync()
    assert len(follower.events) == 1 + 8


def deletions_from(store: V2Store, watch: Watch, revision: int) -> list[Event]:
    """Read until everything up to a revision is told."""
    watch.probe(revision)
    events: list[Event] = []
    while (batch := watch.read()).complete < revision:
        events += batch.events
    return events + batch.events


def test_a_new_watch_knows_what_a_directory_had_in_it_when_the_last_one_ended(
    store: V2Store, fresh_key: str
) -> None:
    scope = store.key_range(fresh_key.encode(), prefix=True)
    put(store, f"{fresh_key}/d/a")
    put(store, f"{fresh_key}/d/b")
    after = store.revision(TIMEOUT)
    watch = store.watch(scope, after)
    assert watch.read().opened
    watch.close()  # as after a lost connection
    store.delete(f"{fresh_key}/d".encode(), TIMEOUT, prefix=True)
    watch = store.watch(scope, after)
    events = deletions_from(store, watch, after + 1)
    assert [event.key for event in events] == [f"/{fresh_key}/d/a", f"/{fresh_key}/d/b"]
    watch.close()


def test_a_deletion_that_nobody_took_is_told_again(store: V2Store, fresh_key: str) -> None:
    scope = store.key_range(fresh_key.encode(), prefix=True)
    put(store, f"{fresh_key}/d/a")
    after = store.revision(TIMEOUT)
    watch = store.watch(scope, after)
    assert watch.read().opened
    store.delete(f"{fresh_key}/d".encode(), TIMEOUT, prefix=True)
    first = deletions_from(store, watch, after + 1)
    again = KeyRange(scope.start, scope.end)
    watch.retarget(again, after)
    opened = watch.read()
    assert opened.opened
    assert opened.scope is again
    assert deletions_from(store, watch, after + 1) == first != []
    watch.close()


def test_a_directory_that_fell_before_anybody_looked_is_a_gap(
    store: V2Store, fresh_key: str
) -> None:
    put(store, f"{fresh_key}/d/a")
    after = store.revision(TIMEOUT)
    store.delete(f"{fresh_key}/d".encode(), TIMEOUT, prefix=True)
    watch = store.watch(store.key_range(fresh_key.encode(), prefix=True), after)
    with pytest.raises(Compacted) as lost:
        deletions_from(store, watch, after + 1)
    assert lost.value.whole_from == after + 2


def test_a_directory_elsewhere_that_fell_before_anybody_looked_is_none(
    store: V2Store, fresh_key: str
) -> None:
    put(store, f"{fresh_key}/d/a")
    after = store.revision(TIMEOUT)
    store.delete(f"{fresh_key}/d".encode(), TIMEOUT, prefix=True)
    scope = KeyRange.hull(
        store.key_range(f"{fresh_key}/{name}".encode(), prefix=False) for name in ("x", "y")
    )
    watch = store.watch(scope, after)
    assert deletions_from(store, watch, after + 1) == []
    watch.close()


def test_a_new_range_begins_where_it_is_told_to(store: V2Store, fresh_key: str) -> None:
    after = store.revision(TIMEOUT)
    one = store.key_range(f"{fresh_key}/1".encode(), prefix=False)
    both = store.key_range(fresh_key.encode(), prefix=True)
    first = put(store, f"{fresh_key}/1", "a")
    second = put(store, f"{fresh_key}/2", "b")
    watch = store.watch(one, after)
    assert [event.revision for event in deletions_from(store, watch, second)] == [first]
    watch.retarget(both, after)
    batch = watch.read()
    assert (batch.opened, batch.scope, batch.events) == (True, both, [])
    events = deletions_from(store, watch, second)
    assert [event.revision for event in events] == [first, second]
    watch.retarget(one, second)
    assert watch.read().opened
    put(store, f"{fresh_key}/2", "c")
    last = put(store, f"{fresh_key}/1", "d")
    assert [event.revision for event in deletions_from(store, watch, last)] == [last]
    watch.close()


def test_one_more_key_where_we_poll_anyway_costs_the_server_nothing(
    any_version: str, fresh_key: str
) -> None:
    with LocalEtcd(version=any_version) as etcd:
        store = V2Store([etcd.url])
        for n in range(100):
            put(store, f"{fresh_key}/{n}")
        after = store.revision(TIMEOUT)
        ranges = [store.key_range(f"{fresh_key}/{n}".encode(), prefix=False) for n in range(100)]
        watch = store.watch(KeyRange.hull(ranges[:2]), after)
        assert watch.read().opened
        gets = reads(etcd)
        for n in range(3, 101):
            scope = KeyRange.hull(ranges[:n])
            watch.retarget(scope, after)
            batch = watch.read()
            assert batch.opened
            assert batch.scope is scope
        assert reads(etcd) == gets
        last = put(store, f"{fresh_key}/50", "new")
        assert [event.value for event in deletions_from(store, watch, last)] == ["new"]
        watch.close()
        store.close()


def reads(etcd: LocalEtcd) -> int:
    """Give how many reads the server has answered; polls do not count."""
    connection = HTTPConnection(str(urlsplit(etcd.url).netloc), timeout=TIMEOUT)
    connection.request("GET", "/v2/stats/store")
    told = json.loads(connection.getresponse().read())
    connection.close()
    return int(told["getsSuccess"]) + int(told["getsFail"])


def act_at_random(store: V2Store, directory: str, dice: random.Random) -> None:
    """Do one thing of all that changes keys, or does not, or is refused."""
    parts = [dice.choice("abc") for _ in range(dice.randint(1, 3))]
    path = "/".join([directory, *parts])
    match dice.randint(0, 9):
        case 0:
            store.delete(path.encode(), TIMEOUT, prefix=True)
        case 1:
            store.delete(path.encode(), TIMEOUT, prefix=False)
        case 2:
            ask(store, "PUT", path, dir="true")
        case 3:
            ask(store, "DELETE", path, dir="true")
        case 4:
            ask(store, "PUT", path, value="cas", prevExist="true")
        case _:
            with suppress(RequestRejected):
                put(store, path, str(dice.random()))


@pytest.mark.parametrize("seed", range(5))
def test_a_random_history_leads_to_what_the_server_has(
    store: V2Store, fresh_key: str, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    scope = store.key_range(f"{fresh_key}/b".encode(), prefix=True)
    complete = store.revision(TIMEOUT)
    model: dict[bytes, bytes] = {}
    for _ in range(10):
        # Each round is a watch of its own, that begins where the last one ended.
        with Follower(store, f"{fresh_key}/b".encode(), prefix=True, after=complete) as follower:
            for _ in range(40):
                act_at_random(store, fresh_key, dice)
            follower.sync()
            complete = follower.complete
        for event in follower.events:
            assert event.raw_prev_value == model.get(event.raw_key), event
            if event.raw_value is None:
                del model[event.raw_key]
            else:
                model[event.raw_key] = event.raw_value
        items = store.snapshot(scope, None, TIMEOUT).items
        assert model == {item.raw_key: item.raw_value for item in items}
