"""Keys as they were, against what etcd says of them, and against a dict that is kept beside."""

from __future__ import annotations

import random

import pytest

from etcd_watcher import Compacted, LocalEtcd, Watcher
from etcd_watcher.moment import Moment
from tests.fake_store import PATIENCE
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
