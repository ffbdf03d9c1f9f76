"""What knows of notebook cells, with a stub in IPython's place."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import types
import weakref
from typing import Any

import pytest

from etcd_watcher import interactive
from etcd_watcher.interactive import running_cell, when_run_again
from etcd_watcher.subscriber import Subscriber


class Notebook:
    """Runs cells as a kernel does: source in `__main__`, one file name for one source."""

    def __init__(self) -> None:
        self.execution_count = 0
        self.namespace: dict[str, Any] = {"__name__": "__main__", "make": make}

    def run(self, source: str) -> Any:
        self.execution_count += 1
        exec(compile(source, f"cell-{hash(source)}", "exec"), self.namespace)  # noqa: S102
        return self.namespace.get("made")


class Thing:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def make() -> Thing:
    thing = Thing()
    when_run_again(thing.close)
    return thing


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    stub = types.ModuleType("IPython")
    shell = Notebook()
    monkeypatch.setattr(stub, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", stub)
    monkeypatch.setattr(interactive, "_made", {})
    return shell


def test_outside_of_ipython_there_is_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert running_cell() is None
    assert Subscriber("Luis").cell is None


def test_where_ipython_is_imported_but_not_running_there_is_no_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub = types.ModuleType("IPython")
    monkeypatch.setattr(stub, "get_ipython", lambda: None, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", stub)
    assert running_cell() is None


def test_it_never_imports_ipython_itself() -> None:
    program = (
        "import sys, etcd_watcher.interactive as i; i.running_cell();"
        "raise SystemExit('IPython' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_in_a_notebook_the_cell_is_its_execution_count(notebook: Notebook) -> None:
    notebook.execution_count = 12
    assert running_cell() == 12
    assert Subscriber("Luis").cell == 12


def test_running_a_cell_again_closes_what_it_made_before(notebook: Notebook) -> None:
    first = notebook.run("made = make()")
    assert first.closed == 0
    second = notebook.run("made = make()")
    assert (first.closed, second.closed) == (1, 0)
    third = notebook.run("made = make()")
    assert (first.closed, second.closed, third.closed) == (1, 1, 0)


def test_another_cell_leaves_it_alone(notebook: Notebook) -> None:
    first = notebook.run("made = make()")
    notebook.run("other = make()")
    assert first.closed == 0


def test_the_lines_of_one_cell_each_replace_their_own(notebook: Notebook) -> None:
    cell = "made = [\n  make(),\n  make(),\n]"
    first = notebook.run(cell)
    second = notebook.run(cell)
    assert [each.closed for each in first + second] == [1, 1, 0, 0]


def test_a_loop_in_a_cell_makes_several_and_all_are_replaced(notebook: Notebook) -> None:
    first = notebook.run("made = [make() for _ in range(3)]")
    assert [each.closed for each in first] == [0, 0, 0]
    second = notebook.run("made = [make() for _ in range(3)]")
    assert [each.closed for each in first + second] == [1, 1, 1, 0, 0, 0]


def test_what_a_function_of_the_notebook_makes_belongs_to_its_line(notebook: Notebook) -> None:
    notebook.run("def helper():\n  return make()")
    first = notebook.run("made = helper()")
    second = notebook.run("made = helper()")
    assert (first.closed, second.closed) == (1, 0)


def test_another_cell_may_call_the_same_function(notebook: Notebook) -> None:
    notebook.run("def helper():\n  return make()")
    first = notebook.run("made = helper()")
    second = notebook.run("made = [helper() for _ in range(2)]")
    assert [each.closed for each in (first, *second)] == [0, 0, 0]
    notebook.run("made = helper()")
    assert [each.closed for each in (first, *second)] == [1, 0, 0]


def test_what_a_library_makes_belongs_to_the_line_that_called_it(notebook: Notebook) -> None:
    library: dict[str, Any] = {"__name__": "library", "make": make}
    exec("def start():\n  return make()", library)  # noqa: S102
    notebook.namespace["start"] = library["start"]
    first = notebook.run("made = start()")
    second = notebook.run("made = start()")
    assert (first.closed, second.closed) == (1, 0)


def test_what_nobody_holds_any_more_is_not_kept_alive(notebook: Notebook) -> None:
    gone = weakref.ref(notebook.run("made = make()"))
    notebook.run("made = None")
    gc.collect()
    assert gone() is None
    notebook.run("made = make()")  # and its line is free for the next


def test_outside_of_a_notebook_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    things = [make() for _ in range(2)]
    assert [each.closed for each in things] == [0, 0]


def test_in_a_thread_of_a_library_nothing_is_closed(notebook: Notebook) -> None:
    library: dict[str, Any] = {"__name__": "library", "make": make, "__builtins__": {}}
    code = compile("made = make()", "library.py", "exec")
    # As a thread starts: no frame of the notebook is above.
    threads = [threading.Thread(target=exec, args=(code, library)) for _ in range(2)]
    things = []
    for thread in threads:
        thread.start()
        thread.join()
        things.append(library["made"])
        notebook.execution_count += 1
    assert [each.closed for each in things] == [0, 0]
