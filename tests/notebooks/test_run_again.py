"""A person may run any cell again, and the whole notebook: nothing leaks, nothing comes twice."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from etcd_watcher.local.binary import find_binary
from tests.notebooks.save import merge_streams, read

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEST = ROOT / "notebooks" / "05-notebook-as-a-test.ipynb"
"""A notebook that is a test: its cells expect what those before them did, so it is run as a whole."""
LESSONS = [path for path in NOTEBOOKS if path != TEST]


def name_of(path: object) -> str:
    """Name a test after its notebook."""
    return getattr(path, "name", str(path))


LEFT = """
def left():
    import gc, sys, threading, time, psutil
    gc.collect()
    drawing = sys.modules.get("etcd_watcher.widgets.renderer")
    def late():  # what shows a watcher that was closed is drawn once more
        views = drawing.renderer.views if drawing else []
        return [each for each in views if not each.watcher or each.watcher.status.state == "closed"]
    end = time.monotonic() + 10
    while late() and time.monotonic() < end:
        time.sleep(0.005)
    for thread in threading.enumerate():
        # They end by themselves, a moment after there was nothing more to ask, and to count.
        if thread.name in {"etcd_watcher-ask", "etcd_watcher-census"}:
            thread.join(10)
        if thread.name == "etcd_watcher-renderer" and not drawing.renderer.views:
            thread.join(10)
    me = psutil.Process()
    return {
        "threads": sorted(t.name for t in threading.enumerate() if "etcd_watcher" in t.name),
        "processes": len(me.children(recursive=True)),
        "sockets": len(me.net_connections("inet")),
    }
print(left())
"""

TALE = ("Luis", "Antonio", "Juan", "Ana", "Eva", "Paul", "price/", "chapter/")
"""How a line begins that a subscriber printed."""


class Kernel:
    """A notebook with a kernel of its own."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client
        self.cells = [cell for cell in client.nb.cells if cell.cell_type == "code"]

    def run(self, cell: NotebookNode) -> list[tuple[str, str]]:
        """Run a cell and give what it showed."""
        return self.run_source(cell.source)

    def run_source(self, source: str) -> list[tuple[str, str]]:
        """Run some code as a cell of its own and give what it showed."""
        again = deepcopy(self.cells[0])
        again.update(source=source, outputs=[], execution_count=None)
        self._client.nb.cells.append(again)
        self._client.execute_cell(again, len(self._client.nb.cells) - 1)
        merge_streams([again])
        return shown_by(again)

    def left(self) -> dict[str, object]:
        """Give what runs in the kernel because of us."""
        ((_, text),) = self.run_source(LEFT)
        found: dict[str, object] = ast.literal_eval(text)
        return found


def shown_by(cell: NotebookNode) -> list[tuple[str, str]]:
    """Give what a cell showed."""
    shown: list[tuple[str, str]] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            shown.append((output.name, output.text))
        else:
            # Which model a widget has is another at each run.
            shown += sorted(each for each in output.data.items() if "widget-view" not in each[0])
    return shown


def told(shown: list[tuple[str, str]]) -> Counter[str]:
    """Count the lines that subscribers printed."""
    lines = [line for name, text in shown if name == "stdout" for line in text.splitlines()]
    return Counter(line for line in lines if line.startswith(TALE))


@contextmanager
def running(path: Path) -> Iterator[Kernel]:
    # In its own folder, where JupyterLab and nbval run it, too.
    folder = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(read(path), timeout=60, resources=folder)
    with client.setup_kernel():
        yield Kernel(client)


@pytest.fixture(autouse=True)
def this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels take their Python, and the package, from where we have them."""
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with running(request.param) as kernel:
        yield kernel


@pytest.mark.parametrize("kernel", LESSONS, indirect=True, ids=name_of)
def test_the_whole_notebook_again_gives_the_same_and_leaves_nothing(kernel: Kernel) -> None:
    before = kernel.left()
    *cells, end = kernel.cells
    first = [kernel.run(cell) for cell in cells]
    once = kernel.left()
    # Not closed: the second run has to see to that by itself.
    assert [kernel.run(cell) for cell in cells] == first
    twice = kernel.left()
    assert twice["processes"] == once["processes"]
    assert twice["threads"].count("etcd_watcher-feed") == 1  # type: ignore[attr-defined]
    closed = kernel.run(end)
    assert kernel.left() == before
    assert [kernel.run(cell) for cell in kernel.cells] == [*first, closed]
    assert kernel.left() == before


@pytest.mark.parametrize("kernel", [TEST], indirect=True, ids=name_of)
def test_a_notebook_that_closes_nothing_replaces_all_of_its_earlier_run(kernel: Kernel) -> None:
    first = [kernel.run(cell) for cell in kernel.cells]
    once = kernel.left()
    assert once["processes"]
    for _ in range(2):
        assert [kernel.run(cell) for cell in kernel.cells] == first
        assert kernel.left() == once


@pytest.mark.parametrize("kernel", LESSONS, indirect=True, ids=name_of)
def test_each_cell_again_tells_nobody_twice(kernel: Kernel) -> None:
    before = kernel.left()
    *cells, end = kernel.cells
    for cell in cells:
        # Fewer is right, too: what was deleted is not deleted again.
        first = told(kernel.run(cell))
        assert told(kernel.run(cell)) <= first, cell.source
    for cell in cells[::-1]:
        first = told(kernel.run(cell))
        assert told(kernel.run(cell)) <= first, cell.source
    kernel.run(end)
    kernel.run(end)
    assert kernel.left() == before


def test_the_walkthrough_needs_no_curl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ETCD_BINARY", find_binary().path)
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with running(ROOT / "notebooks/01-walkthrough.ipynb") as kernel:
        saved = [shown_by(cell) for cell in kernel.cells]
        assert [kernel.run(cell) for cell in kernel.cells] == saved
        ((_, curl),) = kernel.run_source("print(curl)")
    assert curl.startswith('"')
