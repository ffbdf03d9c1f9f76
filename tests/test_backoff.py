"""How long the feed waits between tries."""

from __future__ import annotations

from etcd_watcher.backoff import FIRST_BACKOFF, LAST_BACKOFF, Backoff


def waits(backoff: Backoff, count: int) -> list[float]:
    return [backoff.fail() for _ in range(count)]


def test_waits_grow_to_a_bound() -> None:
    found = waits(Backoff(1, jitter=lambda: 1.0), 2000)
    assert found[:6] == [FIRST_BACKOFF * 2**n for n in range(6)]
    assert found[6:] == [LAST_BACKOFF] * len(found[6:])


def test_each_endpoint_is_tried_before_the_first_wait_and_in_every_round() -> None:
    found = waits(Backoff(3, jitter=lambda: 1.0), 9)
    assert found[:2] == [0.0, 0.0]
    assert found[2:8] == [FIRST_BACKOFF] * 3 + [2 * FIRST_BACKOFF] * 3


def test_success_begins_anew() -> None:
    backoff = Backoff(1, jitter=lambda: 1.0)
    waits(backoff, 5)
    backoff.reset()
    assert backoff.fail() == FIRST_BACKOFF


def test_each_wait_has_a_jitter_of_its_own() -> None:
    found = waits(Backoff(1), 200)
    assert all(LAST_BACKOFF / 2 <= wait <= LAST_BACKOFF for wait in found[6:])
    assert len(set(found)) > 100
