"""`KeyPicker`: what is listed, what is chosen, and what the watcher watches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.widgets import KeyPicker
from tests.widgets.conftest import kept_by_a_notebook
from tests.widgets.hands import Hands


@pytest.fixture(params=["v2", "v3"])
def watcher(etcd: LocalEtcd, request: pytest.FixtureRequest) -> Iterator[Watcher]:
    with Watcher(etcd.url, api=request.param) as made:
        yield made


@pytest.fixture
def hands(watcher: Watcher) -> Iterator[Hands]:
    picker = KeyPicker(watcher, page=3)
    yield Hands(picker)
    picker.close()


def texts(hands: Hands) -> list[str]:
    return [each["text"] for each in hands.state["found"]["keys"]]


def tags(hands: Hands) -> list[tuple[str, bool, int]]:
    return [(each["text"], each["prefix"], each["subscribers"]) for each in hands.state["tags"]]


def find(hands: Hands, text: str, number: int) -> None:
    hands.say(ask="find", text=text, number=number)
    hands.wait(lambda state: state["found"].get("number") == number)


def test_keys_that_begin_so_are_listed_page_by_page(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    for number in range(5):
        watcher.put(f"{fresh_key}-{number}", "v")
    find(hands, f"{fresh_key}-", 1)
    assert texts(hands) == [f"{fresh_key}-{number}" for number in range(3)]
    found = hands.state["found"]
    assert found["count"] == (None if watcher.api == "v2" else 5)
    hands.say(ask="more", id=found["id"], after=found["after"], number=2)
    hands.wait(lambda state: state["found"]["number"] == 2)
    assert hands.state["found"]["adds"]
    assert texts(hands) == [f"{fresh_key}-{number}" for number in (3, 4)]
    assert hands.state["found"]["after"] is None


def test_of_many_questions_the_last_is_answered(hands: Hands, fresh_key: str) -> None:
    for number in range(1, 50):
        hands.say(ask="find", text=f"{fresh_key}{number}", number=number)
    hands.wait(lambda state: state["found"].get("number") == 49)
    assert texts(hands) == []


def test_what_is_chosen_is_watched(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    watcher.put(fresh_key, "v")
    find(hands, fresh_key, 1)
    hands.ask(ask="add", id=hands.state["found"]["keys"][0]["id"], prefix=False)
    hands.ask(ask="add", text=f"{fresh_key}-new", prefix=False)
    hands.ask(ask="add", text=f"{fresh_key}-all", prefix=True)
    assert watcher.keys == [f"{fresh_key}", f"{fresh_key}-new", f"{fresh_key}-all"]
    assert [each.prefix for each in watcher.watched_keys] == [False, False, True]
    hands.draw()
    assert tags(hands) == [
        (f"{fresh_key}", False, 0),
        (f"{fresh_key}-new", False, 0),
        (f"{fresh_key}-all", True, 0),
    ]
    widget = hands.widget
    assert isinstance(widget, KeyPicker)
    assert widget.chosen == watcher.keys


def test_what_code_does_shows_and_the_reverse(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    watcher.add_key([fresh_key, f"{fresh_key}-2"])
    watcher.register(fresh_key, hands, print)
    hands.draw()
    assert tags(hands) == [(fresh_key, False, 1), (f"{fresh_key}-2", False, 0)]
    hands.ask(ask="remove", id=fresh_key.encode().hex(), prefix=False)
    assert watcher.keys == [f"{fresh_key}-2"]
    watcher.remove_key(f"{fresh_key}-2")
    hands.draw()
    assert tags(hands) == []


def test_a_key_and_a_prefix_of_one_name_are_two(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    for prefix in (False, True):
        watcher.add_key(fresh_key, prefix=prefix)
    hands.ask(ask="remove", id=fresh_key.encode().hex(), prefix=True)
    assert [each.prefix for each in watcher.watched_keys] == [False]


def test_only_some_tags_are_shown_and_all_are_counted(watcher: Watcher, fresh_key: str) -> None:
    hands = Hands(KeyPicker(watcher, tags=2))
    watcher.add_key([f"{fresh_key}-{number}" for number in range(5)])
    hands.draw()
    assert (len(hands.state["tags"]), hands.state["all"]) == (2, 5)
    hands.widget.close()


def test_what_cannot_be_watched_is_said(hands: Hands, watcher: Watcher) -> None:
    bad = "_hidden/.." if watcher.api == "v2" else ""
    hands.ask(ask="add", text=bad, prefix=False)
    assert "key" in hands.state["trouble"]
    hands.ask(ask="add", text="fine", prefix=False)
    assert hands.state["trouble"] == ""


def test_hostile_keys_are_text_and_are_the_keys_that_they_are(etcd: LocalEtcd) -> None:
    key = b"hostile/\xff\0</script>\x1b[31m\xe2\x80\xae"
    with Watcher(etcd.url, api="v3") as watcher:
        hands = Hands(KeyPicker(watcher))
        watcher.put(key, "v")
        find(hands, "hostile/", 1)
        (found,) = hands.state["found"]["keys"]
        assert found["text"] == r"hostile/\xff\x00</script>\x1b[31m\u202e"
        hands.ask(ask="add", id=found["id"], prefix=False)
        assert watcher.get(key) == "v"
        watcher.put(key, "w")
        watcher.sync()
        assert [each.raw_key for each in watcher.journal.events()] == [key]
        hands.widget.close()


@pytest.mark.parametrize(
    "message",
    [
        {"ask": "add", "id": "xyz", "prefix": False},
        {"ask": "remove", "id": "\ud800", "prefix": False},
        {"ask": "find", "text": "\ud800", "number": 1},
        {"ask": "more", "id": "6b", "after": "6", "number": 1},
        {"ask": "add"},
        {"ask": "find", "text": 3, "number": 1},
    ],
)
def test_what_no_page_of_ours_would_ask_is_passed_over(
    hands: Hands, message: dict[str, object]
) -> None:
    hands.say(**message)
    hands.draw()
    assert hands.state["trouble"] == ""
    assert hands.state["busy"] == 0


def test_without_a_server_the_list_says_so(etcd: LocalEtcd) -> None:
    with LocalEtcd() as own:
        watcher = Watcher(own.url, request_timeout=0.5)
        hands = Hands(KeyPicker(watcher))
    find(hands, "k", 1)
    assert "no etcd server answered" in hands.state["found"]["problem"]
    hands.widget.close()
    watcher.close()


def test_a_saved_notebook_has_no_key_unless_asked_for(watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    for save_state in (False, True):
        picker = KeyPicker(watcher, save_state=save_state)
        assert (fresh_key in kept_by_a_notebook(picker)) == save_state
        assert fresh_key not in str(picker.get_state())
        assert repr(picker) == f"KeyPicker({'save_state=True' if save_state else ''})"
        picker.close()
