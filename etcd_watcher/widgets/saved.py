"""What a notebook keeps of a widget that was made with `save_state=True`: its last state, as HTML."""

from __future__ import annotations

from typing import Any

from IPython.display import HTML, display

__all__ = ["SavedForm"]


class SavedForm:
    """An output beside the widget's own, for those who open the notebook without a kernel.

    An output of its own, because a widget's view begins anew whenever its output is changed. While
    the widget lives, its page hides this (`.ew-saved` in common.css).
    """

    def __init__(self, html: str | None) -> None:
        self._html = html or ""
        self._handle: Any = display(self._wrapped(), display_id=True)  # type: ignore[no-untyped-call]

    def update(self, html: str | None) -> None:
        """Show another state, from any thread."""
        if (html or "") != self._html:
            self._html = html or ""
            if self._handle is not None:  # None outside of a kernel
                self._handle.update(self._wrapped())

    def _wrapped(self) -> HTML:
        html = f'<div class="ew-saved">{self._html}</div>'
        return HTML(html)  # type: ignore[no-untyped-call]
