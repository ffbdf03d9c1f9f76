"""A minute of a hurt cluster, and whether the judges would notice if anybody was told wrongly."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import pytest

from etcd_watcher import Event, Gap
from tests.robustness.audience import Listener
from tests.robustness.episode import Episode, Outcome, Plan
from tests.robustness.judge import Findings, judge
from tests.robustness.report import keep_evidence, table
from tests.robustness.truth import Truth

SEED = int(os.environ.get("ROBUSTNESS_SEED", "2"))


Play = Callable[[Plan], Outcome]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    def run(plan: Plan) -> Outcome:
        found = Episode(plan).run()
        print(f"\n{table([found])}")  # noqa: T201 - pytest shows it when a test fails
        if found.problems:
            folder = tmp_path_factory.getbasetemp().parent / "robustness"
            print(f"evidence: {keep_evidence(found, folder)}; again: ROBUSTNESS_SEED={SEED}")  # noqa: T201
        return found

    return run


@pytest.fixture(scope="module")
def outcome(play: Play) -> Outcome:
    return play(Plan(SEED, 25.0))


@pytest.mark.timeout(300)
def test_every_change_comes_once_in_order_or_in_a_gap_whatever_is_done_to_the_cluster(
    outcome: Outcome,
) -> None:
    check(outcome, writes=50)


@pytest.mark.timeout(300)
def test_it_does_so_for_a_user_of_a_few_keys_whose_login_lasts_a_second(play: Play) -> None:
    check(play(Plan(SEED, 12.0, lock="users", token_ttl=1, apart=True)), writes=10)


def check(outcome: Outcome, *, writes: int) -> None:
    assert outcome.problems == []
    assert sum(outcome.faults.values()) >= 2
    for api in ("v2", "v3"):
        findings = outcome.findings[api]
        assert findings.writes > writes
        assert findings.delivered > findings.writes
        assert findings.gaps == findings.real_gaps


Told = list[tuple[float, Event]]


def dropped(told: Told) -> Told:
    return told[:-3] + told[-2:]


def dropped_last(told: Told) -> Told:
    return told[:-1]


def repeated(told: Told) -> Told:
    return [*told, told[-1]]


def swapped(told: Told) -> Told:
    return [*told[:-4], told[-3], told[-4], *told[-2:]]


def altered(told: Told) -> Told:
    when, event = told[-2]
    return [*told[:-2], (when, event._replace(raw_value=b"another")), told[-1]]


@pytest.mark.parametrize(
    ("lie", "name"),
    [
        (dropped, "lost"),
        (dropped_last, "lost"),
        (repeated, "duplicated"),
        (swapped, "disordered"),
        (altered, "wrong"),
    ],
)
@pytest.mark.parametrize("api", ["v2", "v3"])
def test_it_would_be_seen(
    outcome: Outcome, api: str, lie: Callable[[Told], Told], name: str
) -> None:
    """The last four writes are one put each: those of the episode's end."""
    audience = next(each for each in outcome.audiences if each.watcher.api == api)
    quick = next(each for each in audience.listeners if each.quick)
    assert [len(each.told) > 4 for each in (quick,)] == [True]
    listener = dataclasses.replace(quick, told=lie(quick.told), quick=False)
    found = judged(outcome, api, listener)
    assert getattr(found, name) >= 1
    assert found.faults


def test_a_gap_that_is_none_would_be_seen(outcome: Outcome) -> None:
    quick = next(each for each in outcome.audiences[0].listeners if each.quick)
    last = quick.until or 0
    listener = dataclasses.replace(quick, gaps=[Gap(last - 1, last - 1, "a lie")], quick=False)
    found = judged(outcome, "v3", listener)
    assert found.gaps == found.real_gaps + 1
    assert found.faults


def judged(outcome: Outcome, api: str, listener: Listener) -> Findings:
    audience = next(each for each in outcome.audiences if each.watcher.api == api)
    everybody = audience.listeners
    audience.listeners = [listener]
    try:
        return judge(audience, Truth(1, contiguous=True), outcome.histories[api])
    finally:
        audience.listeners = everybody
