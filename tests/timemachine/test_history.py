"""What happened to a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from etcd_watcher import Compacted, LocalEtcd, Watcher
from etcd_watcher import timemachine as timemachine_module
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import history, v3_connection
from etcd_watcher.stores.base import Store
from tests.fake_store import FakeStore
from tests.stores.v3_past import compact


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_history_has_every_value_and_every_deletion(
    etcd: LocalEtcd, fresh_key: str, api: str
) -> None:
    with Watcher(etcd.url, api=api) as watcher:
        key = f"{fresh_key}/a"
        revisions = [watcher.put(key, value) for value in ("1", "2")]  # before anybody watches
        watcher.delete(key)
        watcher.add_key(f"{fresh_key}/", prefix=True)
        for value in ("3", "4"):
            revisions += [watcher.put(key, value)]
            watcher.put(f"{fresh_key}/b", value)
        watcher.delete(key)
        history = watcher.history(key)
        assert history.values == ["1", "2", None, "3", "4", None]
        assert [each.revision for each in history if each.value] == revisions
        assert watcher.history(key, since=revisions[1], until=revisions[2]).values == [
            "2",
            None,
            "3",
        ]
        both = watcher.history([key, f"{fresh_key}/b"])
        assert len(both) == len(watcher.history(fresh_key + "/", prefix=True)) == 8
        assert repr(history) == (
            f"History(6 events, complete from revision {history.since} to {history.until})"
        )
        assert history.until == watcher.revision
        assert str(history).startswith(history.table())
        assert str(history).endswith(f"\ncomplete from revision {history.since} to {history.until}")
        assert history.table(stable=True).splitlines()[1].split()[:2] == ["r1", "PUT"]
        assert "deleted" in history._repr_html_()


def test_history_goes_on_in_the_journal_where_etcd_has_forgotten(fresh_key: str) -> None:
    with LocalEtcd(version="3.5") as etcd, Watcher(etcd.url, api="v3") as watcher:
        watcher.put("a", "unseen")
        watcher.add_key("a")
        for value in "123":
            newest = watcher.put("a", value)
        watcher.sync()
        compact(etcd, newest)
        history = watcher.history("a")
        assert (history.values, history.since) == (["1", "2", "3"], 3)
        assert history[0].prev_value == "unseen"
        with pytest.raises(Compacted) as caught:
            watcher.history("a", since=1)
        assert caught.value.revision == 3
        assert watcher.history("a", since=4).values == ["2", "3"]
        assert watcher.history("b").since == newest + 1  # it may have been deleted at `newest`
        for text in (repr(watcher.history("b")), str(watcher.history("b"))):
            assert "before revision 6 is forgotten" in text


def test_history_is_not_called_complete_where_etcd_forgot_a_deletion(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd, Watcher(etcd.url, api="v3") as watcher:
        watcher.put("a", "1")
        watcher.delete("a")
        deleted = etcd.revision
        watcher.put("a", "2")
        compact(etcd, deleted)
        history = watcher.history("a")
        assert (history.values, history.since) == (["2"], deleted + 1)
        with pytest.raises(Compacted) as caught:
            watcher.history("a", since=deleted)
        assert caught.value.revision == deleted + 1


def test_history_goes_on_where_its_watch_is_lost(
    etcd: LocalEtcd, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is where the endpoint goes away, or the feed has gone on to another."""
    given, lost = history.replay, ["at once", "in between"]

    def replay(store: Store, scope: KeyRange, first: int, last: int) -> Iterator[list[Event]]:
        for events in given(store, scope, first, last):
            when = lost.pop(0) if lost else "never"
            if when == "in between":
                yield events[:1]
            if when != "never":
                raise ConnectionFailed("the connection was replaced")
            yield events

    monkeypatch.setattr(timemachine_module, "replay", replay)
    other = etcd.url.replace("127.0.0.1", "localhost")
    with Watcher([etcd.url, other], api="v3") as watcher:
        for number in range(3):
            watcher.put(fresh_key, str(number))
        assert [each.value for each in watcher.history(fresh_key)] == ["0", "1", "2"]
        assert not lost


def test_history_of_large_values_comes_in_parts(
    etcd: LocalEtcd, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v3_connection, "MESSAGE_BOUND", 3_000_000)
    with Watcher(etcd.url, api="v3") as watcher:
        for _ in range(5):
            watcher.put(fresh_key, "v" * 900_000)
        assert len(watcher.history(fresh_key)) == 5


def test_history_on_v2_is_the_last_changes_that_the_server_has(etcd: LocalEtcd) -> None:
    with Watcher(etcd.url, api="v2") as watcher:
        revisions = [watcher.put("old", f"{number}") for number in range(1100)]
        history = watcher.history("old")
        assert history.values == [f"{number}" for number in range(100, 1100)]
        assert (history.since, history.until) == (revisions[100], revisions[-1])
        with pytest.raises(Compacted) as lost:
            watcher.at(revisions[50], "old")
        assert watcher.at(lost.value.revision, "old") == {"/old": "100"}


def test_history_is_found_although_it_is_being_lost(
    store: FakeStore, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As v2's is, where others write on."""
    given, tried = history.replay, [0]

    def replay(store: FakeStore, scope: KeyRange, first: int, last: int) -> Iterator[list[Event]]:
        tried.append(first)
        oldest = min(95, 50 + 5 * len(tried))
        if first < oldest:
            raise Compacted(store.now, oldest)
        return given(store, scope, first, last)

    monkeypatch.setattr(timemachine_module, "replay", replay)
    for number in range(100):
        store.commit(("a", f"{number}"))
    found = watcher.history("a")
    assert found.since == tried[-1] < 90
    assert found.values == [f"{number}" for number in range(found.since - 2, 100)]


def test_what_was_made_up_after_a_loss_gives_way_to_what_the_store_tells(
    store: FakeStore, watcher: Watcher
) -> None:
    watcher.add_key("a")
    store.watch_number(1).hold()
    for value in ("1", None, "2"):
        store.commit(("a", value))
    store.compact(4)
    store.watch_number(1).hold(held=False)
    watcher.sync()
    assert any(event.synthetic for event in watcher.journal.events())
    assert [(each.value, each.synthetic) for each in watcher.history("a")] == [("2", False)]


@pytest.mark.parametrize("wrong", [{"since": 0}, {"until": 0}, {"until": "x"}])
def test_history_of_no_revision_is_refused(watcher: Watcher, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        watcher.history("a", **wrong)
