"""The replay of history by itself."""

from __future__ import annotations

import pytest

from etcd_watcher.errors import Compacted
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.history import replay
from tests.fake_store import FakeStore

ALL = KeyRange.of_prefix(b"")


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_a_replay_gives_exactly_the_revisions_asked_for_and_closes_its_watch(
    at_once: int,
) -> None:
    store = FakeStore()
    store.at_once = at_once
    for number in range(10):
        store.commit(("k", str(number)), ("l", str(number)))
    batches = list(replay(store, KeyRange.of_key(b"k"), 3, 7))
    assert [each.revision for batch in batches for each in batch] == [3, 4, 5, 6, 7]
    assert {each.key for batch in batches for each in batch} == {"k"}


def test_a_replay_ends_where_the_last_revisions_are_of_other_keys() -> None:
    store = FakeStore()
    store.commit(("k", "1"))
    for _ in range(5):
        store.commit(("x", "1"))
    batches = list(replay(store, KeyRange.of_key(b"k"), 1, store.now))
    assert [each.revision for batch in batches for each in batch] == [2]


def test_a_replay_of_nothing_asks_for_nothing_to_read() -> None:
    store = FakeStore()
    store.commit(("k", "1"))
    assert list(replay(store, ALL, 3, 2)) == []
    assert not store.watches


def test_a_replay_that_is_given_up_closes_its_watch() -> None:
    store = FakeStore()
    store.commit(("k", "1"))
    store.commit(("k", "2"))
    history = replay(store, ALL, 1, 3)
    next(history)
    history.close()


def test_a_replay_of_what_is_compacted_says_so() -> None:
    store = FakeStore()
    for _ in range(5):
        store.commit(("k", "1"))
    store.compact(4)
    with pytest.raises(Compacted):
        list(replay(store, ALL, 2, 6))
