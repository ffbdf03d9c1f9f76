"""What a person may set on a widget: checked by name, shown in its repr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any

from traitlets import Float, HasTraits, TraitError, Tuple

from etcd_watcher.table import one_line

__all__ = ["Span", "check_settings", "settings_of", "shown_settings"]


class Span(Tuple):
    """A span of time, in seconds since the epoch, or None: its beginning, then its end."""

    def __init__(self) -> None:
        super().__init__(Float(), Float(), default_value=None, allow_none=True)

    def validate(self, owner: Any, value: Any) -> Any:
        """Refuse what is no span, such as one that ends before it begins."""
        span: Any = super().validate(owner, value)
        begin, end = span
        if not (isfinite(begin) and isfinite(end) and begin <= end):
            raise TraitError(
                f"{type(owner).__name__}.{self.name} is a beginning and an end, in seconds since "
                f"the epoch, such as (time.time() - 60, time.time()); not {value!r}"
            )
        return span


def settings_of(owner: type[HasTraits]) -> dict[str, Any]:
    """Give the traits that are settings: tagged `setting=True`, in the order of their names."""
    return dict(sorted(owner.class_traits(setting=True).items()))


def check_settings(
    name: str, known: Iterable[str], given: Mapping[str, object], unnamed: Sequence[object] = ()
) -> None:
    """Refuse what is no setting, and name the one that was meant.

    Raises
    ------
    TypeError
        For the first unknown one, or one without a name.
    """
    known = sorted(known)
    if unnamed:
        raise TypeError(
            f"{name}() takes its watcher first and all else by name, and "
            f"{one_line(repr(unnamed[0]))} has none: it takes {', '.join(known)}"
        )
    for each in given:
        if each not in known:
            near = get_close_matches(each, known, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise TypeError(f"{name}() knows no {each!r}{hint} It takes {', '.join(known)}")


def shown_settings(owner: HasTraits) -> str:
    """Give the settings that differ from their defaults, as in a call."""
    shown = []
    for name, trait in settings_of(type(owner)).items():
        value = getattr(owner, name)
        if value != trait.default():
            shown.append(f"{name}={value!r}")
    return ", ".join(shown)
