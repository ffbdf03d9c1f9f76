"""What happens while we are cut off: told afterwards, or named in a gap and made good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from etcd_watcher import Event, Gap, LocalCluster, Watcher
from etcd_watcher.census import Census
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v3 import V3Store
from tests.watcher.conftest import News

MB = 1024 * 1024


@pytest.fixture
def cluster(any_version: str) -> Iterator[LocalCluster]:
    """One member, behind a link that can be broken."""
    with LocalCluster(1, version=any_version) as made:
        yield made


@pytest.fixture
def behind(cluster: LocalCluster) -> Iterator[V3Store]:
    """Somebody whom a broken link does not hinder."""
    store = V3Store([cluster.members["m1"].direct_url])
    yield store
    store.close()


def is_away(watcher: Watcher) -> None:
    cursor = watcher.journal.cursor(since=0)
    while watcher.status.state == "connected":
        assert cursor.wait(20)
        cursor.read()


def test_a_compaction_behind_our_back_is_one_gap_with_its_exact_revisions(
    cluster: LocalCluster, behind: V3Store
) -> None:
    told: list[Event] = []
    for key in (b"k/before", b"k/kept", b"k/changed"):
        behind.put(key, b"old", None, 5)
    with Watcher(cluster.url, api="v3") as watcher:
        watcher.on("k/", prefix=True)(told.append)
        watcher.put("k/seen", "old")
        watcher.sync()
        assert watcher._census.wait(10)
        seen = watcher.revision
        told.clear()
        cluster.faults.reset("client", "m1")
        is_away(watcher)
        behind.delete(b"k/before", 5, prefix=False)
        behind.delete(b"k/seen", 5, prefix=False)
        for number in range(100):
            behind.put(b"k/changed", b"%d" % number, None, 5)
            behind.put(b"k/came-and-went", b"x", None, 5)
            behind.delete(b"k/came-and-went", 5, prefix=False)
        at = behind.put(b"k/new", b"x", None, 5)
        cluster.compact(at)
        after = behind.put(b"k/after", b"x", None, 5)
        cluster.faults.heal()
        watcher.sync()
        (gap,) = [each for each in watcher.journal if isinstance(each, Gap)]
        assert (gap.first, gap.last) == (seen + 1, at - 1)
        assert [(each.key, each.value, each.synthetic) for each in told] == [
            ("k/changed", "99", True),
            ("k/new", "x", True),
            ("k/before", None, True),
            ("k/seen", None, True),
            ("k/after", "x", False),
        ]
        assert told[-1].revision == after
        # What we believe to be there is what is there.
        snapshot = behind.snapshot(KeyRange.of_prefix(b"k/"), None, 5)
        with watcher._demux.lock:
            assert sorted(watcher._demux.lives) == [item.raw_key for item in snapshot.items]
        told.clear()
        watcher.put("k/live", "again")
        watcher.sync()
        assert [(each.key, each.synthetic) for each in told] == [("k/live", False)]


def test_a_compaction_of_what_we_know_is_no_gap(cluster: LocalCluster, behind: V3Store) -> None:
    told: list[Event] = []
    with Watcher(cluster.url, api="v3") as watcher:
        watcher.on("k")(told.append)
        watcher.put("k", "1")
        for _ in range(100):
            watcher.put("somebody else's", "x")
        watcher.sync()  # from here on the watch is known to be as far as the last of these
        cluster.faults.reset("client", "m1")
        is_away(watcher)
        cluster.compact()
        behind.put(b"k", b"2", None, 5)
        cluster.faults.heal()
        watcher.sync()
        assert [each.value for each in told] == ["1", "2"]
        assert not [each for each in watcher.journal if isinstance(each, Gap)]


def test_a_deletion_at_the_very_revision_of_a_compaction_is_told(
    cluster: LocalCluster, behind: V3Store
) -> None:
    """A server that is old has forgotten it, and says nothing when a watch begins there."""
    told: list[Event] = []
    with Watcher(cluster.url, api="v3") as watcher:
        behind.put(b"k/never seen", b"v", None, 5)
        watcher.on("k/", prefix=True)(told.append)
        watcher.put("k/seen", "v")
        watcher.sync()
        assert watcher._census.wait(10)
        seen = watcher.revision
        told.clear()
        cluster.faults.reset("client", "m1")
        is_away(watcher)
        assert behind.delete(b"k/", 5, prefix=True) == 2
        cluster.compact()
        cluster.faults.heal()
        watcher.put("k/live", "v")
        watcher.sync()
        assert [(each.key, each.value, each.revision, each.synthetic) for each in told] == [
            ("k/never seen", None, seen + 1, False),
            ("k/seen", None, seen + 1, False),
            ("k/live", "v", seen + 2, False),
        ]
        assert not [each for each in watcher.journal if isinstance(each, Gap)]


def test_on_v2_the_watch_itself_knows_what_was_there_when_it_began(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection may be lost before the census has counted."""
    monkeypatch.setattr(Census, "ask", lambda *_: None)
    told: list[Event] = []
    direct = V2Store([cluster.members["m1"].direct_url])
    direct.put(b"/k/never seen", b"v", None, 5)
    with closing(direct), Watcher(cluster.url, api="v2") as watcher:
        watcher.on("k", prefix=True)(told.append)
        cluster.faults.reset("client", "m1")
        is_away(watcher)
        direct.delete(b"/k/never seen", 5, prefix=False)
        for number in range(1_001):
            direct.put(b"/k/flood", b"%d" % number, None, 5)
        cluster.faults.heal()
        watcher.sync()
        assert [(each.key, each.value, each.synthetic) for each in told] == [
            ("/k/flood", "1000", True),
            ("/k/never seen", None, True),
        ]
        assert len([each for each in watcher.journal if isinstance(each, Gap)]) == 1


def test_a_quiet_watch_gets_to_know_by_itself_how_far_it_is(
    cluster: LocalCluster, behind: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etcd_watcher.stores.v3_outbox.ASK_IDLY", 0.05)
    with Watcher(cluster.url, api="v3") as watcher:
        watcher.add_key("k")
        last = behind.put(b"somebody else's", b"x", None, 5)
        with watcher._feed._state:
            assert watcher._feed._state.wait_for(lambda: watcher.revision >= last, 10)


def test_a_backlog_too_large_for_one_message_comes_in_parts(
    cluster: LocalCluster, behind: V3Store
) -> None:
    told: list[tuple[int, int]] = []
    with Watcher(cluster.url, api="v3", journal_bytes=400 * MB) as watcher:
        watcher.on("big/", prefix=True)(
            lambda event: told.append((event.revision, len(event.raw_value or b"")))
        )
        cluster.faults.reset("client", "m1")
        is_away(watcher)
        expected = []
        for number in range(72):
            value = bytes([number]) * (MB + MB // 4)
            expected.append((behind.put(b"big/%d" % (number % 7), value, None, 20), len(value)))
        cluster.faults.heal()
        watcher.sync(60)
        assert told == expected
        assert not [each for each in watcher.journal if isinstance(each, Gap)]


def test_a_transaction_of_128_large_values_comes_whole(
    cluster: LocalCluster, behind: V3Store
) -> None:
    told: list[Event] = []
    with Watcher(cluster.url, api="v3") as watcher:
        watcher.on("tx/", prefix=True)(told.append)
        revisions = []
        for _ in range(5):
            puts = [
                wire.RequestOp(put=wire.PutRequest(key=b"tx/%03d" % number, value=b"v" * 11_000))
                for number in range(128)
            ]
            reply = behind.connection().call("txn", wire.TxnRequest(success=puts), 10)
            revisions.append(reply.header.revision)
        watcher.sync()
        assert [each.revision for each in told] == [r for r in revisions for _ in range(128)]
        assert [each.key for each in told[:128]] == [f"tx/{number:03d}" for number in range(128)]


def test_a_long_backlog_is_read_the_fast_way_and_told_once_in_order(
    cluster: LocalCluster, behind: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    fast: list[tuple[int, int]] = []
    history = V3Store.history

    def noted(store: V3Store, scope: KeyRange, first: int, last: int) -> object:
        fast.append((first, last))
        return history(store, scope, first, last)

    monkeypatch.setattr(V3Store, "history", noted)
    with Watcher(cluster.url, api="v3") as watcher:
        watcher.on("k", prefix=True)(lambda event: told.append(event.revision))
        watcher.put("k", "first")
        watcher.sync()
        cluster.faults.reset("client", "m1")
        is_away(watcher)
        for number in range(3000):
            behind.put(b"k%d" % (number % 10), b"v", None, 5)
        last = behind.put(b"somebody else's", b"v", None, 5)
        cluster.faults.heal()
        watcher.register("later", News(), "tell")  # while the backlog is read
        watcher.put("k", "last")
        watcher.sync()
        assert told == [*range(told[0], last), last + 1]
        assert len(told) == 3002
        assert fast
        assert not [each for each in watcher.journal if isinstance(each, Gap)]
