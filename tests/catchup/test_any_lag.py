"""Each event once and in order, however one falls behind."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher import Watcher
from etcd_watcher.errors import ConnectionFailed
from tests.catchup.reader import Reader
from tests.fake_store import FakeStore

steps = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 12)),
    st.tuples(st.just("transaction"), st.integers(1, 8)),
    st.tuples(st.just("stand"), st.just(0)),
    st.tuples(st.just("go on"), st.just(0)),
    st.tuples(st.just("lose history"), st.integers(0, 10)),
    st.tuples(st.just("fail to connect"), st.integers(1, 3)),
)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
@given(st.lists(steps, max_size=20), st.sampled_from([1, 5, 100]), st.sampled_from([1, 3, 50]))
def test_every_event_is_told_once_and_in_order_however_it_falls_behind(
    steps: list[tuple[str, int]], journal_events: int, at_once: int
) -> None:
    store, reader = FakeStore(), Reader()
    store.at_once = at_once
    with Watcher(store, journal_events=journal_events) as watcher:
        watcher.on("k", prefix=True)(reader)
        for step, number in steps:
            if step == "commit":
                for _ in range(number):
                    store.commit(("k", "v"))
            elif step == "transaction":
                store.commit(*[(f"k{part}", "v") for part in range(number)])
            elif step == "stand":
                reader.go_on.clear()
            elif step == "go on":
                reader.go_on.set()
            elif step == "lose history":
                store.breaks[len(store.watches) + 1] = number
            elif step == "fail to connect":
                store.fail_next("watch", *[ConnectionFailed("away")] * number)
        reader.go_on.set()
        watcher.sync()
        expected = [(each.revision, each.key) for tx in store.transactions for each in tx]
        assert [(each.revision, each.key) for each in reader.told] == expected
