"""Of which keys a moment is given, and what it is."""

from __future__ import annotations

import pytest

from etcd_watcher import Watcher
from etcd_watcher import timemachine as timemachine_module
from etcd_watcher.errors import WatcherClosed
from etcd_watcher.moment import Differences
from tests.fake_store import PATIENCE, FakeStore

# Which keys.


def test_all_watched_keys_or_those_that_are_asked_for(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"), ("news/a", "2"), ("other", "3"))
    watcher.add_key("a")
    watcher.add_key("news/", prefix=True)
    assert list(watcher.at(2)) == ["a", "news/a"]
    assert list(watcher.at(2, "other")) == ["other"]
    assert list(watcher.at(2, ["other", b"a"])) == ["a", "other"]
    assert list(watcher.at(2, "", prefix=True)) == ["a", "news/a", "other"]
    with Watcher(store, request_timeout=PATIENCE) as nobody:
        assert watcher.at(2, "x") == nobody.at(2) == {}


def test_many_keys_are_read_together(store: FakeStore, watcher: Watcher) -> None:
    names = [f"key-{number:03}" for number in range(timemachine_module.RANGES + 1)]
    store.commit(*[(name, "1") for name in names], ("key-000-between", "x"))
    watcher.add_key(names)
    assert list(watcher.at(2)) == names
    assert store.calls["snapshot"] == 1


@pytest.mark.parametrize("revision", [0, -1, True, "3", None, 2.0])
def test_what_is_no_revision_is_refused(watcher: Watcher, revision: object) -> None:
    with pytest.raises(ValueError, match="give a whole number, 1 or more"):
        watcher.at(revision)  # type: ignore[arg-type]


def test_the_future_is_not_known(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    with pytest.raises(ValueError, match="revision 3 is yet to come: the newest is 2"):
        watcher.at(3)
    with pytest.raises(ValueError, match="since=4 is yet to come: the newest is 2"):
        watcher.history("a", since=4)
    assert list(watcher.history("a", since=3)) == []
    watcher.close()
    with pytest.raises(WatcherClosed):
        watcher.at(1)


# What it gives.


def test_a_moment_is_a_mapping_that_shows_itself(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("b", b"\xff\n"), (b"\xfe", "1"), ("a", "<b>"))
    watcher.add_key("", prefix=True)
    moment = watcher.at(2)
    assert (moment.revision, list(moment), len(moment)) == (2, ["a", "b", "\udcfe"], 3)
    assert (moment["a"], moment[b"\xfe"], moment.get("c")) == ("<b>", "1", None)
    assert repr(moment) == "Moment(revision=2, 3 keys)"
    assert moment.table() == "key     value\na       <b>\nb       \\udcff\\n\n\\udcfe  1"
    assert "&lt;b&gt;" in moment._repr_html_()


def test_a_difference_is_told_key_by_key(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"), ("b", "1"), ("c", "1"))
    store.commit(("a", "2"))
    store.commit(("b", None))
    store.commit(("d", "\n<i>"))
    store.commit(("c", "x"))
    store.commit(("c", "1"))
    watcher.add_key("", prefix=True)
    differences = watcher.diff(2, 7)
    assert str(differences) == "~ a = 1 -> 2\n- b = 1\n+ d = \\n<i>"
    assert repr(differences) == "Differences(first=2, last=7, 3 keys)"
    assert [(each.key, each.before, each.after) for each in differences[1:]] == [
        ("b", "1", None),
        ("d", None, "\n<i>"),
    ]
    back = watcher.diff(7, 2)
    assert [str(each)[0] for each in back] == ["~", "+", "-"]
    html = differences._repr_html_()
    assert "&lt;i&gt;" in html
    assert "✕ deleted" in html
    assert watcher.diff(5, 7, "c") == watcher.diff(3, 3) or len(watcher.diff(5, 7, "c")) == 0
    assert "No difference" in watcher.diff(3, 3)._repr_html_()


def test_many_keys_are_shown_in_part() -> None:
    store = FakeStore()
    store.commit(*[(f"{number:03}", "x") for number in range(60)])
    with Watcher(store, request_timeout=PATIENCE) as watcher:
        watcher.add_key("", prefix=True)
        assert "… 10 more keys" in watcher.at(2)._repr_html_()
        assert "… 10 more keys" in Differences(watcher.at(1), watcher.at(2))._repr_html_()
