"""However somebody falls behind, and whatever the server forgets meanwhile: in the end all agree.

Readers of a store in memory that stand still and go on, with mailboxes and journals of a few
events, while keys come and go, connections break and history is compacted.
"""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher import Event, Watcher
from etcd_watcher import backoff as backoff_module
from etcd_watcher import catchup as catchup_module
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.keys import KeyRange
from tests.fake_store import PATIENCE, FakeStore
from tests.fuzz.depth import drawn, patient
from tests.lagging import lag_early

MOMENT = 0.003
"""Seconds in which a reader has all that there is for it."""

KEYS = ["k/a", "k/b", "k/c"]

Step = tuple[str, int]

WRITES = st.one_of(
    st.tuples(st.sampled_from(["put", "delete"]), st.integers(0, 2)),
    st.tuples(st.just("many"), st.integers(1, 12)),
    st.tuples(st.just("all"), st.integers(0, 2)),
)
READS = st.one_of(
    st.tuples(st.sampled_from(["stand", "go on"]), st.integers(0, 1)),
    st.tuples(st.sampled_from(["first reads", "second reads"]), st.integers(1, 9)),
)
FAULTS = st.one_of(
    st.tuples(st.just("compact"), st.integers(0, 6)),
    st.tuples(st.sampled_from(["hold", "let go"]), st.just(0)),
    st.tuples(st.just("break"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(1, 2)),
)
STEPS = st.lists(WRITES | READS | FAULTS, max_size=40)


class Reader:
    """Somebody who can be made to stand still, and believes what it is told."""

    def __init__(self) -> None:
        self.believes: dict[str, str] = {}
        self.told: list[Event] = []
        self._changed = threading.Condition()
        self._stands = False
        self._may_read = 0
        """How many events it takes although it stands."""

    def __call__(self, event: Event) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._stands or self._may_read, PATIENCE)
            self._may_read -= self._stands
            self.told.append(event)
            if event.value is None:
                self.believes.pop(event.key, None)
            else:
                self.believes[event.key] = event.value
            self._changed.notify_all()

    def stand(self, stands: bool) -> None:  # noqa: FBT001 - a switch
        """Stand still, or go on."""
        with self._changed:
            self._stands, self._may_read = stands, 0
            self._changed.notify_all()

    def read(self, number: int) -> None:
        """Take so many events, or what there is for a moment, and stand still."""
        with self._changed:
            self._stands, self._may_read = True, number
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._may_read, MOMENT)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have mailboxes lag early, and all be tried again at once."""
    lag_early(monkeypatch)
    monkeypatch.setattr(catchup_module, "RETRY", 0.001)
    monkeypatch.setattr(backoff_module, "FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(backoff_module, "LAST_BACKOFF", 0.01)


@pytest.mark.usefixtures("_small")
@drawn(few=300, many=6000)
def test_in_the_end_everybody_believes_what_is_so(examples: int) -> None:
    @patient(examples)
    @given(STEPS, st.sampled_from([1, 4, 6, 9, 100]), st.sampled_from([1, 3, 50]))
    def believed(steps: list[Step], journal_events: int, at_once: int) -> None:
        store, readers = FakeStore(), [Reader(), Reader()]
        store.at_once = at_once
        with Watcher(store, journal_events=journal_events) as watcher:
            for reader in readers:
                watcher.on("k/", prefix=True)(reader)
            for number, step in enumerate(steps):
                take(store, readers, step, str(number))
            for reader in readers:
                reader.stand(False)  # noqa: FBT003 - a switch
            for watch in list(store.watches):
                watch.hold(held=False)
            store.commit(("k/end", "end"))
            watcher.sync(PATIENCE)
            for reader in readers:
                check(reader, store)

    believed()


def take(store: FakeStore, readers: list[Reader], step: Step, value: str) -> None:
    name, number = step
    if name in {"put", "delete", "many", "all"}:
        write(store, name, number, value)
    elif name in {"stand", "go on"}:
        readers[number].stand(name == "stand")
    elif name in {"first reads", "second reads"}:
        readers[name == "second reads"].read(number)
    elif name == "compact":
        store.compact(max(store.compacted, store.now - number))
    elif name in {"hold", "let go"}:
        store.watches[-1].hold(held=name == "hold")
    elif name == "break":
        store.breaks[len(store.watches) + 1] = number
        store.watches[-1].push(ConnectionFailed("away"))
    else:
        store.fail_next("watch", *[ConnectionFailed("away")] * number)


def write(store: FakeStore, name: str, number: int, value: str) -> None:
    there = living(store)
    if name == "put":
        store.commit((KEYS[number], value))
    elif name == "delete":
        if KEYS[number] in there:
            store.commit((KEYS[number], None))
    elif name == "many":
        for each in range(number):
            store.commit((KEYS[each % 3], f"{value}.{each}"))
    else:
        store.commit(*((key, None if key in there else value) for key in KEYS))


def living(store: FakeStore) -> dict[str, str]:
    found = store._state(KeyRange.of_prefix(b"k/"), store.now)
    return {each.raw_key.decode(): each.raw_value.decode() for each in found}


def check(reader: Reader, store: FakeStore) -> None:
    assert reader.believes == living(store)
    revisions = [each.revision for each in reader.told]
    assert revisions == sorted(revisions)
    places = [(each.revision, each.raw_key) for each in reader.told]
    assert len(places) == len(set(places)), "told twice"
