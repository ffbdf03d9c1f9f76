"""`RevisionSlider`: any moment of some keys, and the deleted ones back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import traitlets

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.widgets import Dashboard, EventLog, KeyTree, RevisionSlider, ValueEditor
from etcd_watcher.widgets import looking_back as looking_back_module
from tests.widgets.conftest import kept_by_a_notebook
from tests.widgets.hands import Hands


@pytest.fixture(params=["v2", "v3"])
def watcher(etcd: LocalEtcd, request: pytest.FixtureRequest) -> Iterator[Watcher]:
    with Watcher(etcd.url, api=request.param) as made:
        yield made


@pytest.fixture
def shop(watcher: Watcher, fresh_key: str) -> Shop:
    return Shop(watcher, fresh_key)


class Shop:
    """Some keys with a past: `tea` was deleted, `milk` has changed."""

    def __init__(self, watcher: Watcher, prefix: str) -> None:
        self.watcher = watcher
        self.prefix = f"{prefix}/"
        self.tea, self.milk = self.prefix + "tea", self.prefix + "milk"
        watcher.add_key(self.prefix, prefix=True)
        self.revisions = [
            watcher.put(self.tea, "green"),
            watcher.put(self.milk, "fresh"),
        ]
        watcher.delete(self.tea)
        watcher.put(f"{prefix}-elsewhere", "x")
        self.revisions.append(watcher.put(self.milk, "sour"))
        watcher.sync()

    def as_stored(self, key: str) -> str:
        return f"/{key}" if self.watcher.api == "v2" else key

    def slider(self, **settings: Any) -> Hands:
        """Give a slider that somebody sees."""
        hands = Hands(RevisionSlider(self.watcher, prefix=self.prefix, **settings))
        hands.say(ask="begin")
        hands.wait(lambda state: state.get("since") and state["busy"] == 0)
        return hands


def go(hands: Hands, **message: Any) -> None:
    hands.say(**message)
    hands.draw()
    hands.wait(lambda state: state["known"] or state["trouble"])


def test_each_change_is_a_place_and_the_present_comes_last(shop: Shop) -> None:
    hands = shop.slider()
    assert (hands.state["steps"], hands.state["place"]) == (4, None)
    go(hands, ask="go", place=1)
    assert hands.widget.revision == shop.revisions[1]
    assert hands.state["step"]["kind"] == "created"
    assert hands.state["step"]["key"] == shop.as_stored(shop.milk)
    hands.say(ask="go", place=4)
    hands.draw()
    assert hands.widget.revision is None
    assert hands.state["chosen"] is None


def test_a_moment_is_what_the_server_says_of_that_revision(shop: Shop) -> None:
    hands = shop.slider()
    go(hands, ask="go", place=1)
    expected = {shop.as_stored(shop.tea): "green", shop.as_stored(shop.milk): "fresh"}
    assert dict(hands.widget.moment) == expected
    assert dict(hands.state["keys"]) == expected
    hands.say(ask="go", place=-1)
    assert hands.widget.moment is None


def test_what_happens_meanwhile_is_added_and_the_moment_stays(shop: Shop) -> None:
    hands = shop.slider()
    go(hands, ask="go", place=0)
    shop.watcher.put(shop.milk, "new")
    shop.watcher.sync()
    hands.wait(lambda state: state["steps"] == 5)
    assert (hands.state["place"], hands.widget.revision) == (0, shop.revisions[0])


def test_deleted_keys_are_listed_and_found_by_a_part_of_their_name(shop: Shop) -> None:
    hands = shop.slider()
    assert [each["key"] for each in hands.state["gone"]] == [shop.as_stored(shop.tea)]
    assert hands.state["gone"][0]["value"] == "green"
    assert hands.widget.deleted == [shop.as_stored(shop.tea)]
    hands.say(ask="find", text="coffee")
    hands.wait(lambda state: state["gone"] == [])
    assert (hands.state["gone_found"], hands.state["gone_all"]) == (0, 1)
    hands.say(ask="find", text="te")
    hands.wait(lambda state: state["gone_found"] == 1)


def test_a_deleted_key_is_shown_as_it_was_and_restored(shop: Shop) -> None:
    hands = shop.slider()
    lost = hands.state["gone"][0]
    go(hands, ask="show", id=lost["id"])
    assert hands.widget.moment[shop.as_stored(shop.tea)] == "green"
    hands.ask(ask="restore", id=lost["id"])
    assert shop.watcher.get(shop.tea) == "green"
    assert "is back" in hands.state["said"]
    shop.watcher.sync()
    hands.wait(lambda state: state["gone"] == [])


def test_a_key_is_restored_from_code(shop: Shop) -> None:
    slider = shop.slider().widget
    with pytest.raises(KeyError):
        slider.restore(shop.milk)
    revision = slider.restore(shop.tea)
    found = shop.watcher.read(shop.tea)
    assert found is not None
    assert (found.raw_value, found.revision) == (b"green", revision)
    shop.watcher.sync()
    assert slider.deleted == []


def test_what_somebody_has_written_meanwhile_is_not_overwritten(shop: Shop) -> None:
    hands = shop.slider()
    slider, deletion = hands.widget, next(iter(hands.widget._revisions.gone.values()))
    shop.watcher.put(shop.tea, "theirs")
    with pytest.raises(EtcdWatcherError, match="nothing was restored"):
        slider._restore(deletion)
    assert shop.watcher.get(shop.tea) == "theirs"


def test_read_only_restores_nothing_whatever_the_page_says(shop: Shop) -> None:
    hands = shop.slider(read_only=True)
    assert not hands.state["writes"]
    hands.say(ask="restore", id=hands.state["gone"][0]["id"])
    hands.wait(lambda state: "read-only" in state["trouble"])
    with pytest.raises(PermissionError, match="read_only=False"):
        hands.widget.restore(shop.tea)
    assert shop.watcher.get(shop.tea) is None


def test_it_writes_by_default_only_to_servers_on_this_machine(shop: Shop) -> None:
    slider = shop.slider().widget
    assert slider.writes
    slider.watcher = type("Far", (), {"endpoints": ("http://etcd.example.com:2379",)})()
    assert not slider.writes


def test_nothing_is_asked_before_somebody_sees_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(shop.watcher, "history", lambda *args, **given: asked.append(args))
    hands = Hands(RevisionSlider(shop.watcher, prefix=shop.prefix))
    for _ in range(3):
        hands.draw()
    assert not asked
    assert hands.state["steps"] == 0


def test_keys_that_are_not_watched_are_looked_at_anew_when_one_leaves_the_present(
    etcd: LocalEtcd, fresh_key: str
) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.put(fresh_key, "one")
        hands = Hands(RevisionSlider(watcher, prefix=fresh_key))
        hands.say(ask="begin")
        hands.wait(lambda state: state["steps"] == 1)
        newer = watcher.put(fresh_key, "two")
        go(hands, ask="go", place=0)
        hands.wait(lambda state: state["steps"] == 2)
        assert hands.widget._revisions.at(1).revision == newer


def test_a_long_past_is_looked_at_a_part_at_a_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_back_module, "SPAN", 2)
    with Watcher(shop.watcher.endpoints[0], api=shop.watcher.api) as other:
        hands = Hands(RevisionSlider(other, prefix=shop.prefix))
        hands.say(ask="begin")
        hands.wait(lambda state: state.get("since") and state["busy"] == 0)
        assert hands.state["steps"] < 4
        assert hands.state["earlier"]
        while hands.state["steps"] < 4:
            assert hands.state["earlier"]
            hands.ask(ask="earlier")
            hands.draw()
        assert hands.widget._revisions.place(shop.revisions[0]) == 0


def test_what_was_compacted_is_where_it_begins(etcd: LocalEtcd, fresh_key: str) -> None:
    with LocalEtcd() as server, Watcher(server.url, api="v3") as watcher:
        for value in ("one", "two", "three"):
            newest = watcher.put(fresh_key, value)
        server.compact(newest)
        hands = Hands(RevisionSlider(watcher, prefix=fresh_key))
        hands.say(ask="begin")
        hands.wait(lambda state: state["steps"] == 1)
        assert not hands.state["earlier"]
        go(hands, ask="revision", revision=newest - 1)
        assert "dropped its history" in hands.state["trouble"]
        assert hands.widget.moment is None
        go(hands, ask="revision", revision=newest)
        assert (hands.state["trouble"], hands.state["known"]) == ("", True)


def test_a_revision_that_is_yet_to_come_is_refused(shop: Shop) -> None:
    hands = shop.slider()
    go(hands, ask="revision", revision=10**9)
    assert "yet to come" in hands.state["trouble"]


def test_too_many_keys_for_one_moment_are_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shop.watcher.api == "v2":
        pytest.skip("v2 does not count")
    monkeypatch.setattr(looking_back_module, "MOST_KEYS", 0)
    hands = shop.slider()
    go(hands, ask="go", place=0)
    assert "prefix=" in hands.state["trouble"]


def test_nonsense_from_a_page_is_ignored(shop: Shop) -> None:
    hands = shop.slider()
    for message in (
        *({"ask": "go", "place": "x"}, {"ask": "revision", "revision": 0}),
        *({"ask": "restore", "id": "zz"}, {"ask": "restore", "id": "0"}, {"ask": "show", "id": 1}),
        *({"ask": "find", "text": None}, {"ask": "find", "text": "\ud800"}, {"ask": "dance"}, {}),
    ):
        hands.say(**message)
        hands.draw()
    assert hands.widget.revision is None
    assert hands.state["trouble"] == ""


def test_a_tree_an_editor_and_a_log_follow(shop: Shop) -> None:
    hands = shop.slider()
    tree = KeyTree(shop.watcher, root=shop.prefix)
    editor = Hands(ValueEditor(shop.watcher, key=shop.tea))
    editor.wait(lambda state: state["loaded"] and state["busy"] == 0)
    log = EventLog(shop.watcher)
    for widget in (tree, editor.widget):
        traitlets.dlink((hands.widget, "moment"), (widget, "moment"))
    traitlets.dlink((hands.widget, "revision"), (log, "until"))
    Hands(tree).wait(lambda state: len(list(tree._nodes)) > 1)
    go(hands, ask="go", place=1)
    assert [(node.raw, node.value) for node in tree._nodes if not node.folder] == [
        (shop.as_stored(shop.milk).encode(), b"fresh"),
        (shop.as_stored(shop.tea).encode(), b"green"),
    ]
    assert [record.revision for record in log.records] == shop.revisions[:2]  # type: ignore[union-attr]
    editor.wait(lambda state: state["value"]["then"])
    assert editor.state["value"]["text"] == "green"
    assert not editor.state["value"]["there"]
    # It is written again, and only in the place of what was shown beside it: nothing.
    put = {"text": "green", "revision": 0, "escapes": False, "life": {"how": "stay"}}
    editor.ask(ask="put", id=editor.state["id"], **put)
    assert shop.watcher.get(shop.tea) == "green"
    hands.say(ask="go", place=-1)
    Hands(tree).wait(
        lambda state: (
            {n.raw for n in tree._nodes if not n.folder}
            == {shop.as_stored(each).encode() for each in (shop.milk, shop.tea)}
        )
    )
    assert len(log.records) >= 4


def test_the_dashboard_shows_the_moment_in_all_its_parts(shop: Shop) -> None:
    dashboard = Dashboard(shop.watcher)
    dashboard.value_editor.key = shop.milk
    hands = Hands(dashboard.revision_slider)
    hands.say(ask="revision", revision=shop.revisions[1])
    hands.wait(lambda state: state["known"])
    moment = dashboard.revision_slider.moment
    assert dashboard.key_tree.moment is moment
    assert dashboard.value_editor.moment is moment
    assert dashboard.event_log.until == shop.revisions[1]
    dashboard.revision_slider.revision = None
    assert dashboard.key_tree.moment is dashboard.value_editor.moment is None
    assert dashboard.event_log.until is None
    dashboard.close()


def test_a_saved_notebook_has_no_key_unless_asked_for(shop: Shop) -> None:
    for save_state in (False, True):
        hands = shop.slider(save_state=save_state)
        go(hands, ask="go", place=1)
        prefix = f"prefix={shop.prefix!r}"
        kept = kept_by_a_notebook(hands.widget).replace(prefix, "")
        assert ("green" in kept) == save_state
        assert (shop.tea in kept) == save_state
        hands.widget.close()
