"""What StatusBar tells its page."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_watcher.event import Gap, Status
from etcd_watcher.stores.base import Cluster, Member
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets import StatusBar
from etcd_watcher.widgets import status_bar as status_bar_module
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.base import LiveWidget
from tests.fake_store import event

Sent = list[tuple[LiveWidget, dict[str, Any]]]


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(StatusBar, "_clock", lambda _: clock.now)
    return clock


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked, with what to call with the answer."""
    questions: list[Any] = []
    monkeypatch.setattr(asker, "ask", lambda *question: questions.append(question))
    return questions


def told(bar: StatusBar, sent: Sent) -> dict[str, Any] | None:
    sent.clear()
    bar.draw(0.0)
    return sent[0][1] if sent else None


def test_it_tells_how_the_watcher_stands(
    fake_watcher: Watcher, sent: Sent, clock: Clock, asked: list[Any]
) -> None:
    fake_watcher.journal.append([event(1), event(2)])
    bar = StatusBar(fake_watcher)
    message = told(bar, sent)
    assert message is not None
    assert (message["state"], message["endpoint"]) == ("connected", "http://127.0.0.1:2379")
    assert (message["api"], message["events"], message["rate"]) == ("v3", 2, 0)
    assert told(bar, sent) is None


def test_events_are_counted_exactly_and_a_second(
    fake_watcher: Watcher, sent: Sent, clock: Clock, asked: list[Any]
) -> None:
    bar = StatusBar(fake_watcher)
    told(bar, sent)
    rates = []
    for revision in range(1, 41):
        fake_watcher.journal.append([event(revision, str(each)) for each in range(10)])
        clock.now += 0.1
        message = told(bar, sent)
        if message is not None:
            rates.append(message["rate"])
    assert rates[-1] == pytest.approx(100, abs=10)
    clock.now += status_bar_module.EVERY
    message = told(bar, sent)
    assert message is not None
    assert message["events"] == 400
    clock.now += 10
    told(bar, sent)
    clock.now += 10
    told(bar, sent)
    assert bar._told["rate"] == 0, "and it says when nothing comes any more"


def test_figures_are_told_now_and_then_but_a_change_of_state_at_once(
    fake_watcher: Watcher, sent: Sent, clock: Clock, asked: list[Any]
) -> None:
    bar = StatusBar(fake_watcher)
    told(bar, sent)
    for revision in range(1, 11):
        fake_watcher.journal.append([event(revision)])
        clock.now += 0.01
        assert told(bar, sent) is None
    fake_watcher.status = Status("reconnecting", reason="refused", next_try=0.0)  # type: ignore[misc]
    message = told(bar, sent)
    assert message is not None
    assert (message["state"], message["reason"], message["next_try"]) == (
        "reconnecting",
        "refused",
        0.0,
    )
    assert message["events"] == 10


def test_when_nothing_is_new_it_says_so_now_and_then(
    fake_watcher: Watcher, sent: Sent, clock: Clock, asked: list[Any]
) -> None:
    bar = StatusBar(fake_watcher)
    first = told(bar, sent)
    assert first is not None
    said = []
    for _ in range(22):
        clock.now += status_bar_module.BEAT / 5
        said.append(told(bar, sent))
    assert [each for each in said if each] == 4 * [{"kind": "still", "number": first["number"]}]


def test_a_gap_says_how_much_is_lost(
    fake_watcher: Watcher, sent: Sent, clock: Clock, asked: list[Any]
) -> None:
    bar = StatusBar(fake_watcher)
    fake_watcher.journal.append([Gap(3, 5, "compacted"), Gap(7, 7, "compacted \ud800")])
    message = told(bar, sent)
    assert message is not None
    assert message["lost"] == 4
    assert message["gap"] == {"first": 7, "last": 7, "reason": r"compacted \ud800"}


def test_the_cluster_is_asked_now_and_then_and_after_a_reconnection(
    fake_watcher: Watcher, sent: Sent, clock: Clock, asked: list[Any]
) -> None:
    bar = StatusBar(fake_watcher)
    told(bar, sent)
    told(bar, sent)
    assert len(asked) == 1
    members = (Member("a", ("u",), leads=False), Member("b", ("v",), leads=True))
    asked[0][3](Cluster("3.5.1", 9, members, 0))
    clock.now += 1
    message = told(bar, sent)
    assert message is not None
    assert (message["version"], message["leader"], message["members"]) == ("3.5.1", "b", 2)
    clock.now += status_bar_module.ASK_EVERY
    told(bar, sent)
    assert len(asked) == 2
    fake_watcher.journal.append([Status("reconnecting"), Status("connected")])
    told(bar, sent)
    assert len(asked) == 3
    fake_watcher.status = Status("reconnecting")  # type: ignore[misc]
    clock.now += 100
    told(bar, sent)
    assert len(asked) == 3, "whom should it ask?"


def test_saved_it_shows_its_state_only_when_told_to(
    fake_watcher: Watcher, clock: Clock, asked: list[Any]
) -> None:
    assert "connected" not in StatusBar(fake_watcher)._repr_mimebundle_()[0]["text/html"]
    assert "connected" in StatusBar(fake_watcher)._saved_html()
