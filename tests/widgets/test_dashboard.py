"""`Dashboard`: its parts are widgets of their own, linked, and go with it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.widgets import Dashboard, renderer
from etcd_watcher.widgets.base import LiveWidget
from tests.threads import threads_left
from tests.widgets.conftest import kept_by_a_notebook
from tests.widgets.hands import Hands


@pytest.fixture
def watcher(etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd.url, api="v3") as made:
        yield made


@pytest.fixture
def dashboard(watcher: Watcher) -> Iterator[Dashboard]:
    made = Dashboard(watcher)
    yield made
    made.close()


def parts(dashboard: Dashboard) -> dict[str, LiveWidget]:
    return {name: widget for name, (_, widget) in dashboard._parts.items()}


def test_the_page_is_told_of_each_part(dashboard: Dashboard) -> None:
    told = Hands(dashboard).state["parts"]
    assert [each["name"] for each in told] == list(parts(dashboard))
    assert [each["model"] for each in told] == [
        widget.model_id for widget in parts(dashboard).values()
    ]


def test_one_that_is_refused_its_arguments_goes_in_silence() -> None:
    with pytest.raises(TypeError, match="watcher"):
        Dashboard()  # type: ignore[call-arg]
    gc.collect()  # pytest takes an error of its `__del__` for ours


def test_every_part_is_an_attribute_named_after_its_class(dashboard: Dashboard) -> None:
    for widget in parts(dashboard).values():
        name = type(widget).__name__
        attribute = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
        assert getattr(dashboard, attribute.strip("_")) is widget


def test_what_is_chosen_in_the_tree_narrows_the_log_and_opens_in_the_editor(
    dashboard: Dashboard,
) -> None:
    dashboard.key_tree.within = "sensors/"
    assert dashboard.event_log.within == "sensors/"
    assert dashboard.value_editor.key == ""
    dashboard.key_tree.within = ""
    dashboard.key_tree.only = "sensors/door"
    assert dashboard.event_log.only == "sensors/door"
    assert dashboard.timeline.only == "sensors/door"
    assert dashboard.value_editor.key == "sensors/door"
    assert dashboard.value_diff.only == "sensors/door"


def test_an_event_that_is_opened_in_the_log_shows_what_it_changed(
    dashboard: Dashboard, fresh_key: str
) -> None:
    watcher = dashboard.watcher
    watcher.add_key(fresh_key)
    watcher.put(fresh_key, "one")
    watcher.put(fresh_key, "two")
    watcher.sync()
    log = Hands(dashboard.event_log)
    log.say(ask="open", epoch=log.state["epoch"], number=1)
    told = Hands(dashboard.value_diff).state
    assert told["differences"] == [("gone", "one"), ("new", "two")]


def test_a_span_that_is_marked_in_the_timeline_narrows_the_log(dashboard: Dashboard) -> None:
    dashboard.timeline.between = (1.0, 2.0)
    assert dashboard.event_log.between == (1.0, 2.0)
    dashboard.timeline.between = None  # type: ignore[assignment]  # it may be
    assert dashboard.event_log.between is None


def test_what_is_written_shows_in_the_other_parts_though_nobody_watches_it(
    dashboard: Dashboard, watcher: Watcher, fresh_key: str
) -> None:
    watcher.put(f"{fresh_key}/a", "before")
    dashboard.key_tree.root = f"{fresh_key}/"
    dashboard.value_editor.key = f"{fresh_key}/a"
    editor, diff = Hands(dashboard.value_editor), Hands(dashboard.value_diff)
    tree = Hands(dashboard.key_tree)
    shown = editor.wait(lambda state: state["value"]["there"])
    diff.wait(lambda state: state["after"] and state["after"]["text"] == "before")
    value, life = shown["value"], {"how": "stay"}
    put = {"text": "after", "escapes": False, "revision": value["revision"], "life": life}
    editor.ask(ask="put", id=value["id"], **put)
    diff.wait(lambda state: state["differences"] == [("gone", "before"), ("new", "after")])
    tree.say(ask="see", nodes=[node.number for node in dashboard.key_tree._nodes])
    tree.wait(lambda state: any(each["value"] == "after" for each in state["nodes"]))


def test_parts_can_be_folded_and_a_new_page_knows(dashboard: Dashboard) -> None:
    hands = Hands(dashboard)
    hands.say(ask="fold", part="log", folded=True)
    hands.say(ask="fold", part="nonsense", folded=True)
    hands.draw()
    hands.say(ask="whole")
    hands.draw()
    assert [each["name"] for each in hands.state["parts"] if each["folded"]] == ["log", "past"]
    hands.say(ask="fold", part="log", folded=False)
    hands.draw()
    assert [each["name"] for each in hands.state["parts"] if each["folded"]] == ["past"]


def test_it_closes_with_all_its_parts(dashboard: Dashboard) -> None:
    widgets = [dashboard, *parts(dashboard).values()]
    dashboard.close()
    dashboard.close()
    for widget in widgets:
        assert widget.comm is None
    assert renderer.renderer.views == []
    assert not [each for each in threads_left() if "render" in each.name or "ask" in each.name]
    assert threading.Thread.start.__module__ == "threading", "output goes where it did"


def test_read_only_is_passed_on(watcher: Watcher) -> None:
    dashboard = Dashboard(watcher, read_only=True)
    assert not dashboard.value_editor.writes
    assert repr(dashboard) == "Dashboard(read_only=True)"
    dashboard.close()
    with pytest.raises(TypeError, match="did you mean read_only"):
        Dashboard(watcher, readonly=True)


def test_a_saved_notebook_has_no_key_unless_asked_for(watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    for save_state in (False, True):
        dashboard = Dashboard(watcher, save_state=save_state)
        assert (fresh_key in kept_by_a_notebook(dashboard)) == save_state
        for widget in (dashboard, *parts(dashboard).values()):
            assert fresh_key not in str(widget.get_state())
        dashboard.close()
