"""What ValueDiff tells its page."""

from __future__ import annotations

import json
from typing import Any

import pytest
import traitlets

from etcd_watcher.stores.base import KeyValue
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets import EventLog, ValueDiff
from etcd_watcher.widgets import value_diff as value_diff_module
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.base import LiveWidget
from tests.fake_store import event

Sent = list[tuple[LiveWidget, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_diff_module, "EVERY", 0.0)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    questions: list[Any] = []
    monkeypatch.setattr(asker, "ask", lambda *question: questions.append(question))
    return questions


def draw(diff: ValueDiff, sent: Sent) -> dict[str, Any]:
    sent.clear()
    diff.draw(0.0)
    message = sent[0][1] if sent else {}
    json.dumps(message).encode("ascii")
    return message


def lines(message: dict[str, Any]) -> list[list[str]]:
    return [list(each) for each in message["differences"]]


def test_it_compares_the_newest_value_with_the_one_before(
    fake_watcher: Watcher, sent: Sent
) -> None:
    fake_watcher.journal.append([event(1, "k", "a\nb"), event(2, "other", "x")])
    fake_watcher.journal.append([event(3, "k", "a\nc", prev=b"a\nb")])
    message = draw(ValueDiff(fake_watcher, only="k"), sent)
    assert lines(message) == [["same", "a"], ["gone", "b"], ["new", "c"]]
    assert [each["revision"] for each in message["versions"]] == [3, 1]


def test_it_goes_on_while_changes_come(fake_watcher: Watcher, sent: Sent) -> None:
    diff = ValueDiff(fake_watcher, only="k")
    fake_watcher.journal.append([event(1, "k", "a")])
    assert draw(diff, sent)["after"]["text"] == "a"
    fake_watcher.journal.append([event(2, "k", "b", prev=b"a")])
    assert lines(draw(diff, sent)) == [["gone", "a"], ["new", "b"]]
    fake_watcher.journal.append([event(3, "other", "b")])
    assert draw(diff, sent) == {}


def test_two_values_can_be_chosen_in_the_page_and_from_code(
    fake_watcher: Watcher, sent: Sent
) -> None:
    values = ["one", "two", "three", "four"]
    for revision, value in enumerate(values, 1):
        fake_watcher.journal.append([event(revision, "k", value)])
    diff = ValueDiff(fake_watcher, only="k", older=1, newer=3)
    assert lines(draw(diff, sent)) == [["gone", "one"], ["new", "three"]]
    diff._take(diff, {"choose": "older", "revision": 2}, [])
    assert lines(draw(diff, sent)) == [["gone", "two"], ["new", "three"]]
    diff._take(diff, {"choose": "newer", "revision": 0}, [])
    assert lines(draw(diff, sent)) == [["gone", "two"], ["new", "four"]]
    diff.older = 0
    assert lines(draw(diff, sent)) == [["gone", "three"], ["new", "four"]]


def test_a_revision_that_the_journal_does_not_have_is_said_so(
    fake_watcher: Watcher, sent: Sent
) -> None:
    fake_watcher.journal.append([event(5, "k", "x")])
    assert "nothing of revision 3" in draw(ValueDiff(fake_watcher, only="k", older=3), sent)["said"]
    assert "nothing of revision 9" in draw(ValueDiff(fake_watcher, only="k", newer=9), sent)["said"]


def test_a_deletion_shows_what_was_deleted(fake_watcher: Watcher, sent: Sent) -> None:
    fake_watcher.journal.append([event(1, "k", "x"), event(2, "k", None, prev=b"x")])
    message = draw(ValueDiff(fake_watcher, only="k"), sent)
    assert message["before"]["text"] == "x"
    assert message["after"] is None
    assert message["differences"] is None


def test_an_event_of_a_log_shows_what_it_changed(fake_watcher: Watcher, sent: Sent) -> None:
    fake_watcher.journal.append([event(1, "a", "x"), event(2, "b", "y"), event(3, "a", "z")])
    log, diff = EventLog(fake_watcher), ValueDiff(fake_watcher)
    traitlets.dlink((log, "selected"), (diff, "event"))
    log.draw(0.0)
    log._take(log, {"ask": "open", "epoch": 0, "number": 2}, [])
    assert (diff.only, diff.newer) == ("a", 3)
    assert lines(draw(diff, sent)) == [["gone", "x"], ["new", "z"]]
    diff.only = "b"
    assert (diff.newer, diff.event) == (0, None)
    assert draw(diff, sent)["after"]["text"] == "y"


def test_an_event_that_the_journal_has_forgotten_is_still_shown(
    fake_watcher: Watcher, sent: Sent
) -> None:
    gone = event(1, "k", "new", prev=b"old")
    diff = ValueDiff(fake_watcher, event=gone)
    assert lines(draw(diff, sent)) == [["gone", "old"], ["new", "new"]]


def test_a_key_without_changes_shows_what_the_server_has(
    fake_watcher: Watcher, sent: Sent, asked: list[Any]
) -> None:
    diff = ValueDiff(fake_watcher, only="k")
    draw(diff, sent)
    draw(diff, sent)
    assert len(asked) == 1
    asked[0][3](KeyValue(b"k", b"present", 7, 7, 1, 0))
    message = draw(diff, sent)
    assert message["after"]["text"] == "present"
    assert "revision 7" in message["said"]
    diff.refresh()
    diff._told_at = 0.0
    draw(diff, sent)
    asked[1][3](KeyValue(b"k", b"written since", 9, 7, 2, 0))
    diff._told_at = 0.0
    assert lines(draw(diff, sent)) == [["gone", "present"], ["new", "written since"]]
    diff.refresh()
    diff._told_at = 0.0
    draw(diff, sent)
    asked[2][3](None)
    diff._told_at = 0.0
    message = draw(diff, sent)
    assert (message["before"]["text"], message["after"]) == ("written since", None)


def test_without_a_key_it_says_nothing(fake_watcher: Watcher, sent: Sent, asked: list[Any]) -> None:
    fake_watcher.journal.append([event(1, "k", "x")])
    message = draw(ValueDiff(fake_watcher), sent)
    assert (message["key"], message["versions"]) == ("", [])
    assert not asked


def test_only_so_many_values_are_kept(
    fake_watcher: Watcher, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_diff_module, "MOST_VERSIONS", 5)
    for revision in range(1, 51):
        fake_watcher.journal.append([event(revision, "k", str(revision))])
    diff = ValueDiff(fake_watcher, only="k", older=3)
    message = draw(diff, sent)
    assert [each["revision"] for each in message["versions"]] == [50, 49, 48, 47, 46, 3]


@pytest.mark.parametrize(
    "nonsense", [{}, {"choose": "none", "revision": 1}, {"choose": "older", "revision": -1}]
)
def test_a_question_that_makes_no_sense_does_no_harm(
    fake_watcher: Watcher, nonsense: dict[str, Any]
) -> None:
    diff = ValueDiff(fake_watcher)
    diff._take(diff, nonsense, [])
    assert (diff.older, diff.newer) == (0, 0)


def test_nothing_that_comes_from_etcd_is_in_a_trait(fake_watcher: Watcher, sent: Sent) -> None:
    fake_watcher.journal.append([event(1, "k", "secret")])
    diff = ValueDiff(fake_watcher, only="k")
    draw(diff, sent)
    assert "secret" not in str(diff.get_state())
