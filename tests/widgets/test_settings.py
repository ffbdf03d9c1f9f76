"""What a person sets on a widget is looked at: all of it, on every widget."""

from __future__ import annotations

import pytest
from anywidget import AnyWidget
from traitlets import TraitError

from etcd_watcher import widgets


@pytest.mark.parametrize("name", sorted({*widgets.__all__}))
def test_no_public_trait_takes_whatever_it_is_given(name: str) -> None:
    widget = getattr(widgets, name)
    traits = {*widget.class_trait_names()} - {*AnyWidget.class_trait_names()}
    public = sorted(each for each in traits if not each.startswith("_"))
    assert "save_state" in public
    bare = widget.__new__(widget)  # with its traits, and nothing started
    for trait in public:
        with pytest.raises(TraitError, match=trait):
            setattr(bare, trait, object())


@pytest.mark.parametrize(
    ("name", "trait", "value"),
    [
        ("CallbackBoard", "lines", 0),
        ("CallbackBoard", "outputs", -1),
        ("EventLog", "height", 0),
        ("EventLog", "types", ["created", "crated"]),
        ("EventLog", "until", 0),
        ("EventLog", "between", (2.0, 1.0)),
        ("KeyPicker", "page", 0),
        ("KeyPicker", "tags", 0),
        ("KeyTree", "height", 0),
        ("RevisionSlider", "revision", 0),
        ("RevisionSlider", "rows", -1),
        ("SubscriberPicker", "rows", 0),
        ("SubscriberPicker", "columns", 0),
        ("Timeline", "seconds", 0),
        ("Timeline", "rows", 0),
        ("Timeline", "between", (0.0, float("nan"))),
        ("ValueDiff", "older", -1),
        ("ValueDiff", "newer", -1),
    ],
)
def test_numbers_that_cannot_be_are_refused(name: str, trait: str, value: object) -> None:
    widget = getattr(widgets, name)
    with pytest.raises(TraitError, match=trait):
        setattr(widget.__new__(widget), trait, value)
