"""What KeyTree tells its page, asks the server, and chooses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import traitlets

from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.keys import to_bytes
from etcd_watcher.stores.base import KeyPage, KeyValue, TimeToLive
from etcd_watcher.widgets import EventLog, KeyTree
from etcd_watcher.widgets import key_tree as key_tree_module
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.base import LiveWidget
from tests.fake_store import event
from tests.widgets.conftest import FakeWatcher
from tests.widgets.test_key_listing import Server

Sent = list[tuple[LiveWidget, dict[str, Any]]]


class Keyspace(FakeWatcher):
    """A watcher of a server in memory."""

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.values = {to_bytes(key): b"value of " + to_bytes(key) for key in keys}
        self.leases: dict[bytes, int] = {}
        self.down = False
        self.listed = 0

    def list_keys(self, beginning: bytes, *, after: bytes | None, limit: int) -> KeyPage:
        self.listed += 1
        if self.down:
            raise ConnectionFailed("nobody there")
        page = Server(list(self.values)).list_keys(beginning, after, limit)
        page.heads[:] = [
            head.__class__(head.raw_key, 1, 1, 1, 0, expires=head.raw_key in self.leases)
            for head in page.heads
        ]
        return replace(page, revision=1)

    def read(self, key: bytes) -> KeyValue | None:
        value = self.values.get(key)
        return None if value is None else KeyValue(key, value, 1, 1, 1, 0)

    def time_left(self, key: bytes) -> TimeToLive | None:
        left = self.leases.get(key)
        return None if left is None else TimeToLive(left, 60, 7)


class Tree:
    """A tree, with a page that keeps what it is told."""

    def __init__(self, watcher: Keyspace, sent: Sent, clock: Clock, **settings: Any) -> None:
        self.clock = clock
        self.sent = sent
        self.tree = KeyTree(watcher, **settings)  # type: ignore[arg-type]
        self.nodes: dict[int, dict[str, Any]] = {}
        self.order: dict[int, list[int]] = {}
        self.root = 0
        self.selected: int | None = None
        self.told: dict[str, Any] = {}

    def draw(self) -> dict[str, Any]:
        """Draw once, long after the last time, and give what was told."""
        self.clock.now += 1
        self.sent.clear()
        self.tree.draw(0.0)
        self.told = {}
        for _, message in self.sent:
            json.dumps(message).encode("ascii")
            self.told = message
            if message["kind"] == "whole":
                self.nodes.clear()
                self.order.clear()
                self.root = message["root"]
            self.nodes |= {node["id"]: node for node in message.get("nodes", [])}
            self.order |= {int(key): value for key, value in message.get("order", {}).items()}
            for number in message.get("gone", []):
                del self.nodes[number]
            self.selected = message.get("selected", self.selected)
        return self.told

    def find(self, *path: str) -> int:
        number = self.root
        for name in path:
            number = next(each for each in self.order[number] if self.nodes[each]["name"] == name)
        return number

    def names(self, *path: str) -> list[str]:
        return [self.nodes[each]["name"] for each in self.order.get(self.find(*path), [])]

    def node(self, *path: str) -> dict[str, Any]:
        return self.nodes[self.find(*path)]

    def do(self, what: str, *path: str) -> None:
        """Do what a person does to a node that they see."""
        self.see((), path)
        self.tree._take(self.tree, {"ask": what, "node": self.find(*path)}, [])
        self.answer_and_draw()

    def see(self, *paths: tuple[str, ...]) -> None:
        self.tree._take(
            self.tree, {"ask": "see", "nodes": [self.find(*each) for each in paths]}, []
        )
        self.answer_and_draw()

    def answer_and_draw(self) -> None:
        for _ in range(3):
            answer_all()
            self.draw()


class Clock:
    now = 1000.0


QUESTIONS: list[tuple[Any, ...]] = []


def answer_all() -> None:
    while QUESTIONS:
        _, _, question, answer, *failed = QUESTIONS.pop(0)
        try:
            found = question()
        except ConnectionFailed as error:
            if failed:
                failed[0](error)
        else:
            answer(found)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("etcd_watcher.widgets.key_tree.time.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def plant(
    monkeypatch: pytest.MonkeyPatch, sent: Sent, clock: Clock
) -> Callable[..., tuple[Tree, Keyspace]]:
    QUESTIONS.clear()
    monkeypatch.setattr(asker, "ask", lambda *question: QUESTIONS.append(question))

    def make(*keys: str, **settings: Any) -> tuple[Tree, Keyspace]:
        watcher = Keyspace(*keys)
        tree = Tree(watcher, sent, clock, **settings)
        tree.draw()
        tree.answer_and_draw()
        tree.see(())
        return tree, watcher

    return make


Plant = Callable[..., tuple[Tree, Keyspace]]


def test_it_begins_with_the_top_of_the_keyspace(plant: Plant) -> None:
    tree, watcher = plant("nokia", "sensors/door", "sensors/window", "/slash")
    assert tree.names() == ["/", "nokia", "sensors/"]
    assert tree.node("sensors/")["keys"] == 2
    assert tree.nodes[tree.root]["keys"] == 4
    assert watcher.listed == 1


def test_a_folder_is_listed_when_it_is_unfolded_and_forgotten_when_folded(plant: Plant) -> None:
    tree, watcher = plant("sensors/door", "sensors/window/left")
    tree.do("unfold", "sensors/")
    assert tree.names("sensors/") == ["door", "window/"]
    assert tree.node("sensors/")["open"]
    assert watcher.listed == 2
    tree.do("unfold", "sensors/")
    assert watcher.listed == 2, "it is already"
    tree.do("fold", "sensors/")
    assert not tree.node("sensors/")["open"]
    assert len(tree.nodes) == 2


def test_another_separator_makes_other_folders(plant: Plant) -> None:
    tree, _ = plant("a.b.c", "a/b", separator=".")
    assert tree.names() == ["a.", "a/b"]
    tree.tree.separator = ""
    tree.answer_and_draw()
    assert tree.names() == ["a.b.c", "a/b"]


def test_a_root_leaves_out_the_rest(plant: Plant) -> None:
    tree, watcher = plant("a/1", "b/1", root="a/")
    assert tree.names() == ["1"]
    watcher.journal.append([event(2, "b/2"), event(3, "a/2")])
    tree.draw()
    assert tree.names() == ["1", "2"]
    assert tree.nodes[tree.root]["changes"] == 1


def test_values_are_read_for_what_is_in_sight(plant: Plant) -> None:
    tree, _ = plant("a", "b")
    assert tree.node("a")["value"] is None
    tree.see(("a",))
    assert tree.node("a")["value"] == "value of a"
    assert tree.node("b")["value"] is None
    assert not QUESTIONS


def test_the_last_value_shows_at_the_key_and_at_its_folders(plant: Plant) -> None:
    tree, watcher = plant("sensors/door")
    tree.do("unfold", "sensors/")
    tree.see((), ("sensors/",), ("sensors/", "door"))
    watcher.journal.append([event(5, "sensors/door", "open", prev=b"closed")])
    tree.draw()
    assert tree.node("sensors/", "door")["value"] == "open"
    assert tree.node("sensors/", "door")["kind"] == "modified"
    folder = tree.node("sensors/")
    assert (folder["latest"], folder["value"], folder["changes"]) == ("door", "open", 1)
    root = tree.nodes[tree.root]
    assert (root["latest"], root["changes"]) == ("sensors/door", 1)


def test_what_is_not_in_sight_is_not_sent_again_and_again(plant: Plant) -> None:
    tree, watcher = plant(*[f"{number:03d}" for number in range(100)])
    tree.see(("000",), ("001",))
    watcher.journal.append([event(number + 2, f"{number:03d}") for number in range(100)])
    assert {node["name"] for node in tree.draw()["nodes"]} == {"000", "001"}
    tree.see(("050",))
    assert tree.node("050")["changes"] == 1, "but when it comes in sight"


def test_it_tells_a_few_times_a_second_and_at_once_when_somebody_waits(
    plant: Plant, clock: Clock
) -> None:
    tree, watcher = plant("a/b")
    tree.see(())
    drawn = 0
    for number in range(100):
        watcher.journal.append([event(number + 2, "a/b")])
        clock.now += 0.01 - 1
        drawn += bool(tree.draw())
    assert 4 <= drawn <= 7, "in one second"
    tree.tree._take(tree.tree, {"ask": "select", "node": tree.find("a/")}, [])
    clock.now -= 1
    assert "selected" in tree.draw()


def test_a_key_with_a_lease_tells_how_long_it_lives(plant: Plant, clock: Clock) -> None:
    tree, watcher = plant("session", "stays")
    watcher.leases[b"session"] = 60
    watcher.journal.append([event(5, "session")._replace(lease=7), event(6, "stays")])
    tree.draw()
    tree.see(("session",), ("stays",))
    assert tree.node("session")["left"] == pytest.approx(60, abs=3)
    assert tree.node("stays")["left"] is None
    watcher.leases[b"session"] = 90  # kept alive
    clock.now += key_tree_module.LEASE_EVERY
    tree.answer_and_draw()
    assert tree.node("session")["left"] > 80


def test_choosing_a_folder_or_a_key_is_what_others_can_follow(plant: Plant) -> None:
    tree, watcher = plant("sensors/door", "nokia")
    log = EventLog(watcher)  # type: ignore[arg-type]
    traitlets.link((tree.tree, "within"), (log, "within"))
    traitlets.link((tree.tree, "only"), (log, "only"))
    assert tree.selected == tree.root
    tree.do("select", "sensors/")
    assert (log.within, log.only) == ("sensors/", "")
    assert tree.selected == tree.find("sensors/")
    tree.do("select", "nokia")
    assert (log.within, log.only) == ("", "nokia")
    assert tree.selected == tree.find("nokia")
    tree.tree._take(tree.tree, {"ask": "select", "node": tree.root}, [])
    tree.draw()
    assert (log.within, log.only, tree.selected) == ("", "", tree.root)
    log.only = "nokia"
    tree.draw()
    assert tree.selected == tree.find("nokia"), "and the other way round"


def test_a_page_that_is_loaded_anew_gets_the_tree_as_it_is(plant: Plant) -> None:
    tree, watcher = plant("a/b/c")
    tree.do("unfold", "a/")
    tree.do("unfold", "a/", "b/")
    before = dict(tree.order)
    tree.tree._take(tree.tree, {"ask": "whole"}, [])
    assert tree.draw()["kind"] == "whole"
    assert tree.order == before
    watcher.journal.append([event(5, "a/b/d")])
    tree.draw()
    assert tree.names("a/", "b/") == ["c", "d"]


def test_a_large_folder_shows_a_part_and_more_on_demand(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etcd_watcher.widgets.key_nodes.MOST_CHILDREN", 10)
    monkeypatch.setattr(key_tree_module, "MOST_CHILDREN", 10)
    tree, _ = plant(*[f"{number:03d}" for number in range(25)])
    assert len(tree.names()) == 10
    assert tree.nodes[tree.root]["more"]
    assert tree.nodes[tree.root]["keys"] == 25
    tree.do("more")
    tree.do("more")
    assert tree.names() == [f"{number:03d}" for number in range(25)]
    assert not tree.nodes[tree.root]["more"]


def test_keys_that_nobody_watches_are_listed_again_when_asked_for(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etcd_watcher.widgets.key_nodes.MOST_CHILDREN", 3)
    monkeypatch.setattr(key_tree_module, "MOST_CHILDREN", 3)
    tree, watcher = plant("a", "b/c", "d", "e")
    tree.do("more")
    tree.do("unfold", "b/")
    watcher.values[b"b/new"] = watcher.values[b"new"] = b"without a word"
    del watcher.values[b"e"]
    tree.draw()
    assert tree.names() == ["a", "b/", "d", "e"]
    tree.tree._take(tree.tree, {"ask": "refresh"}, [])
    tree.answer_and_draw()
    assert (tree.names(), tree.names("b/")) == (["a", "b/", "d", "new"], ["c", "new"])
    watcher.values[b"b/newer"] = b""
    tree.tree.refresh()
    tree.answer_and_draw()
    assert tree.names("b/") == ["c", "new", "newer"]


def test_a_tree_that_has_grown_large_unfolds_no_further(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, _ = plant("a/b", "c/d")
    monkeypatch.setattr(key_tree_module, "MOST_NODES", 3)
    tree.do("unfold", "a/")
    tree.see(("a/",))
    assert "Fold something else" in tree.node("a/")["note"]
    assert not tree.node("a/")["open"]


def test_what_cannot_be_listed_says_why_and_is_asked_again_when_the_server_is_back(
    plant: Plant,
) -> None:
    tree, watcher = plant("a/b")
    tree.see(("a/",))
    watcher.down = True
    tree.do("unfold", "a/")
    assert tree.node("a/")["note"] == "Not listed: nobody there"
    watcher.down = False
    watcher.journal.append([Status("reconnecting"), Status("connected")])
    tree.answer_and_draw()
    assert tree.node("a/")["note"] == ""
    assert tree.names("a/") == ["b"]


def test_after_a_gap_all_is_listed_again(plant: Plant) -> None:
    tree, watcher = plant("a/b", "gone")
    tree.do("unfold", "a/")
    del watcher.values[b"gone"]
    watcher.values[b"a/new"] = b"x"
    watcher.journal.append([Gap(5, 9, "compacted")])
    tree.answer_and_draw()
    assert tree.names() == ["a/"]
    assert tree.names("a/") == ["b", "new"]


@pytest.mark.parametrize(
    "raw", [b"<img src=x onerror=alert(1)>", b"\x1b[31m", b"\xff\0", b"x" * 10**6]
)
def test_untrusted_names_are_short_printable_and_plain_json(plant: Plant, raw: bytes) -> None:
    tree, watcher = plant()
    made: list[Event] = [event(5, raw, raw), event(6, b"folder/" + raw, raw)]
    watcher.journal.append(made)
    tree.answer_and_draw()
    for node in tree.nodes.values():
        assert node["name"].isprintable()
        assert len(node["name"]) <= 120
        assert len(node["value"] or "") <= 120


def test_on_v2_all_keys_begin_with_a_slash(plant: Plant, sent: Sent, clock: Clock) -> None:
    watcher = Keyspace("/nokia", "/dir/a")
    watcher.api = "v2"
    tree = Tree(watcher, sent, clock)
    tree.draw()
    tree.answer_and_draw()
    assert tree.names() == ["dir/", "nokia"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        {"ask": "fold"},
        {"ask": "unfold", "node": 99},
        {"ask": "see", "nodes": ["x", None]},
        {"ask": "explode", "node": 1},
    ],
)
def test_a_question_that_makes_no_sense_does_no_harm(
    plant: Plant, nonsense: dict[str, Any]
) -> None:
    tree, _ = plant("a")
    tree.tree._take(tree.tree, nonsense, [])
    tree.answer_and_draw()
    assert tree.names() == ["a"]


def test_nothing_that_comes_from_etcd_is_in_a_trait(plant: Plant) -> None:
    tree, _ = plant("secret-key")
    tree.see(("secret-key",))
    assert "secret" not in str(tree.tree.get_state())
