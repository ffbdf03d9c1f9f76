"""The one thread that draws all widgets."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from etcd_watcher.widgets.renderer import Renderer
from tests.fake_store import PATIENCE
from tests.threads import threads_left


class Counter:
    """A view that counts its drawings, and says when there were enough."""

    def __init__(self, enough: int = 1) -> None:
        self.times: list[float] = []
        self.threads: set[str] = set()
        self.enough = enough
        self.done = threading.Event()

    def draw(self, now: float) -> None:
        self.times.append(now)
        self.threads.add(threading.current_thread().name)
        if len(self.times) >= self.enough:
            self.done.set()


def test_views_are_drawn_on_one_thread_that_ends_with_the_last() -> None:
    renderer = Renderer(tick=0.001)
    first, second = Counter(5), Counter(5)
    renderer.add(first)
    renderer.add(second)
    assert first.done.wait(PATIENCE)
    assert second.done.wait(PATIENCE)
    assert first.threads == second.threads == {"etcd_watcher-renderer"}
    renderer.remove(first)
    second.enough = len(second.times) + 5
    second.done.clear()
    assert second.done.wait(PATIENCE), "the other is drawn on"
    renderer.remove(second)
    assert not threads_left()


def test_it_starts_anew_for_a_view_that_comes_later() -> None:
    renderer = Renderer(tick=0.001)
    for _ in range(20):
        view = Counter(2)
        renderer.add(view)
        assert view.done.wait(PATIENCE)
        renderer.remove(view)
        assert not threads_left()


def test_between_two_drawings_there_is_at_least_a_tick() -> None:
    renderer = Renderer(tick=0.03)
    view = Counter(10)
    renderer.add(view)
    assert view.done.wait(PATIENCE)
    renderer.close()
    assert min(b - a for a, b in zip(view.times, view.times[1:], strict=False)) >= 0.03


def test_a_slow_view_leaves_time_to_the_others() -> None:
    renderer = Renderer(tick=0.001)

    class Slow(Counter):
        def draw(self, now: float) -> None:
            super().draw(now)
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                pass

    view = Slow(5)
    renderer.add(view)
    assert view.done.wait(PATIENCE)
    renderer.close()
    assert min(b - a for a, b in zip(view.times, view.times[1:], strict=False)) >= 0.03


def test_a_view_that_fails_is_not_drawn_again_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        drawn = 0

        def draw(self, now: float) -> None:
            self.drawn += 1
            raise ValueError("no picture")

    renderer = Renderer(tick=0.001)
    broken, sound = Broken(), Counter(5)
    with caplog.at_level(logging.ERROR, "etcd_watcher"):
        renderer.add(broken)
        renderer.add(sound)
        assert sound.done.wait(PATIENCE)
        renderer.close()
    assert broken.drawn == 1
    assert "Broken could not be drawn" in caplog.text


def test_a_view_may_close_itself_and_others_while_it_is_drawn() -> None:
    renderer = Renderer(tick=0.001)
    other = Counter()
    ended = threading.Event()

    class Closing:
        def draw(self, now: float) -> None:
            renderer.remove(other)
            renderer.remove(self)
            ended.set()

    with renderer.lock:
        renderer.add(Closing())
        renderer.add(other)
    assert ended.wait(PATIENCE)
    assert not threads_left()
    assert not other.times


def test_removing_what_is_not_drawn_does_nothing() -> None:
    Renderer().remove(Counter())
