"""`ValueEditor`: what is written replaces what was shown, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.widgets import ValueEditor
from etcd_watcher.widgets.value_editor import LARGEST
from tests.widgets.conftest import kept_by_a_notebook
from tests.widgets.hands import Hands


@pytest.fixture(params=["v2", "v3"])
def watcher(etcd: LocalEtcd, request: pytest.FixtureRequest) -> Iterator[Watcher]:
    with Watcher(etcd.url, api=request.param) as made:
        yield made


def opened(watcher: Watcher, key: str, **settings: Any) -> Hands:
    hands = Hands(ValueEditor(watcher, key=key, **settings))
    hands.wait(lambda state: state["loaded"] > 0 and state["busy"] == 0)
    return hands


@pytest.fixture
def hands(watcher: Watcher, fresh_key: str) -> Iterator[Hands]:
    watcher.put(fresh_key, "one")
    hands = opened(watcher, fresh_key)
    yield hands
    hands.widget.close()


def put(hands: Hands, text: str, revision: int | None = None, **message: Any) -> None:
    known = hands.state["value"]["revision"] if revision is None else revision
    given = {"id": hands.state["id"], "escapes": False, "life": {"how": "keep"}} | message
    hands.say(ask="put", text=text, revision=known, **given)
    hands.draw()
    hands.wait(lambda state: state["busy"] == 0)


def test_a_value_is_shown_with_its_revision(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    found = watcher.read(fresh_key)
    assert found is not None
    shown = hands.state["value"]
    assert (shown["text"], shown["revision"], shown["there"]) == ("one", found.revision, True)
    assert shown["left"] is None


def test_what_is_put_is_written_and_shown(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    assert not hands.state["value"]["ours"]
    put(hands, "two")
    assert watcher.get(fresh_key) == "two"
    hands.wait(lambda state: state["value"]["text"] == "two")
    assert hands.state["value"]["ours"]
    assert hands.state["said"].startswith("Written: revision ")
    put(hands, "three")
    assert watcher.get(fresh_key) == "three"


def test_nobodys_write_is_overwritten_unseen(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    theirs = watcher.put(fresh_key, "theirs")
    put(hands, "mine")
    hands.wait(lambda state: state["conflict"])
    assert watcher.get(fresh_key) == "theirs"
    conflict = hands.state["conflict"]
    assert conflict["revision"] == theirs
    assert conflict["lines"] == [("gone", "theirs"), ("new", "mine")]
    assert hands.state["value"]["text"] == "one", "what is edited stays as it is"
    put(hands, "mine", revision=theirs)
    assert watcher.get(fresh_key) == "mine"
    assert hands.state["conflict"] is None


def test_a_key_that_was_deleted_meanwhile_is_not_created_unseen(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    watcher.delete(fresh_key)
    put(hands, "mine")
    hands.wait(lambda state: state["conflict"])
    assert hands.state["conflict"]["revision"] == 0
    assert watcher.get(fresh_key) is None
    put(hands, "mine", revision=0)
    assert watcher.get(fresh_key) == "mine"


def test_deleting_minds_others_too(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    shown = hands.state["value"]["revision"]
    theirs = watcher.put(fresh_key, "theirs")
    hands.ask(ask="delete", id=hands.state["id"], revision=shown)
    hands.wait(lambda state: state["conflict"])
    assert hands.state["conflict"]["deletes"]
    assert watcher.get(fresh_key) == "theirs"
    hands.ask(ask="delete", id=hands.state["id"], revision=theirs)
    hands.wait(lambda state: not state["value"]["there"])
    assert watcher.get(fresh_key) is None
    assert hands.state["said"] == "Deleted."


def test_a_new_key_is_created_only_where_there_is_none(watcher: Watcher, fresh_key: str) -> None:
    hands = opened(watcher, fresh_key)
    assert not hands.state["value"]["there"]
    watcher.put(fresh_key, "theirs")
    put(hands, "mine")
    hands.wait(lambda state: state["conflict"])
    assert watcher.get(fresh_key) == "theirs"
    hands.widget.close()


def test_it_tells_that_somebody_else_has_written(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    hands.draw(seconds=5)
    assert hands.state["newest"] is None
    theirs = watcher.put(fresh_key, "theirs")
    hands.draw(seconds=5)
    hands.wait(lambda state: state["newest"] == theirs)
    hands.ask(ask="load")
    assert not hands.state["value"]["ours"]
    assert hands.state["value"]["text"] == "theirs"
    assert hands.state["newest"] is None
    watcher.delete(fresh_key)
    hands.draw(seconds=5)
    hands.wait(lambda state: state["newest"] == 0)


def test_a_key_lives_as_long_as_asked(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    put(hands, "two", life={"how": "ttl", "seconds": 500})
    hands.wait(lambda state: state["value"]["left"] is not None)
    assert 400 < hands.state["value"]["left"] <= 500
    put(hands, "three", life={"how": "keep"})
    life = watcher.time_left(fresh_key)
    assert life is not None
    assert 400 < life.left <= 500
    put(hands, "four", life={"how": "stay"})
    assert watcher.time_left(fresh_key) is None


def test_a_key_is_hung_on_a_lease(etcd: LocalEtcd, fresh_key: str) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.put(f"{fresh_key}-other", "v", ttl=300)
        other = watcher.time_left(f"{fresh_key}-other")
        assert other is not None
        hands = opened(watcher, fresh_key)
        put(hands, "v", life={"how": "lease", "id": f"{other.lease:x}"})
        life = watcher.time_left(fresh_key)
        assert life is not None
        assert life.lease == other.lease
        put(hands, "w", life={"how": "lease", "id": "1"})
        assert "lease not found" in hands.state["trouble"]
        for digits in ("nonsense", "", "-1", "f" * 30):
            hands.say(
                ask="put",
                id=hands.state["id"],
                text="w",
                revision=hands.state["value"]["revision"],
                escapes=False,
                life={"how": "lease", "id": digits},
            )
            hands.draw()
            assert "no lease" in hands.state["trouble"]
        assert watcher.get(fresh_key) == "v"
        hands.widget.close()


def test_a_value_that_is_no_text_is_edited_with_escapes(etcd: LocalEtcd, fresh_key: str) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.put(fresh_key, b"\xff\0\r\n")
        hands = opened(watcher, fresh_key)
        shown = hands.state["value"]
        assert (shown["text"], shown["escapes"]) == ("\\xff\\x00\\r\n", True)
        put(hands, shown["text"] + r"\xfe", escapes=True)
        found = watcher.read(fresh_key)
        assert found is not None
        assert found.raw_value == b"\xff\0\r\n\xfe"
        put(hands, "\\q", escapes=True)
        assert "no escape" in hands.state["trouble"]
        hands.widget.close()


def test_a_large_value_is_shown_in_part(etcd: LocalEtcd, fresh_key: str) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.put(fresh_key, "é" * 400_000)
        hands = opened(watcher, fresh_key)
        shown = hands.state["value"]
        assert not shown["whole"]
        assert shown["size"] == 800_000
        assert len(shown["text"]) <= LARGEST
        hands.widget.close()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://etcd-1.example.com:2379"])
def test_it_writes_by_itself_on_this_machine_alone(
    watcher: Watcher, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watcher, "endpoints", (watcher.endpoints[0], endpoint))
    for given, writes in ((None, "127" in endpoint), (True, False), (False, True)):
        editor = ValueEditor(watcher, read_only=given)
        assert editor.writes == writes
        editor.close()


def test_read_only_is_kept_whatever_a_page_asks(watcher: Watcher, fresh_key: str) -> None:
    revision = watcher.put(fresh_key, "one")
    hands = opened(watcher, fresh_key, read_only=True)
    editor = hands.widget
    assert isinstance(editor, ValueEditor)
    editor.set_state({"read_only": False})
    for message in (
        {
            "ask": "put",
            "text": "x",
            "escapes": False,
            "revision": revision,
            "life": {"how": "stay"},
        },
        {"ask": "delete", "revision": revision},
    ):
        hands.say(id=hands.state["id"], **message)
        hands.draw()
        assert "read-only" in hands.state["trouble"]
    assert watcher.get(fresh_key) == "one"
    editor.read_only = False
    put(hands, "two", revision=revision)
    assert watcher.get(fresh_key) == "two"
    editor.close()


def test_another_key_is_opened_from_the_page_and_from_code(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    editor = hands.widget
    assert isinstance(editor, ValueEditor)
    watcher.put(f"{fresh_key}-2", "second")
    hands.ask(ask="open", key=f"{fresh_key}-2")
    assert (editor.key, hands.state["value"]["text"]) == (f"{fresh_key}-2", "second")
    editor.key = fresh_key
    hands.wait(lambda state: state["value"]["text"] == "one")
    editor.key = ""
    hands.draw()
    assert not hands.state["value"]["there"]
    put(hands, "x", revision=0)
    assert "Name a key" in hands.state["trouble"]


def test_what_was_typed_for_one_key_is_not_written_to_another(
    watcher: Watcher, fresh_key: str
) -> None:
    first, second = f"{fresh_key}/a", f"{fresh_key}/b"
    hands = opened(watcher, first)
    editor = hands.widget
    assert isinstance(editor, ValueEditor)
    of_the_first = hands.state["id"]
    # Neither is there: it is by their names alone that they can be told apart.
    editor.key = second
    put(hands, "for the first", revision=0, id=of_the_first)
    assert hands.state["trouble"] == "Nothing was written: another key was opened meanwhile."
    written = watcher.put(second, "second")
    hands.say(ask="delete", id=of_the_first, revision=written)
    hands.draw()
    assert "another key was opened" in hands.state["trouble"]
    assert (watcher.get(first), watcher.get(second)) == (None, "second")
    hands.wait(lambda state: state["value"]["id"] == state["id"] != of_the_first)
    editor.close()


def test_the_page_is_told_of_which_key_the_value_is(
    hands: Hands, watcher: Watcher, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, may_read = watcher.read, threading.Event()
    monkeypatch.setattr(watcher, "read", lambda key: may_read.wait(10) and read(key))
    watcher.put(f"{fresh_key}-2", "second")
    first = hands.state["id"]
    editor = hands.widget
    assert isinstance(editor, ValueEditor)
    editor.key = f"{fresh_key}-2"
    hands.say(ask="whole")  # another page comes
    hands.draw(seconds=5)
    assert hands.state["id"] != first
    assert (hands.state["value"]["id"], hands.state["value"]["text"]) == (first, "one")
    assert "one" not in (editor._saved_html() or "")
    assert hands.state["newest"] is None
    may_read.set()
    hands.wait(lambda state: state["value"]["id"] == state["id"])
    assert hands.state["value"]["text"] == "second"


def test_trouble_with_the_server_is_said(fresh_key: str) -> None:
    with LocalEtcd() as own:
        watcher = Watcher(own.url, api="v3", request_timeout=0.5)
        hands = opened(watcher, fresh_key)
    put(hands, "two")
    assert "no etcd server answered" in hands.state["trouble"]
    hands.widget.close()
    watcher.close()


def test_a_saved_notebook_has_no_value_unless_asked_for(watcher: Watcher, fresh_key: str) -> None:
    watcher.put(fresh_key, "secret-value")
    for save_state in (False, True):
        hands = opened(watcher, fresh_key, save_state=save_state)
        assert ("secret-value" in kept_by_a_notebook(hands.widget)) == save_state
        assert "secret-value" not in str(hands.widget.get_state())
        hands.widget.close()


@pytest.mark.parametrize(
    "message",
    [
        {"ask": "put", "text": "x"},
        {"ask": "put", "id": "", "text": "x", "escapes": False, "revision": "1", "life": {}},
        {"ask": "put", "text": "x", "escapes": False, "revision": 1, "life": {}},
        {"ask": "delete"},
        {"ask": "delete", "revision": 1},
        {"ask": "open", "key": 3},
    ],
)
def test_what_no_page_of_ours_would_ask_is_passed_over(
    hands: Hands, watcher: Watcher, fresh_key: str, message: dict[str, Any]
) -> None:
    hands.say(**message)
    hands.draw()
    assert watcher.get(fresh_key) == "one"
    assert hands.state["trouble"] == ""


@pytest.mark.parametrize("life", [{}, {"how": "ttl", "seconds": 0}, {"how": "ttl", "seconds": 1.5}])
def test_a_life_that_cannot_be_meant_is_refused(
    hands: Hands, watcher: Watcher, fresh_key: str, life: dict[str, Any]
) -> None:
    put(hands, "x", life=life)
    assert "whole seconds" in hands.state["trouble"]
    assert watcher.get(fresh_key) == "one"
