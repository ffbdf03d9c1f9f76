"""Streams of real servers keep every property, by two ground truths: the writers' and a watch's."""

from __future__ import annotations

import base64
import doctest
import json
import random
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

import pytest

import etcd_watcher.testing
from etcd_watcher import Compacted, Event, Gap, LocalEtcd, Watcher
from etcd_watcher.endpoints import Credentials
from etcd_watcher.keys import KeyRange
from etcd_watcher.resync import resync
from etcd_watcher.stores.base import Batch, Store
from etcd_watcher.stores.open import open_store
from etcd_watcher.testing import (
    ALL,
    Change,
    Delete,
    History,
    Write,
    acknowledged,
    assert_valid,
    check,
    delete,
    from_writes,
    put,
)

OURS = KeyRange.of_prefix(b"k/")
KEYS = ["k/a", "k/b", "k/c", "k/\x00\n", "other"]


@pytest.fixture
def server(any_version: str) -> Iterator[LocalEtcd]:
    """A server of the test's own: its history begins with revision 1."""
    with LocalEtcd(version=any_version) as made:
        yield made


def opened(server: LocalEtcd, api: str) -> Store:
    return open_store([server.url], api=api, credentials=Credentials(), timeout=10)


def asked(url: str, body: bytes, method: str = "POST") -> dict[str, Any]:
    request = urllib.request.Request(url, body, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def wired(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def committed(server: LocalEtcd, operations: list[Change | Delete]) -> Write:
    """Commit a transaction by v3's JSON gateway."""
    requests: list[dict[str, Any]] = []
    for each in operations:
        if isinstance(each, Change):
            fields = {"key": wired(each.raw_key), "value": wired(each.raw_value or b"")}
            requests.append({"requestPut": fields})
        else:
            end = b"\0" if each.scope.end is None else each.scope.end
            fields = {"key": wired(each.scope.start), "range_end": wired(end)}
            requests.append({"requestDeleteRange": fields})
    answer = asked(f"{server.url}/v3/kv/txn", json.dumps({"success": requests}).encode())
    return Write(int(answer["header"]["revision"]), operations)


def at_random(choice: random.Random) -> list[Change | Delete]:
    """Choose puts, deletions that may find nothing, and now and then a whole prefix."""
    if choice.random() < 0.1:
        return [put("other", "1"), delete("k/", prefix=True)]
    keys = choice.sample(KEYS, choice.choice([1, 1, 2, 4]))
    return [
        delete(key) if choice.random() < 0.3 else put(key, choice.choice("123")) for key in keys
    ]


def told_by(store: Store, scope: KeyRange, after: int, last: int) -> Iterator[Batch]:
    with closing(store.watch(scope, after)) as watch:
        watch.probe(last)
        reached = after
        while reached < last:
            batch = watch.read()
            yield batch
            reached = reached_by([batch], reached)


def reached_by(batches: list[Batch], after: int) -> int:
    told = [event.revision for batch in batches for event in batch.events]
    return max([after, *told, *(batch.complete for batch in batches)])


def told_over_a_gap(
    store: Store, scope: KeyRange, after: int, last: int, truth: History
) -> list[Batch | Event | Gap]:
    """Follow a store that has lost some of what there is to tell."""
    before: list[Batch] = []
    with pytest.raises(Compacted) as lost:
        before.extend(told_by(store, scope, after, last))
    seen = reached_by(before, after)
    gap, made, reached = resync(store, scope, seen, lost.value, truth.living(scope, seen), 10)
    assert gap is not None
    return [*before, gap, *made, *told_by(store, scope, reached, last)]


@pytest.mark.parametrize("seed", range(3))
def test_v3(server: LocalEtcd, seed: int) -> None:
    choice = random.Random(seed)  # noqa: S311 - no secret
    with Watcher(server.url, api="v3") as watcher, closing(opened(server, "v3")) as store:
        watcher.add_key("k/", prefix=True)
        writes = [committed(server, at_random(choice)) for _ in range(40)]
        watcher.sync()
        last = store.revision(10)
        truth = from_writes(writes, last=last)
        assert len(truth) > 40
        assert_valid(watcher.journal, truth, scope=OURS, since=1, until=last)

        # The same told by a watch that begins in the past, with its batches and its claims…
        for since in (1, 7, last):
            batches = told_by(store, OURS, since - 1, last)
            assert_valid(batches, truth, scope=OURS, since=since, until=last)
        # …and by a server's own account, which knows of every write that was acknowledged.
        by_watch = History.read(store)
        assert by_watch.events() == truth.events()
        assert by_watch.last == last
        assert acknowledged(by_watch, writes) == []
        later = History.read(store, OURS, first=9, last=last - 3)
        assert later.events() == [
            each for each in truth.events(OURS, since=9) if each.revision <= last - 3
        ]

        assert History.read(store, first=last).events() == truth.events(since=last)
        assert len(History.read(store, first=last + 1)) == 0

        without = [each for each in watcher.journal if each is not watcher.journal.events()[5]]
        assert check(without, truth, scope=OURS, since=1) != []


def test_a_compaction_is_a_gap_and_the_truth(server: LocalEtcd) -> None:
    choice = random.Random(4)  # noqa: S311 - no secret
    with closing(opened(server, "v3")) as store:
        writes = [committed(server, at_random(choice)) for _ in range(40)]
        last = store.revision(10)
        # A watch was told of all before revision 8, and then was away for too long.
        everything = [event for batch in told_by(store, OURS, 0, last) for event in batch.events]
        before = Batch(OURS, [event for event in everything if event.revision <= 7])
        asked(f"{server.url}/v3/kv/compaction", b'{"revision": "25", "physical": true}')
        truth = from_writes(writes, last=last, compactions=[25])
        behind = told_over_a_gap(store, OURS, 7, last, truth)
        (gap,) = (each for each in behind if isinstance(each, Gap))
        assert (gap.first, gap.last) == (8, 24)
        whole = [before, *behind]
        assert_valid(whole, truth, scope=OURS, since=1, until=last)

        undeclared = [each for each in whole if isinstance(each, Batch)]
        broken = check(undeclared, truth, scope=OURS, since=1, until=last)
        assert {each.name for each in broken} >= {"reliable"}
        behind.pop(behind.index(gap) + 1)
        untrue = [before, *behind]
        broken = check(untrue, truth, scope=OURS, since=1, until=last)
        assert {each.name for each in broken} == {"gaps"}


@pytest.mark.parametrize("documented", [etcd_watcher.testing, History])
def test_the_examples_work(etcd: LocalEtcd, documented: object) -> None:
    example = doctest.DocTestParser().get_doctest(
        documented.__doc__ or "", {"etcd": etcd, **vars(etcd_watcher.testing)}, "", None, None
    )
    assert doctest.DocTestRunner().run(example).failed == 0
    assert len(example.examples) >= 2


def v2(server: LocalEtcd, method: str, key: str, **fields: str) -> int | None:
    """Ask v2, and give the index of the change; None where it was refused."""
    url = f"{server.url}/v2/keys/{quote(key)}"
    query = f"?{urlencode(fields)}" if method == "DELETE" else ""
    with suppress(HTTPError):  # what is to be changed is not there
        answer = asked(url + query, urlencode(fields).encode(), method)
        return int(answer["node"]["modifiedIndex"])
    return None


def test_v2(server: LocalEtcd) -> None:
    """Set begins a life, update and compare-and-swap go on, a directory takes all below along."""
    choice = random.Random(5)  # noqa: S311 - no secret
    writes: list[Write] = []
    with Watcher(server.url, api="v2") as watcher, closing(opened(server, "v2")) as store:
        watcher.add_key("k", prefix=True)
        base = store.snapshot(ALL, None, 10)
        for _ in range(60):
            key, value = choice.choice(["k/a", "k/b", "k/d/a", "k/d/b"]), choice.choice("123")
            way = choice.choice(["set", "set", "update", "swap", "delete", "directory"])
            index: int | None
            operation: Change | Delete = put(f"/{key}", value, renews=way == "set")
            if way == "delete":
                index, operation = v2(server, "DELETE", key), delete(f"/{key}")
            elif way == "directory":
                index, operation = (
                    v2(server, "DELETE", "k/d", recursive="true"),
                    delete("/k/d/", prefix=True),
                )
            elif way == "set":
                index = v2(server, "PUT", key, value=value)
            elif way == "update":
                index = v2(server, "PUT", key, value=value, prevExist="true")
            else:
                index = v2(server, "PUT", key, value=value, prevValue="1")
            if index is not None:
                writes.append(Write(index, [operation]))
        watcher.sync()
        last = store.revision(10)
        scope = store.key_range(b"k", prefix=True)
        truth = from_writes(writes, base=base, last=last, versions=False)
        assert len(truth) > 30
        since = base.revision + 1
        assert_valid(watcher.journal, truth, scope=scope, since=since, until=last)
        retold = History.from_events(watcher.journal, base=base, last=last)
        assert retold.events() == truth.events()
        # Which keys went with a directory before it looked there, our own store cannot tell.
        lost = told_over_a_gap(store, scope, base.revision, last, truth)
        assert_valid(lost, truth, scope=scope, since=since, until=last)
        with pytest.raises(ValueError, match="v2 cannot tell its past"):
            History.read(store)
