"""The tree of keys that is known, against what is true."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from etcd_watcher.event import Event
from etcd_watcher.widgets import key_nodes
from etcd_watcher.widgets.key_listing import Level, list_level
from etcd_watcher.widgets.key_nodes import KeyNode, KeyNodes
from tests.fake_store import event
from tests.widgets.test_key_listing import Server


class World:
    """A server, whose events go to a tree, sometimes late."""

    def __init__(self) -> None:
        self.revision = 1
        self.keys: dict[bytes, int] = {}
        self.untold: list[Event] = []
        self.nodes = KeyNodes(b"", b"/", leases=True)

    def put(self, key: bytes) -> None:
        self.revision += 1
        created = self.keys.setdefault(key, self.revision)
        prev = None if created == self.revision else b"before"
        made = event(self.revision, key, b"value %d" % self.revision, prev=prev)
        self.untold.append(made._replace(created=created))

    def delete(self, key: bytes) -> None:
        if self.keys.pop(key, None) is not None:
            self.revision += 1
            self.untold.append(event(self.revision, key, None))

    def tell(self) -> None:
        self.nodes.note(self.untold)
        self.untold.clear()

    def level(self, node: KeyNode, after: bytes | None = None) -> Level:
        level = list_level(Server(list(self.keys)).list_keys, node.raw, b"/", after, node.room)
        level.revision = self.revision
        for child in level.children:
            if child.head is not None:
                child.head = child.head.__class__(
                    child.raw, self.keys[child.raw], 1, 1, 0, expires=False
                )
        return level

    def unfold(self, node: KeyNode) -> None:
        self.nodes.begin_listing(node)
        self.nodes.take_level(node, self.level(node), first=True)


@pytest.fixture
def world() -> World:
    return World()


def children(node: KeyNode) -> list[bytes]:
    return [child.raw for child in node.children]


def find(world: World, raw: bytes) -> KeyNode:
    return next(node for node in world.nodes if node.raw == raw)


def test_only_what_is_unfolded_has_nodes(world: World) -> None:
    for key in [b"a/1", b"a/2", b"b"]:
        world.put(key)
    world.tell()
    assert len(world.nodes) == 1
    assert world.nodes.root.changes == 3
    world.unfold(world.nodes.root)
    assert children(world.nodes.root) == [b"a/", b"b"]
    assert find(world, b"a/").keys == 2
    world.put(b"a/3")
    world.tell()
    assert len(world.nodes) == 3
    assert (find(world, b"a/").keys, find(world, b"a/").changes) == (3, 1)
    assert find(world, b"a/").latest == b"a/3"


def test_a_key_tells_its_last_value_and_what_became_of_it(world: World) -> None:
    world.put(b"k")
    world.unfold(world.nodes.root)
    world.tell()
    world.put(b"k")
    world.tell()
    node = find(world, b"k")
    assert (node.kind, node.value) == ("modified", b"value 3")
    assert node.changes == 2


def test_a_deleted_key_is_seen_for_a_while_and_then_gone(world: World) -> None:
    world.put(b"a/k")
    world.unfold(world.nodes.root)
    world.unfold(find(world, b"a/"))
    world.delete(b"a/k")
    world.tell()
    node, folder = find(world, b"a/k"), find(world, b"a/")
    assert (node.kind, folder.keys) == ("deleted", 0)
    assert node.gone_at is not None
    world.nodes.bury(node.gone_at + 0.1)
    assert world.nodes.get(node.number) is node
    world.nodes.bury(node.gone_at + key_nodes.STAYS)
    assert children(world.nodes.root) == [], "and so is the empty folder"
    assert set(world.nodes.gone) >= {node.number, folder.number}


def test_a_key_that_comes_back_stays(world: World) -> None:
    world.put(b"a/k")
    world.unfold(world.nodes.root)
    world.unfold(find(world, b"a/"))
    world.delete(b"a/k")
    world.put(b"a/k")
    world.tell()
    world.nodes.bury(float("inf"))
    assert children(find(world, b"a/")) == [b"a/k"]
    assert find(world, b"a/").keys == 1


def test_what_happens_while_a_folder_is_listed_counts_once(world: World) -> None:
    world.put(b"a")
    world.nodes.begin_listing(world.nodes.root)
    world.put(b"b")
    world.tell()
    level = world.level(world.nodes.root)
    world.put(b"c")
    world.delete(b"a")
    world.tell()
    world.nodes.take_level(world.nodes.root, level, first=True)
    assert children(world.nodes.root) == [b"a", b"b", b"c"]
    assert world.nodes.root.keys == 2
    assert world.nodes.root.changes == 4
    world.nodes.bury(float("inf"))
    assert children(world.nodes.root) == [b"b", b"c"]


def test_a_folder_that_could_not_be_listed_says_why_and_shows_what_comes(world: World) -> None:
    world.nodes.begin_listing(world.nodes.root)
    world.put(b"a")
    world.tell()
    world.nodes.fail_listing(world.nodes.root, "no permission")
    world.put(b"b")
    world.tell()
    assert world.nodes.root.note == "no permission"
    assert children(world.nodes.root) == [b"a", b"b"]


def test_folding_forgets_what_is_below(world: World) -> None:
    world.put(b"a/b/c")
    world.unfold(world.nodes.root)
    world.unfold(find(world, b"a/"))
    world.unfold(find(world, b"a/b/"))
    assert len(world.nodes) == 4
    world.nodes.fold(world.nodes.root)
    assert len(world.nodes) == 1
    assert len(world.nodes.gone) == 3
    world.put(b"a/b/c")
    world.tell()
    assert len(world.nodes) == 1


def test_an_answer_for_a_folder_that_was_folded_meanwhile_is_dropped(world: World) -> None:
    world.put(b"a")
    world.nodes.begin_listing(world.nodes.root)
    level = world.level(world.nodes.root)
    world.nodes.fold(world.nodes.root)
    world.nodes.take_level(world.nodes.root, level, first=True)
    assert len(world.nodes) == 1


def test_a_flood_of_new_keys_makes_no_more_nodes_than_there_is_room_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_nodes, "MOST_CHILDREN", 10)
    world.nodes = KeyNodes(b"", b"/", leases=True)
    world.unfold(world.nodes.root)
    order = list(range(1000))
    random.Random(1).shuffle(order)  # noqa: S311 - not for secrets
    for number in order:
        world.put(b"%04d" % number)
        world.tell()
    root = world.nodes.root
    assert children(root) == [b"%04d" % number for number in range(10)]
    assert root.more == b"0009"
    assert root.keys == 1000
    root.room = 20
    world.nodes.begin_listing(root)
    world.nodes.take_level(root, world.level(root, root.more), first=False)
    assert children(root) == [b"%04d" % number for number in range(30)]


NAMES = [b"a", b"a/", b"a/b", b"a/b/c", b"a/b/d", b"b/x/y", b"b/z", b"c", b"/", b"/q"]


def fold_or_unfold(world: World, chance: random.Random) -> None:
    node = chance.choice([node for node in world.nodes if node.folder])
    if node.opened:
        if chance.random() < 0.3:
            world.nodes.fold(node)
        return
    world.nodes.begin_listing(node)
    level = world.level(node)
    if chance.random() < 0.5:
        world.put(chance.choice(NAMES))
        world.tell()
    world.nodes.take_level(node, level, first=True)


def test_what_was_folded_has_seen_what_happened_meanwhile(world: World) -> None:
    for key in (b"f/a", b"f/deep/b", b"f/other"):
        world.put(key)
    world.untold.clear()
    world.unfold(world.nodes.root)
    for key in (b"f/a", b"f/deep/b", b"f/a", b"f/other"):
        world.put(key)
    past = list(world.untold)
    world.tell()
    folder = world.nodes.root.children[0]
    world.nodes.begin_listing(folder)
    level = world.level(folder)
    newest = {b"f/a": 7, b"f/other": 9}  # nobody has told of the last change yet
    for child in level.children:
        if child.head is not None:
            child.head = replace(child.head, revision=newest[child.raw])
    world.nodes.take_level(folder, level, first=True, past=past)
    assert [(each.raw, each.changes, each.kind, each.value) for each in folder.children] == [
        (b"f/a", 2, "modified", b"value 7"),
        (b"f/deep/", 1, "modified", b"value 6"),
        (b"f/other", 1, "", None),  # it has a newer value, which is asked for
    ]
    assert folder.changes == 4


def check(world: World) -> None:
    for node in world.nodes:
        below = [key for key in world.keys if key.startswith(node.raw)]
        if node.folder and node.counted_at:
            assert node.keys == len(below), node.raw
        if node.opened:
            assert children(node) == [child.raw for child in world.level(node).children], node.raw


def test_whatever_happens_the_tree_becomes_true() -> None:
    for seed in range(300):
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        world = World()
        steps: list[Callable[[], object]] = [
            *[lambda: world.put(chance.choice(NAMES))] * 2,  # noqa: B023 - called at once
            lambda: world.delete(chance.choice(NAMES)),  # noqa: B023
            world.tell,
            lambda: fold_or_unfold(world, chance),  # noqa: B023
            lambda: world.nodes.bury(float("inf")),  # noqa: B023
        ]
        for _ in range(150):
            chance.choice(steps)()
        world.tell()
        world.nodes.bury(float("inf"))
        check(world)
