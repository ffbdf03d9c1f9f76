"""`SubscriberPicker`: ticks register, code shows, and what is called can be chosen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from etcd_watcher import Event, LocalEtcd, Subscriber, Watcher
from etcd_watcher.background import run_in_thread
from etcd_watcher.widgets import SubscriberPicker
from tests.widgets.hands import Hands


class Person(Subscriber):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[tuple[str, str, str | None]] = []

    def hear(self, key: str, value: str | None) -> None:
        self.told.append(("hear", key, value))

    def note(self, key: str, value: str | None, *, loud: bool = False) -> None:
        self.told.append(("note", key, value))

    def needs_more(self, key: str) -> None:
        pytest.fail("it takes no value")


@pytest.fixture
def watcher(etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd.url, api="v3") as made:
        yield made


@pytest.fixture
def luis() -> Person:
    return Person("Luis")


@pytest.fixture
def picker(watcher: Watcher, luis: Person) -> Iterator[SubscriberPicker]:
    made = SubscriberPicker(watcher, [luis])
    yield made
    made.close()


@pytest.fixture
def hands(picker: SubscriberPicker) -> Hands:
    return Hands(picker)


def column(hands: Hands, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [each for each in hands.state["columns"] if each["name"] == name]
    return found


def ticked(hands: Hands) -> dict[str, list[tuple[str, str]]]:
    """Give each row's ticks as (name, what is called)."""
    names = {each["number"]: each["name"] for each in hands.state["columns"]}
    return {
        each["text"]: [(names[number], what) for number, what in each["ticks"]]
        for each in hands.state["rows"]
    }


def tick(hands: Hands, name: str, key: str, *, on: bool = True, prefix: bool = False) -> None:
    number = column(hands, name)["number"]
    hands.ask(ask="tick", column=number, id=key.encode().hex(), prefix=prefix, on=on)


def test_a_tick_registers_and_its_removal_unregisters(
    hands: Hands, watcher: Watcher, luis: Person, fresh_key: str
) -> None:
    watcher.add_key(fresh_key)
    hands.draw()
    hands.say(ask="what", column=column(hands, "Luis")["number"], what="hear")
    tick(hands, "Luis", fresh_key)
    assert watcher.get_subscribers(fresh_key) == [luis]
    assert ticked(hands) == {fresh_key: [("Luis", "hear")]}
    watcher.put(fresh_key, "one")
    watcher.sync()
    tick(hands, "Luis", fresh_key, on=False)
    watcher.put(fresh_key, "two")
    watcher.sync()
    assert luis.told == [("hear", fresh_key, "one")]
    assert ticked(hands) == {fresh_key: []}, "the key is kept, to be ticked again"


def test_a_prefix_is_ticked_as_such(
    hands: Hands, watcher: Watcher, luis: Person, fresh_key: str
) -> None:
    watcher.add_key(fresh_key)
    watcher.add_key(fresh_key, prefix=True)
    hands.draw()
    tick(hands, "Luis", fresh_key, prefix=True)
    assert [len(each.interests) for each in watcher.watched_keys] == [0, 1]
    tick(hands, "Luis", fresh_key, prefix=False)
    tick(hands, "Luis", fresh_key, prefix=True, on=False)
    assert [len(each.interests) for each in watcher.watched_keys] == [1, 0]


def test_what_code_registers_shows_at_once(
    hands: Hands, watcher: Watcher, luis: Person, fresh_key: str
) -> None:
    antonio = Person("Antonio")
    watcher.register(fresh_key, luis, "hear")
    watcher.register(fresh_key, antonio, antonio.note)
    hands.draw()
    assert ticked(hands) == {fresh_key: [("Luis", "hear"), ("Antonio", "note")]}
    watcher.unregister(fresh_key, luis)
    hands.draw()
    assert ticked(hands) == {fresh_key: [("Antonio", "note")]}
    watcher.remove_key(fresh_key)
    hands.draw()
    assert ticked(hands) == {}
    assert [each["name"] for each in hands.state["columns"]] == ["Luis", "Antonio"], "they stay"


def test_a_new_subscriber_is_made_by_name(
    hands: Hands, picker: SubscriberPicker, watcher: Watcher, fresh_key: str
) -> None:
    hands.ask(ask="new", name="  Ana ", kind="Subscriber")
    assert type(picker["Ana"]) is Subscriber
    watcher.add_key(fresh_key)
    hands.draw()
    tick(hands, "Ana", fresh_key)
    assert watcher.get_subscribers(fresh_key) == [picker["Ana"]]
    for name, trouble in (("", "needs a name"), ("Ana", "Ana is there already")):
        hands.say(ask="new", name=name, kind="Subscriber")
        hands.draw()
        assert trouble in hands.state["trouble"]
    assert len(picker.subscribers) == 2
    with pytest.raises(KeyError):
        picker["Eva"]


def test_classes_and_functions_of_the_notebook_can_be_chosen(
    hands: Hands,
    picker: SubscriberPicker,
    watcher: Watcher,
    fresh_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []

    def keep(key: str, value: str | None) -> None:
        told.append((key, value))

    def needs_event(event: Event) -> None:
        pytest.fail("it takes no key and value")

    main = sys.modules["__main__"]
    for function in (keep, needs_event):
        function.__module__ = "__main__"
        monkeypatch.setattr(main, function.__name__, function, raising=False)
    monkeypatch.setattr(main, "Person", Person, raising=False)
    hands.draw(seconds=5)
    assert hands.state["kinds"] == ["Subscriber", "Person"]
    hands.ask(ask="new", name="Ana", kind="Person")
    assert type(picker["Ana"]) is Person
    choices = column(hands, "Ana")["choices"]
    assert {"do_things", "hear", "note", "keep"} <= set(choices)
    assert not {"needs_event", "needs_more", "delivery"} & set(choices)
    watcher.add_key(fresh_key)
    hands.draw()
    tick(hands, "Ana", fresh_key)
    # Whoever is ticked already has the new one called from now on.
    hands.ask(ask="what", column=column(hands, "Ana")["number"], what="keep")
    watcher.put(fresh_key, "one")
    watcher.sync()
    assert told == [(fresh_key, "one")]
    assert ticked(hands) == {fresh_key: [("Ana", "keep")]}


def test_a_function_that_gets_events_can_be_ticked_for_other_keys(
    hands: Hands, watcher: Watcher, fresh_key: str
) -> None:
    events: list[Event] = []

    @watcher.on(f"{fresh_key}-1")
    def collect(event: Event) -> None:
        events.append(event)

    watcher.add_key(f"{fresh_key}-2")
    hands.draw()
    assert column(hands, "collect")["choices"] == []
    tick(hands, "collect", f"{fresh_key}-2")
    watcher.put(f"{fresh_key}-2", "one")
    watcher.sync()
    assert [each.key for each in events] == [f"{fresh_key}-2"]


def test_a_coroutine_is_run_on_the_loop_of_the_notebook(watcher: Watcher, fresh_key: str) -> None:
    class Later:
        loop: object = None

        async def hear(self, key: str, value: str | None) -> None:
            self.loop = asyncio.get_running_loop()

    async def main() -> None:
        later = Later()
        picker = SubscriberPicker(watcher, [later])
        hands = Hands(picker)
        watcher.add_key(fresh_key)
        hands.draw()
        name = hands.state["columns"][0]["name"]
        await run_in_thread(lambda: tick(hands, name, fresh_key))
        watcher.put(fresh_key, "one")
        await watcher.sync_async()
        assert later.loop is asyncio.get_running_loop()
        picker.close()

    asyncio.run(main())


def test_who_is_removed_is_told_no_more(
    hands: Hands, watcher: Watcher, luis: Person, fresh_key: str
) -> None:
    watcher.register([f"{fresh_key}-1", f"{fresh_key}-2"], luis, "hear")
    hands.draw()
    hands.ask(ask="remove", column=column(hands, "Luis")["number"])
    assert hands.state["columns"] == []
    assert watcher.get_subscribers(f"{fresh_key}-1") == []
    assert len(watcher.keys) == 2


def test_what_cannot_be_done_is_said(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    hands.draw()
    number = column(hands, "Luis")["number"]
    watcher.close()
    hands.ask(ask="tick", column=number, id=fresh_key.encode().hex(), prefix=False, on=True)
    assert "this watcher is closed" in hands.state["trouble"]


def test_many_are_bounded_and_found_by_name(watcher: Watcher, fresh_key: str) -> None:
    picker = SubscriberPicker(watcher, [Person(f"P{n}") for n in range(9)], rows=3, columns=2)
    hands = Hands(picker)
    watcher.add_key([f"{fresh_key}-{number}" for number in range(10)])
    watcher.register(f"{fresh_key}-8", picker["P7"], "do_things")
    hands.draw()
    assert (len(hands.state["columns"]), len(hands.state["rows"])) == (2, 3)
    assert (hands.state["all_columns"], hands.state["all_rows"]) == (9, 10)
    hands.say(ask="find", text="p7")
    hands.draw()
    assert [each["name"] for each in hands.state["columns"]] == ["P7"]
    keys = [each["text"] for each in hands.state["rows"]]
    assert keys == [f"{fresh_key}-{number}" for number in (8, 0, 1)], "first what P7 is told of"
    hands.say(ask="find", text=f"{fresh_key}-8")
    hands.draw()
    assert [each["name"] for each in hands.state["columns"]] == ["P7", "P0"], "first who is told"
    hands.say(ask="find", text=f"{fresh_key}-9")
    hands.draw()
    assert [each["text"] for each in hands.state["rows"]] == [f"{fresh_key}-9"]
    assert len(hands.state["columns"]) == 2
    hands.say(ask="find", text="nothing")
    hands.draw()
    assert hands.state["columns"] == hands.state["rows"] == []
    picker.close()


def test_a_page_is_told_only_of_changes(hands: Hands, watcher: Watcher, fresh_key: str) -> None:
    for _ in range(3):
        hands.draw(seconds=10)
    before = len(hands.messages)
    for _ in range(10):
        hands.draw(seconds=0.05)
    assert len(hands.messages) == before
    watcher.add_key(fresh_key)
    hands.draw()
    assert len(hands.messages) == before + 1


@pytest.mark.parametrize(
    "message",
    [
        {"ask": "tick", "column": 99, "id": "6b", "prefix": False, "on": True},
        {"ask": "tick", "column": 1, "id": "not there", "prefix": False, "on": True},
        {"ask": "what", "column": 1, "what": "__init__"},
        {"ask": "what", "column": 1, "what": "needs_more"},
        {"ask": "remove", "column": 99},
        {"ask": "new"},
    ],
)
def test_what_no_page_of_ours_would_ask_is_passed_over(
    hands: Hands, message: dict[str, object]
) -> None:
    before = column(hands, "Luis")
    hands.say(**message)
    hands.draw()
    assert column(hands, "Luis") == before
    assert hands.state["busy"] == 0


def test_anything_can_be_a_subscriber_whatever_its_repr_does(
    watcher: Watcher, fresh_key: str
) -> None:
    class Odd:
        @property
        def boom(self) -> None:
            raise RuntimeError

        def __repr__(self) -> str:
            raise RuntimeError

        def tell(self, key: str, value: str | None) -> None:
            pass

    odd = Odd()
    picker = SubscriberPicker(watcher, [odd])
    hands = Hands(picker)
    assert hands.state["columns"][0]["name"] == "a Odd"
    assert hands.state["columns"][0]["choices"] == ["tell"]
    picker.close()
