"""What a watcher tells those who look before they write."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_watcher import Conflict, Watcher, WatcherClosed


def test_keys_are_listed_by_the_beginning_of_their_name(watcher: Watcher, fresh_key: str) -> None:
    for number in range(5):
        watcher.put(f"{fresh_key}-{number}", "v")
    page = watcher.list_keys(f"{fresh_key}-", limit=3)
    slash = "/" if watcher.api == "v2" else ""
    assert [head.raw_key.decode() for head in page.heads] == [
        f"{slash}{fresh_key}-{number}" for number in range(3)
    ]
    rest = watcher.list_keys(f"{fresh_key}-", after=page.after, limit=3)
    assert [head.raw_key.decode()[-1] for head in rest.heads] == ["3", "4"]
    assert rest.after is None
    with_slash = watcher.list_keys(f"/{fresh_key}-").heads
    assert len(with_slash) == (5 if watcher.api == "v2" else 0)


def test_nobodys_write_is_overwritten_unseen(watcher: Watcher, fresh_key: str) -> None:
    revision = watcher.compare_and_put(fresh_key, "one", 0)
    found = watcher.read(fresh_key)
    assert found is not None
    assert (found.raw_value, found.revision) == (b"one", revision)
    theirs = watcher.put(fresh_key, "theirs")
    with pytest.raises(Conflict) as caught:
        watcher.compare_and_put(fresh_key, "mine", revision)
    assert caught.value.revision == theirs
    with pytest.raises(Conflict):
        watcher.compare_and_delete(fresh_key, revision)
    assert watcher.get(fresh_key) == "theirs"
    watcher.compare_and_delete(fresh_key, theirs)
    assert watcher.read(fresh_key) is None


def test_a_ttl_is_told(watcher: Watcher, fresh_key: str) -> None:
    watcher.compare_and_put(fresh_key, "one", 0, ttl=500)
    life = watcher.time_left(fresh_key)
    assert life is not None
    assert 0 < life.left <= 500


def test_the_cluster_is_told(watcher: Watcher) -> None:
    cluster = watcher.cluster()
    assert cluster.version.startswith("3.")
    assert cluster.leader


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "7"])
def test_a_limit_is_a_number_of_keys(watcher: Watcher, limit: Any) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        watcher.list_keys("", limit=limit)


def test_what_cannot_be_meant_is_refused(watcher: Watcher, fresh_key: str) -> None:
    bad: Any = 7
    for call in (
        lambda: watcher.list_keys(bad),
        lambda: watcher.read(bad),
        lambda: watcher.time_left(bad),
        lambda: watcher.compare_and_put(bad, "v", 0),
        lambda: watcher.compare_and_put(fresh_key, bad, 0),
        lambda: watcher.compare_and_delete(bad, 1),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="ttl"):
        watcher.compare_and_put(fresh_key, "v", 0, ttl=0)
    assert watcher.read(fresh_key) is None


def test_a_closed_watcher_tells_nothing(watcher: Watcher) -> None:
    watcher.close()
    for call in (
        watcher.list_keys,
        lambda: watcher.read("k"),
        lambda: watcher.time_left("k"),
        watcher.cluster,
        lambda: watcher.compare_and_put("k", "v", 0),
        lambda: watcher.compare_and_delete("k", 1),
    ):
        with pytest.raises(WatcherClosed):
            call()
