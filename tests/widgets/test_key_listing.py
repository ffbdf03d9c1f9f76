"""One level of a keyspace, on real servers and against all keys at once."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.keys import to_bytes
from etcd_watcher.stores.base import KeyHead, KeyPage
from etcd_watcher.widgets import key_listing
from etcd_watcher.widgets.key_listing import Level, child_of, list_level


class Server:
    """Lists keys from memory, and counts the requests."""

    def __init__(self, keys: list[bytes]) -> None:
        self.keys = sorted(keys)
        self.requests = 0

    def list_keys(self, beginning: bytes, after: bytes | None, limit: int) -> KeyPage:
        self.requests += 1
        found = [
            each
            for each in self.keys
            if each.startswith(beginning) and (after is None or each > after)
        ]
        heads = [KeyHead(each, 1, 1, 1, 0, expires=False) for each in found[:limit]]
        last = heads[-1].raw_key if len(found) > limit else None
        return KeyPage(9, heads, last, len(found))


def told(level: Level) -> list[tuple[bytes, int | None]]:
    return [(child.raw, child.keys if child.folder else None) for child in level.children]


def true_level(
    keys: list[bytes], prefix: bytes, separator: bytes
) -> list[tuple[bytes, int | None]]:
    counts: dict[tuple[bytes, bool], int] = {}
    for key in sorted(keys):
        if key.startswith(prefix):
            child = child_of(key, prefix, separator)
            counts[child] = counts.get(child, 0) + 1
    return [(raw, count if folder else None) for (raw, folder), count in sorted(counts.items())]


@pytest.mark.parametrize(
    ("key", "child"),
    [
        (b"a/b/c", (b"a/", True)),
        (b"a", (b"a", False)),
        (b"/a", (b"/", True)),
        (b"", (b"", False)),
        (b"a/", (b"a/", True)),
    ],
)
def test_a_key_is_a_child_or_in_one(key: bytes, child: tuple[bytes, bool]) -> None:
    assert child_of(key, b"", b"/") == child


def test_below_a_prefix_only_what_is_behind_it_counts() -> None:
    assert child_of(b"a/b/c", b"a/", b"/") == (b"a/b/", True)
    assert child_of(b"a/b", b"a/", b"/") == (b"a/b", False)
    assert child_of(b"a/", b"a/", b"/") == (b"a/", False), "a key with the folder's own name"
    assert child_of(b"a::b::c", b"a::", b"::") == (b"a::b::", True)
    assert child_of(b"a/b/c", b"", b"") == (b"a/b/c", False)


def test_however_large_a_folder_is_it_takes_a_few_requests() -> None:
    keys = [b"%c/%05d" % (letter, number) for letter in b"abc" for number in range(3000)]
    server = Server([*keys, b"z"])
    level = list_level(server.list_keys, b"", b"/", None, 100)
    assert told(level) == [(b"a/", 3000), (b"b/", 3000), (b"c/", 3000), (b"z", None)]
    assert (level.keys, level.more, level.revision) == (9001, None, 9)
    assert server.requests <= 8


def test_more_children_than_asked_for_are_found_by_going_on() -> None:
    keys = [b"%03d/%d" % (number, each) for number in range(500) for each in range(2)]
    server = Server(keys)
    found, after = [], None
    while True:
        level = list_level(server.list_keys, b"", b"/", after, 100)
        found += told(level)
        after = level.more
        if after is None:
            break
    assert found == true_level(keys, b"", b"/")


def test_every_level_of_any_keyspace_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_listing, "PAGE", 3)
    for seed in range(200):
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        letters = [b"a", b"b", b"/", b"\xff", b"/\xff", b"0"]
        keys = list(
            {b"".join(chance.choices(letters, k=chance.randrange(1, 6))) for _ in range(40)}
        )
        prefix = chance.choice([b"", b"a", b"a/", b"\xff"])
        server = Server(keys)
        found: list[tuple[bytes, int | None]] = []
        after = None
        while True:
            level = list_level(server.list_keys, prefix, b"/", after, chance.choice([1, 2, 50]))
            found += told(level)
            after = level.more
            if after is None:
                break
        assert found == true_level(keys, prefix, b"/"), seed


@pytest.fixture(params=["v2", "v3"])
def watcher(request: pytest.FixtureRequest, etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd.url, api=request.param) as watcher:
        yield watcher


def test_a_real_server_lists_the_same(
    watcher: Watcher, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_listing, "PAGE", 4)
    keys = [f"/{fresh_key}/{name}" for name in ["a/1", "a/2", "a/b/3", "c", "d/4"]]
    keys += [f"/{fresh_key}/many/{number}" for number in range(10)]
    for key in keys:
        watcher.put(key, "x")
    prefix = to_bytes(f"/{fresh_key}/")
    level = list_level(
        lambda beginning, after, limit: watcher.list_keys(beginning, after=after, limit=limit),
        prefix,
        b"/",
        None,
        100,
    )
    true = true_level(list(map(to_bytes, keys)), prefix, b"/")
    if watcher.api == "v2":  # it does not count
        assert [raw for raw, _ in told(level)] == [raw for raw, _ in true]
    else:
        assert told(level) == true
    assert level.more is None
