"""Who has not answered is remembered for a while."""

from __future__ import annotations

from etcd_watcher.stores.v3_absences import REMEMBERED, Absences


def test_it_is_remembered_for_a_while_and_of_that_endpoint_alone() -> None:
    now = 100.0
    absences = Absences(lambda: now)
    absences.note("a")
    assert "a" in absences
    assert "b" not in absences
    now += REMEMBERED
    assert "a" not in absences


def test_it_is_forgotten_once_it_answers() -> None:
    absences = Absences(lambda: 0.0)
    absences.note("a")
    absences.forget("a")
    absences.forget("b")  # which was never away
    assert "a" not in absences
