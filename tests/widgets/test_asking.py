"""Questions to a server that no drawing waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from etcd_watcher.widgets.asking import Asker
from tests.fake_store import PATIENCE
from tests.threads import threads_left


@pytest.fixture
def asker() -> Iterator[Asker]:
    asker = Asker()
    yield asker
    asker.close()
    assert not threads_left()


class Answers:
    def __init__(self) -> None:
        self.got: list[object] = []
        self.came = threading.Semaphore(0)

    def take(self, answer: object) -> None:
        self.got.append(answer)
        self.came.release()

    def wait(self, count: int = 1) -> list[object]:
        for _ in range(count):
            assert self.came.acquire(timeout=PATIENCE)
        return self.got


def test_an_answer_comes_on_the_askers_thread(asker: Asker) -> None:
    answers = Answers()
    asker.ask("me", "a", lambda: threading.current_thread().name, answers.take)
    assert answers.wait() == ["etcd_watcher-ask"]


def test_what_was_raised_is_told_to_the_one_who_asked(asker: Asker) -> None:
    answers = Answers()
    asker.ask("me", "a", lambda: 1 / 0, answers.take, answers.take)
    assert isinstance(answers.wait()[0], ZeroDivisionError)
    asker.ask("me", "b", lambda: 1 / 0, answers.take)
    asker.ask("me", "c", lambda: 3, answers.take)
    assert answers.wait()[1:] == [3], "and nobody need care"


def test_a_newer_question_takes_the_place_of_one_that_waits(asker: Asker) -> None:
    answers, go = Answers(), threading.Event()
    asker.ask("me", "slow", lambda: go.wait(PATIENCE), answers.take)
    for number in range(5):
        asker.ask("me", "a", partial(int, number), answers.take)
    asker.ask("you", "a", lambda: "yours", answers.take)
    go.set()
    assert answers.wait(3) == [True, 4, "yours"]


def test_nothing_is_asked_any_more_for_who_is_forgotten(asker: Asker) -> None:
    answers, go = Answers(), threading.Event()
    asker.ask("you", "slow", lambda: go.wait(PATIENCE), answers.take)
    asker.ask("me", "a", lambda: "mine", answers.take)
    asker.ask("you", "a", lambda: "yours", answers.take)
    asker.forget("me")
    go.set()
    assert answers.wait(2) == [True, "yours"]


def test_an_answer_that_cannot_be_taken_stops_nobody(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    answers = Answers()

    def refuse(_: object) -> None:
        raise ValueError("I do not want to know")

    with caplog.at_level(logging.ERROR, "etcd_watcher"):
        asker.ask("me", "a", lambda: 1, refuse)
        asker.ask("me", "b", lambda: 2, answers.take)
        assert answers.wait() == [2]
    assert "an answer could not be shown by str" in caplog.text


def test_the_thread_ends_when_there_is_nothing_to_ask_and_starts_anew(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etcd_watcher.widgets.asking.LINGER", 0.01)
    answers = Answers()
    for number in range(1, 6):
        asker.ask("me", "a", partial(int, number), answers.take)
        assert answers.wait()[-1] == number
        assert not threads_left()
