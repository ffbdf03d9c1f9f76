"""Several threads come, go, write and close as they like: nobody waits for ever, all are told."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher import LocalEtcd, Watcher
from tests.fake_store import FakeStore
from tests.fuzz.depth import drawn, patient
from tests.fuzz.players import KEYS, STEPS, Play
from tests.threads import threads_left

Program = list[tuple[str, str]]

PROGRAMS = st.lists(
    st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(KEYS)), max_size=12),
    min_size=1,
    max_size=4,
)
CLOSING = st.none() | st.tuples(st.integers(0, 3), st.integers(0, 12))
"""Which player closes the watcher, and before which of its steps; None for none."""


def closing_at(programs: list[Program], closing: tuple[int, int] | None) -> list[Program]:
    if closing is not None:
        programs[closing[0] % len(programs)].insert(closing[1], ("close", ""))
    return programs


def play(watcher: Watcher, place: str, programs: list[Program]) -> None:
    with watcher:
        played = Play(watcher, place)
        played.act(programs)
    assert threads_left() == []
    played.check()
    told = [len(stay.told) for stay in played.stays()]
    played.check()
    assert told == [len(stay.told) for stay in played.stays()], "told after close()"


@drawn(few=150, many=5000)
@pytest.mark.timeout(300)
def test_with_a_store_in_memory(examples: int) -> None:
    @patient(examples)
    @given(PROGRAMS, CLOSING)
    def played(programs: list[Program], closing: tuple[int, int] | None) -> None:
        play(Watcher(FakeStore()), "k/", closing_at(programs, closing))

    played()


@drawn(few=25, many=1000)
@pytest.mark.parametrize("api", ["v2", "v3"])
def test_with_a_real_server(any_etcd: LocalEtcd, api: str, examples: int) -> None:
    @patient(examples)
    @given(PROGRAMS, CLOSING)
    def played(programs: list[Program], closing: tuple[int, int] | None) -> None:
        place = f"{secrets.token_hex(6)}/"
        play(Watcher(any_etcd.url, api=api), place, closing_at(programs, closing))

    played()
