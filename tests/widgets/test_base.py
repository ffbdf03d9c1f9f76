"""What all widgets have in common."""

from __future__ import annotations

from typing import Any

import pytest
from ipywidgets import Layout
from ipywidgets.widgets.widget import _instances
from traitlets import Int, TraitError

from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets import renderer as renderer_module
from etcd_watcher.widgets.base import CALM, LATE, LiveWidget
from etcd_watcher.widgets.renderer import renderer

Sent = list[tuple[LiveWidget, dict[str, Any]]]


class Tally(LiveWidget):
    """Shows a number."""

    step = Int(1, min=1).tag(sync=True, setting=True)

    def _start(self) -> None:
        self.total = 0
        self.shown = 0

    def _delta(self) -> dict[str, Any] | None:
        if self.total == self.shown:
            return None
        self.shown = self.total
        return {"total": self.total}

    def _whole(self) -> dict[str, Any]:
        return {"total": self.total}

    def _heard(self, message: dict[str, Any]) -> None:
        self.total += message["add"]


@pytest.fixture
def tally(fake_watcher: Watcher) -> Tally:
    return Tally(fake_watcher)


def kinds(sent: Sent) -> list[str]:
    return [message["kind"] for _, message in sent]


def test_first_it_sends_all_then_what_is_new(tally: Tally, sent: Sent) -> None:
    tally.draw(0.0)
    tally.draw(0.1)
    tally.total = 3
    tally.draw(0.2)
    assert [message for _, message in sent] == [
        {"kind": "whole", "number": 1, "total": 0},
        {"kind": "delta", "number": 2, "total": 3},
    ]


def test_when_things_calm_down_it_says_all_once_more_and_late_where_it_stands(
    tally: Tally, sent: Sent
) -> None:
    tally.total = 3
    tally.draw(0.0)
    for step in range(100):
        tally.draw(step * 0.1)
    assert kinds(sent) == ["whole", "whole", "still"]
    assert [message["number"] for _, message in sent] == [1, 1, 1], "no news since the first"
    assert tally.messages_sent == 3


def test_news_puts_the_repetition_off(tally: Tally, sent: Sent) -> None:
    now = 0.0
    for tally.total in range(1, 20):
        now += CALM * 0.9
        tally.draw(now)
    assert kinds(sent) == ["whole", *["delta"] * 18]
    tally.draw(now + CALM + 0.1)
    tally.draw(now + CALM + LATE + 0.2)
    assert kinds(sent)[-2:] == ["whole", "still"]


def test_a_page_that_asks_gets_all(tally: Tally, sent: Sent) -> None:
    tally.draw(0.0)
    tally._take(tally, {"ask": "whole"}, [])
    tally.draw(0.1)
    assert kinds(sent) == ["whole", "whole"]


def test_what_a_page_asks_is_answered_by_the_next_drawing(tally: Tally, sent: Sent) -> None:
    tally.draw(0.0)
    tally._take(tally, {"add": 4}, [])
    assert len(sent) == 1
    tally.draw(0.1)
    assert sent[-1][1]["total"] == 4


def test_what_no_page_of_ours_would_say_is_passed_over(tally: Tally) -> None:
    tally._take(tally, "hello", [])
    tally._take(tally, None, [])


def test_an_unknown_keyword_names_the_nearest_right_one(fake_watcher: Watcher) -> None:
    with pytest.raises(TypeError, match=r"Tally\(\) knows no 'setp': did you mean step\? It takes"):
        Tally(fake_watcher, setp=2)
    with pytest.raises(TypeError, match="It takes layout, save_state, step"):
        Tally(fake_watcher, zzz=2)


def test_a_setting_that_cannot_be_is_refused(fake_watcher: Watcher) -> None:
    with pytest.raises(TraitError, match="step") as refused:
        Tally(fake_watcher, step="two")
    assert len(refused.traceback) == 2, "the call, and ours: a cell shows it in full"
    with pytest.raises(TraitError, match="step"):
        Tally(fake_watcher, step=0)


def test_what_is_no_watcher_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Tally shows a watcher, not a str: Tally\(Watcher\(url\)"):
        Tally("http://127.0.0.1:2379")  # type: ignore[arg-type]


def test_what_has_no_name_but_the_watcher_is_refused(fake_watcher: Watcher) -> None:
    message = (
        r"^Tally\(\) takes its watcher first and all else by name, and 'b' has none: it takes "
    )
    with pytest.raises(TypeError, match=message):
        Tally(fake_watcher, "b")
    with pytest.raises(TypeError, match="Tally shows a watcher, not a str"):
        Tally("a", "b")  # type: ignore[arg-type]


def test_two_runs_of_a_notebook_show_the_same_text(fake_watcher: Watcher) -> None:
    assert repr(Tally(fake_watcher)) == "Tally()"
    assert repr(Tally(fake_watcher, step=2, save_state=True)) == "Tally(save_state=True, step=2)"
    bundles = [Tally(fake_watcher)._repr_mimebundle_()[0] for _ in range(2)]
    for bundle in bundles:
        assert bundle.pop("application/vnd.jupyter.widget-view+json")["model_id"]
    assert bundles[0] == bundles[1]
    assert bundles[0]["text/plain"] == "Tally()"
    assert "Run this cell" in bundles[0]["text/html"]


def test_a_drawing_that_fails_is_told_below_the_widget(tally: Tally, sent: Sent) -> None:
    tally.total = "?"  # type: ignore[assignment]
    tally._delta = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        tally.draw(0.0)
    assert sent[-1][1] == {
        "kind": "problem",
        "text": "This is shown no more, because of ZeroDivisionError: division by zero",
    }


def test_closed_it_leaves_nothing_to_ipywidgets(fake_watcher: Watcher) -> None:
    before = dict(_instances)
    Tally(fake_watcher).close()
    assert dict(_instances) == before
    layout = Layout(height="100px")
    Tally(fake_watcher, layout=layout).close()
    assert layout.comm is not None, "it is somebody else's"
    layout.close()


def test_closing_ends_the_drawing_and_can_be_said_twice(
    fake_watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "add", lambda view: renderer_module.Renderer.add(renderer, view))
    tally = Tally(fake_watcher)
    assert renderer.views == [tally]
    tally.close()
    tally.close()
    assert renderer.views == []
    assert tally.comm is None


class Display:
    """Stands for IPython's: keeps what is displayed, and how it is changed."""

    def __init__(self) -> None:
        self.displayed: list[Any] = []
        self.updates: list[str] = []

    def __call__(self, shown: Any, *, raw: bool = False, display_id: bool = False) -> Display:
        self.displayed.append(shown if raw else shown.data)
        return self

    def update(self, shown: Any) -> None:
        self.updates.append(shown.data)


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> Display:
    display = Display()
    monkeypatch.setattr("etcd_watcher.widgets.base.display", display)
    monkeypatch.setattr("etcd_watcher.widgets.saved.display", display)
    return display


class Saving(Tally):
    def _saved_html(self) -> str:
        return f"<b>{self.total}</b>"


def test_without_being_told_to_it_saves_no_state(fake_watcher: Watcher, displayed: Display) -> None:
    saving = Saving(fake_watcher)
    with pytest.raises(NotImplementedError):  # to IPython: display it as anything else
        saving._ipython_display_()
    saving.total = 5
    for step in range(30):
        saving.draw(step / 10)
    saving.close()
    assert (displayed.displayed, displayed.updates) == ([], [])


def test_told_to_it_saves_its_state_beside_it_when_things_calm_down(
    fake_watcher: Watcher, displayed: Display
) -> None:
    saving = Saving(fake_watcher, save_state=True)
    saving._ipython_display_()
    assert displayed.displayed[0]["text/plain"] == "Saving(save_state=True)"
    assert displayed.displayed[1] == '<div class="ew-saved"><b>0</b></div>'
    for step in range(50):
        saving.total = min(step, 20)
        saving.draw(step / 10)
    assert displayed.updates == ['<div class="ew-saved"><b>20</b></div>']
    saving.total = 21
    saving.close()
    assert displayed.updates[-1] == '<div class="ew-saved"><b>21</b></div>'


def test_no_value_is_ever_in_a_trait(tally: Tally) -> None:
    """What a notebook may save of a widget is its traits."""
    tally.total = 1234567
    tally.draw(0.0)
    assert "1234567" not in str(tally.get_state())


def test_what_comes_from_the_page_need_not_wait_for_a_cell(
    fake_watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ipykernel 7.4 would pass it to the loop that sent last: the main one, where cells run."""
    tally = Tally(fake_watcher)
    tally.comm._reply_subshell_id = None
    tally._send({"method": "custom", "content": {}})
    assert not hasattr(tally.comm, "_reply_subshell_id")
