"""The promise, whatever happens: every change once and in order, or a gap that says what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher import backoff as backoff_module
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from tests.fake_store import FakeStore
from tests.feed.core import LOST, A, Core

KEYS = ("a", "b", "c", "d")
steps = st.one_of(
    st.tuples(
        st.just("commit"),
        st.lists(
            st.tuples(st.sampled_from((*KEYS, "bb", "x")), st.none() | st.sampled_from("12")),
            min_size=1,
            max_size=3,
            unique_by=lambda change: change[0],
        ),
    ),
    st.tuples(st.just("cover"), st.sampled_from(KEYS)),
    st.tuples(st.just("lose"), st.integers(0, 3)),
    st.tuples(st.just("compact"), st.integers(0, 3)),
    st.tuples(st.just("sync"), st.none()),
)


class Story:
    """Runs steps that hypothesis chose, and checks the promise at the end."""

    def __init__(self) -> None:
        self.store = FakeStore(("http://one:1", "http://two:2"))
        self.store.at_once = 2
        self.core = Core(self.store)
        self.core.cover(A)

    def run(self, step: str, argument: Any) -> None:
        getattr(self, step)(argument)

    def commit(self, changes: list[tuple[str, str | None]]) -> None:
        self.store.commit(*changes)

    def cover(self, key: str) -> None:
        self.core.cover(KeyRange.of_key(key.encode()))

    def lose(self, failures: int) -> None:
        with self.store.changed:
            self.store.fail_next("watch", *[LOST] * failures)
            if self.store.watches:
                self.store.watches[-1].push(LOST)

    def compact(self, changes: int) -> None:
        """Lose history, and with it changes that were not told yet."""
        with self.store.changed:
            for number in range(changes):
                self.store.commit((KEYS[number], "lost"))
            self.store.compact(self.store.now)
            self.store.watches[-1].push(LOST)

    def sync(self, _: None) -> None:
        self.core.wait_complete()

    def check(self) -> None:
        core = self.core
        core.wait_complete()
        starts = {route.scope.start: route.start for route in core.demux.router}
        told = [each for each in core.journal.events() if not each.synthetic]
        committed = {
            (each.revision, each.raw_key): each
            for transaction in self.store.transactions
            for each in transaction
            if each.raw_key in starts and each.revision > starts[each.raw_key]
        }
        seen = [(each.revision, each.raw_key) for each in told]
        assert len(seen) == len(set(seen)), "told twice"
        assert all(committed[each] == event for each, event in zip(seen, told, strict=True))
        revisions = [each.revision for each in core.journal.events()]
        assert revisions == sorted(revisions), "out of order"
        lost = set(committed) - set(seen)
        for revision, _ in lost:
            assert any(gap.first <= revision <= gap.last + 1 for gap in core.gaps()), (
                f"{revision} is missing, and no gap says so"
            )
        self.check_values(core.journal.events(), starts)

    def check_values(self, events: list[Event], starts: Mapping[bytes, int]) -> None:
        believed = {each.raw_key: each.raw_value for each in events}
        true = {item.raw_key: item for item in self.store._state(KeyRange(b"", None), 10**9)}
        for key, start in starts.items():
            item = true.get(key)
            if item is not None and item.revision > start:
                assert believed[key] == item.raw_value
            elif item is None and key in believed:
                assert believed[key] is None


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(st.lists(steps, max_size=25))
def test_every_change_is_told_once_and_in_order_or_a_gap_says_so(
    monkeypatch_once: None, steps: list[tuple[str, Any]]
) -> None:
    story = Story()
    try:
        for step, argument in steps:
            story.run(step, argument)
        story.check()
    finally:
        story.core.close()


@pytest.fixture(scope="module")
def monkeypatch_once() -> Iterator[None]:
    """Try again at once, in all of hypothesis' runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backoff_module, "FIRST_BACKOFF", 0.0005)
        patch.setattr(backoff_module, "LAST_BACKOFF", 0.001)
        yield
