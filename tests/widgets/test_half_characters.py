"""What a page says may have half a character in it, which nothing that is sent can have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from traitlets import TraitError

from etcd_watcher import Watcher
from etcd_watcher.widgets import (
    CallbackBoard,
    KeyPicker,
    RevisionSlider,
    SubscriberPicker,
    ValueEditor,
)
from etcd_watcher.widgets.base import LiveWidget
from tests.fake_store import FakeStore
from tests.widgets.hands import Hands

HALF = "\ud800"


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with Watcher(FakeStore()) as watcher:
        yield watcher


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (CallbackBoard, {"find": HALF}),
        (KeyPicker, {"ask": "add", "text": HALF, "prefix": False}),
        (KeyPicker, {"ask": "find", "text": HALF, "number": 1}),
        (RevisionSlider, {"ask": "find", "text": HALF}),
        (SubscriberPicker, {"ask": "find", "text": HALF}),
        (SubscriberPicker, {"ask": "new", "name": HALF, "kind": "Subscriber"}),
        (ValueEditor, {"ask": "open", "key": HALF}),
    ],
)
def test_half_a_character_from_a_page_ends_no_widget(
    watcher: Watcher, kind: type[LiveWidget], message: dict[str, Any]
) -> None:
    hands = Hands(kind(watcher))
    hands.say(**message)
    hands.draw()
    hands.say(ask="whole")
    hands.draw()
    assert hands.state["kind"] == "whole"
    hands.widget.close()


def test_an_editor_opens_no_key_that_none_can_be(watcher: Watcher) -> None:
    with pytest.raises(TraitError, match="half a character"):
        ValueEditor(watcher, key=HALF)
