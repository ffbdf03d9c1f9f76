"""Keys as they were, against what etcd says of them, and against a dict that is kept beside."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etcd_watcher import Compacted, LocalEtcd, Recording, Watcher
from etcd_watcher import timemachine as timemachine_module
from etcd_watcher.errors import ConnectionFailed, WatcherClosed
from etcd_watcher.event import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.moment import Differences, Moment
from etcd_watcher.stores import history, v3_connection
from etcd_watcher.stores.base import Store
from tests.fake_store import PATIENCE, FakeStore, event
from tests.stores.v3_past import compact

KEYS = 40


class World:
    """A random workload on a prefix, and what it made of it: the state at each revision."""

    def __init__(self, watcher: Watcher, prefix: str, seed: int) -> None:
        self.watcher = watcher
        self.prefix = prefix
        self.random = random.Random(seed)  # noqa: S311 - reproducible
        self.now: dict[str, str] = {}
        self.states: dict[int, dict[str, str]] = {}

    def write(self, count: int) -> None:
        for number in range(count):
            key = f"{self.prefix}{self.random.randrange(KEYS)}"
            if key in self.now and self.random.random() < 0.4:
                self.watcher.delete(key)
                revision = self.watcher._store.revision(PATIENCE)
                del self.now[key]
            else:
                revision = self.watcher.put(key, f"{number}")
                self.now[key] = f"{number}"
            self.states[revision] = dict(self.now)

    def at(self, revision: int) -> dict[str, str]:
        """Give what was there: between two of our revisions, the earlier one's."""
        known = max((each for each in self.states if each <= revision), default=None)
        return {} if known is None else self.states[known]


def same(moment: Moment, expected: dict[str, str], slash: str = "") -> bool:
    return dict(moment) == {slash + key: value for key, value in expected.items()}


# The real etcd.


def random_revisions(world: World, count: int) -> list[int]:
    revisions = sorted(world.states)
    chosen = world.random.choices(range(revisions[0], revisions[-1] + 1), k=count)
    return [revisions[0], *chosen, revisions[-1]]


def check_against_etcd(etcd: LocalEtcd, writes: int, checks: int) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        world = World(watcher, "time/", seed=writes)
        world.write(writes // 4)
        watcher.add_key("time/", prefix=True)
        begun = watcher.revision
        world.write(writes)
        watcher.sync()
        (scope,) = watcher._registry.scopes()
        truth = {}
        for revision in random_revisions(world, checks):
            moment = watcher.at(revision)
            snapshot = watcher._store.snapshot(scope, revision, PATIENCE)
            assert moment.entries == snapshot.items, revision
            assert same(moment, world.at(revision))
            truth[revision] = snapshot.items
        # Now the server forgets, and the journal does not. So does what we have read before.
        last = max(world.states)
        compact(etcd, last)
        watcher._time_machine._bases.clear()
        for revision, items in truth.items():
            if revision < begun:
                with pytest.raises(Compacted) as caught:
                    watcher.at(revision)
                assert caught.value.revision == begun
                continue
            moment = watcher.at(revision)
            values = [(each.raw_key, each.raw_value) for each in items]
            assert [(each.raw_key, each.raw_value) for each in moment.entries] == values
            known = [each for each in moment.entries if each.revision]
            assert set(known) <= set(items)
            # What was written since we watch is known in full.
            assert {each for each in items if each.revision > begun} <= set(known)


def test_it_is_what_a_range_at_that_revision_gives_and_what_only_the_journal_has() -> None:
    with LocalEtcd(version="3.5") as etcd:
        check_against_etcd(etcd, writes=400, checks=100)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_1000_revisions_are_what_a_range_at_them_gives() -> None:
    with LocalEtcd(version="3.5") as etcd:
        check_against_etcd(etcd, writes=3000, checks=1000)


def test_on_v2_it_goes_back_by_the_journal_and_by_the_last_1000_changes(etcd: LocalEtcd) -> None:
    with Watcher(etcd.url, api="v2") as watcher, Watcher(etcd.url, api="v2") as other:
        world = World(watcher, "time2/", seed=1)
        world.write(100)
        other.add_key("time2/", prefix=True)
        watcher.add_key("time2/", prefix=True)
        world.write(200)
        watcher.sync()
        for revision in random_revisions(world, 100):
            assert same(watcher.at(revision), world.at(revision), "/"), revision
        first = min(world.states)
        world.write(1100)  # all before the last 1,000 are gone from the server
        with pytest.raises(Compacted):
            other.at(first)
        for revision in random_revisions(world, 20)[1:]:
            if revision > first + 100:
                assert same(watcher.at(revision), world.at(revision), "/"), revision


# Where it looks.


def test_the_journal_answers_without_asking_again(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    for value in "123456789":
        store.commit(("a", value))
    watcher.sync()
    watcher.at(5)
    asked = store.calls["snapshot"]
    assert [watcher.at(revision)["a"] for revision in range(2, 11)] == list("123456789")
    assert store.calls["snapshot"] == asked == 1


def test_what_happens_meanwhile_counts(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    for value in "123":
        revision = store.commit(("a", value))
        watcher.sync()
        assert watcher.at(revision) == {"a": value}
    assert [dict(watcher.at(revision)) for revision in (1, 2, 4)] == [{}, {"a": "1"}, {"a": "3"}]


def test_a_revision_that_the_feed_has_not_reached_is_asked_for(
    store: FakeStore, watcher: Watcher
) -> None:
    watcher.add_key("a")
    store.watch_number(1).hold()
    assert watcher.at(store.commit(("a", "1"))) == {"a": "1"}


def test_what_was_there_before_the_watch_is_there(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "old"), ("b", "old"))
    watcher.add_key(["a", "b"])
    store.commit(("a", "new"))
    watcher.sync()
    assert watcher.at(2) == {"a": "old", "b": "old"}
    assert watcher.at(3) == {"a": "new", "b": "old"}
    assert [each.revision for each in watcher.at(2).entries] == [2, 2]


def with_prev(store: FakeStore, key: str, value: str | None, prev: bytes | None) -> int:
    with store.changed:
        store.now += 1
        change = event(store.now, key, value, prev=prev)
        store.transactions.append(
            [change._replace(created=1 if prev and value else change.created)]
        )
        store.changed.notify_all()
        return store.now


def test_of_what_the_server_has_forgotten_the_value_before_is_known(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "old"), ("b", "old"))
    watcher.add_key(["a", "b"])
    with_prev(store, "a", "new", b"old")
    with_prev(store, "b", None, b"old")
    watcher.sync()
    store.compact(4)
    moment = watcher.at(2)
    assert moment == {"a": "old", "b": "old"}
    assert [each.revision for each in moment.entries] == [0, 0]
    assert watcher.at(3) == {"a": "new", "b": "old"}


def test_a_value_that_nobody_knows_is_no_empty_one(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "old"))
    watcher.add_key("a")
    with_prev(store, "a", None, None)
    watcher.sync()
    store.compact(3)
    with pytest.raises(Compacted) as caught:
        watcher.at(2)
    assert caught.value.revision == 3
    assert watcher.at(3) == {}


def test_what_the_journal_has_forgotten_is_asked_for(store: FakeStore) -> None:
    with Watcher(store, request_timeout=PATIENCE, journal_events=10) as watcher:
        watcher.add_key("a")
        for number in range(100):
            store.commit(("a", f"{number}"))
            if number % 7 == 0:
                watcher.sync()
                watcher.at(store.now)
        watcher.sync()
        assert [watcher.at(revision)["a"] for revision in range(2, 102)] == [
            f"{number}" for number in range(100)
        ]
        store.compact(101)
        assert watcher.at(95) == {"a": "93"}
        with pytest.raises(Compacted) as caught:
            watcher.at(50)
        assert caught.value.revision == 91


def test_over_a_gap_the_journal_is_not_believed(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    store.commit(("a", "1"))
    watcher.sync()
    watcher.at(2)
    store.watch_number(1).hold()
    store.commit(("a", "2"))
    store.commit(("b", "x"))
    store.commit(("a", "3"))
    store.compact(5)
    store.watch_number(1).hold(held=False)
    store.commit(("a", "4"))
    watcher.sync()
    assert any(isinstance(each, Gap) for each in watcher.journal)
    assert [dict(watcher.at(each)) for each in (5, 6)] == [{"a": "3"}, {"a": "4"}]
    for revision in (2, 3):
        with pytest.raises(Compacted):
            watcher.at(revision)


def test_while_it_was_not_watched_the_journal_is_not_believed(
    store: FakeStore, watcher: Watcher
) -> None:
    watcher.add_key("", prefix=True)
    store.commit(("a", "1"))
    watcher.sync()
    assert watcher.at(2) == {"a": "1"}
    watcher.remove_key("")
    store.commit(("a", "2"))
    watcher.add_key("", prefix=True)
    store.commit(("b", "1"))
    watcher.sync()
    assert [dict(watcher.at(each)) for each in (2, 3, 4)] == [
        {"a": "1"},
        {"a": "2"},
        {"a": "2", "b": "1"},
    ]


def test_without_a_server_the_journal_will_do(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    for value in "123":
        store.commit(("a", value))
    watcher.sync()
    watcher.at(4)
    store.fail_next("snapshot", *[ConnectionFailed("away")] * 9)
    assert watcher.at(3) == {"a": "2"}
    with pytest.raises(ConnectionFailed):
        watcher.at(3, "b")


# Which keys.


def test_all_watched_keys_or_those_that_are_asked_for(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"), ("news/a", "2"), ("other", "3"))
    watcher.add_key("a")
    watcher.add_key("news/", prefix=True)
    assert list(watcher.at(2)) == ["a", "news/a"]
    assert list(watcher.at(2, "other")) == ["other"]
    assert list(watcher.at(2, ["other", b"a"])) == ["a", "other"]
    assert list(watcher.at(2, "", prefix=True)) == ["a", "news/a", "other"]
    with Watcher(store, request_timeout=PATIENCE) as nobody:
        assert watcher.at(2, "x") == nobody.at(2) == {}


def test_many_keys_are_read_together(store: FakeStore, watcher: Watcher) -> None:
    names = [f"key-{number:03}" for number in range(timemachine_module.RANGES + 1)]
    store.commit(*[(name, "1") for name in names], ("key-000-between", "x"))
    watcher.add_key(names)
    assert list(watcher.at(2)) == names
    assert store.calls["snapshot"] == 1


@pytest.mark.parametrize("revision", [0, -1, True, "3", None, 2.0])
def test_what_is_no_revision_is_refused(watcher: Watcher, revision: object) -> None:
    with pytest.raises(ValueError, match="give a whole number, 1 or more"):
        watcher.at(revision)  # type: ignore[arg-type]


def test_the_future_is_not_known(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    with pytest.raises(ValueError, match="revision 3 is yet to come: the newest is 2"):
        watcher.at(3)
    with pytest.raises(ValueError, match="since=4 is yet to come: the newest is 2"):
        watcher.history("a", since=4)
    assert list(watcher.history("a", since=3)) == []
    watcher.close()
    with pytest.raises(WatcherClosed):
        watcher.at(1)


# What it gives.


def test_a_moment_is_a_mapping_that_shows_itself(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("b", b"\xff\n"), (b"\xfe", "1"), ("a", "<b>"))
    watcher.add_key("", prefix=True)
    moment = watcher.at(2)
    assert (moment.revision, list(moment), len(moment)) == (2, ["a", "b", "\udcfe"], 3)
    assert (moment["a"], moment[b"\xfe"], moment.get("c")) == ("<b>", "1", None)
    assert repr(moment) == "Moment(revision=2, 3 keys)"
    assert moment.table() == "key     value\na       <b>\nb       \\udcff\\n\n\\udcfe  1"
    assert "&lt;b&gt;" in moment._repr_html_()


def test_a_difference_is_told_key_by_key(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"), ("b", "1"), ("c", "1"))
    store.commit(("a", "2"))
    store.commit(("b", None))
    store.commit(("d", "\n<i>"))
    store.commit(("c", "x"))
    store.commit(("c", "1"))
    watcher.add_key("", prefix=True)
    differences = watcher.diff(2, 7)
    assert str(differences) == "~ a = 1 -> 2\n- b = 1\n+ d = \\n<i>"
    assert repr(differences) == "Differences(first=2, last=7, 3 keys)"
    assert [(each.key, each.before, each.after) for each in differences[1:]] == [
        ("b", "1", None),
        ("d", None, "\n<i>"),
    ]
    back = watcher.diff(7, 2)
    assert [str(each)[0] for each in back] == ["~", "+", "-"]
    html = differences._repr_html_()
    assert "&lt;i&gt;" in html
    assert "✕ deleted" in html
    assert watcher.diff(5, 7, "c") == watcher.diff(3, 3) or len(watcher.diff(5, 7, "c")) == 0
    assert "No difference" in watcher.diff(3, 3)._repr_html_()


def test_many_keys_are_shown_in_part() -> None:
    store = FakeStore()
    store.commit(*[(f"{number:03}", "x") for number in range(60)])
    with Watcher(store, request_timeout=PATIENCE) as watcher:
        watcher.add_key("", prefix=True)
        assert "… 10 more keys" in watcher.at(2)._repr_html_()
        assert "… 10 more keys" in Differences(watcher.at(1), watcher.at(2))._repr_html_()


# What happened to a key.


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


# A recording has a past, too.


def test_the_past_of_a_replay_is_that_of_its_recording(
    store: FakeStore, watcher: Watcher, tmp_path: Path
) -> None:
    watcher.add_key("", prefix=True)
    with watcher.record(tmp_path / "lesson.jsonl"):
        for change in [("a", "1"), ("b", "1"), ("a", None), ("b", "2")]:
            store.commit(change)
    with Watcher(Recording(tmp_path / "lesson.jsonl"), speed="max") as replay:
        replay.add_key("", prefix=True)
        replay.sync()
        for revision in range(1, 6):
            assert replay.at(revision) == watcher.at(revision)
        assert replay.history("a").values == ["1", None]
        replay.replay.seek(3)
        replay.sync()
        assert replay.at(3) == watcher.at(3)
        with pytest.raises(ValueError, match="yet to come"):
            replay.at(4)
