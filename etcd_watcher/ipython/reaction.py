"""A notebook's cell that runs at each change of some keys."""

from __future__ import annotations

import ast
import inspect
import weakref
from collections.abc import Sequence
from types import CodeType

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from etcd_watcher.event import Event
from etcd_watcher.watcher import Watcher

__all__ = ["Reaction"]


class Reaction:
    """The cell, compiled: a subscriber that is its own callback.

    It runs on the notebook's event loop, as cells do, in the notebook's own namespace.

    Raises
    ------
    SyntaxError
        The cell cannot be compiled.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        watcher: Watcher,
        keys: Sequence[str],
        cell: str,
        *,
        prefix: bool,
    ) -> None:
        self._shell = shell
        self._watcher = weakref.ref(watcher)
        self.keys = tuple(keys)
        self.prefix = prefix
        self._parts = _compiled(shell, cell)

    def begin(self) -> None:
        """Run at each change from now on."""
        watcher = self._watcher()
        if watcher is not None:
            watcher.on(self.keys, prefix=self.prefix)(self)

    def end(self) -> None:
        """Run no more."""
        watcher = self._watcher()
        if watcher is not None and watcher.status.state != "closed":
            watcher.unregister(self.keys, self)

    @property
    def active(self) -> bool:
        """Whether there is still somebody who tells it of changes."""
        watcher = self._watcher()
        return watcher is not None and watcher.status.state != "closed"

    async def __call__(self, event: Event) -> None:
        """Run the cell, with `event` for the change."""
        names = self._shell.user_ns
        names["event"] = event
        for part in self._parts:
            value = eval(part, names)  # noqa: S307 - it is the person's own cell
            if inspect.isawaitable(value) and part.co_flags & inspect.CO_COROUTINE:
                value = await value
            if value is not None:
                display(value)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        shown = [f"{key!r}…" if self.prefix else repr(key) for key in self.keys]
        return f"on_change({', '.join(shown)})"


def _compiled(shell: InteractiveShell, cell: str) -> list[CodeType]:
    """Compile a cell: its statements, and its last expression, whose value is shown."""
    source = shell.transform_cell(cell)  # type: ignore[no-untyped-call]
    name = shell.compile.cache(source, shell.execution_count, raw_code=cell)
    tree = ast.parse(source, name)
    flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    last = tree.body[-1] if tree.body else None
    silent = shell.displayhook.semicolon_at_end_of_expression(cell)  # type: ignore[no-untyped-call]
    parts: list[ast.AST] = [tree]
    if isinstance(last, ast.Expr) and not silent:
        parts = [ast.Module(tree.body[:-1], []), ast.Expression(last.value)]
    return [
        compile(part, name, "eval" if isinstance(part, ast.Expression) else "exec", flags)  # type: ignore[call-overload]  # a tree of either kind
        for part in parts
    ]
