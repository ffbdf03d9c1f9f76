"""A JupyterLab server of our own, and a notebook that is open in it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from playwright.sync_api import Page

from tests.processes import processes_with

ROOT = Path(__file__).parents[2]

# How long a thing may take on two busy cores before we call it broken.
START_SECONDS = 60
STOP_SECONDS = 20
CELLS_SECONDS = 120

HARMLESS = "[anywidget] Failed to initialize model"
"""anywidget 0.11 throws it 2 s after it has begun to load a widget that was closed meanwhile, or is
not ready yet on a busy machine: the latter it shows once it is."""

T = TypeVar("T")


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    folder: Path
    """What it serves: copy notebooks in here."""


@contextlib.contextmanager
def running_lab(home: Path) -> Iterator[Lab]:
    """Run JupyterLab in `home`, with nothing of the person's settings, files or kernels.

    In the end neither it nor anything that its kernels started is left, or the test fails.
    """
    served = home / "served"
    served.mkdir()
    runtime = home / "runtime"
    mark = uuid.uuid4().hex
    log = home / "log.txt"
    environment = os.environ | {
        "ETCD_WATCHER_UI": mark,  # inherited by all that it starts
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_CONFIG_PATH": str(ROOT / "etcd_watcher/cli/jupyter"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    command = [
        *[sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"],
        *["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--IdentityProvider.token="],
        "--LabApp.expose_app_in_browser=True",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=served,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = wait_until(lambda: answering(server, runtime), START_SECONDS, f"no answer; see {log}")
        yield Lab(url, served)
    finally:
        server.terminate()  # it shuts its kernels down first
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        _, left = psutil.wait_procs(processes_with("ETCD_WATCHER_UI", mark), timeout=STOP_SECONDS)
        commands = [" ".join(process.cmdline()) for process in left]
        for process in left:
            process.kill()
        assert not commands, f"still running after JupyterLab had ended: {commands}"


def answering(server: subprocess.Popen[bytes], runtime: Path) -> str | None:
    """Give the server's URL once it answers."""
    assert server.poll() is None, f"JupyterLab ended with {server.returncode}"
    for path in runtime.glob("jpserver-*.json"):
        # The file may be half written, and is there before the server listens.
        with contextlib.suppress(ValueError, urllib.error.URLError):
            url = str(json.loads(path.read_text())["url"])
            urllib.request.urlopen(f"{url}api/status", timeout=5).close()  # noqa: S310 - our own
            return url
    return None


def wait_until(tell: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    """Ask again and again until there is an answer."""
    end = time.monotonic() + seconds
    while (found := tell()) is None:
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:.0f} s: {otherwise}")
        time.sleep(0.05)
    return found


class NotebookPage:
    """A notebook that is open in JupyterLab, and the browser's page that it is in."""

    def __init__(self, page: Page, lab: Lab, path: Path) -> None:
        self.page = page
        self._path = path
        self.page_errors: list[str] = []
        """Exceptions that nothing in the page caught."""
        self.abroad: list[str] = []
        """Addresses outside of our server that the page asked for."""
        page.on("pageerror", lambda error: self._note_error(f"{error}\n{error.stack}"))
        page.on("request", lambda request: self._note(request.url, lab.url))
        page.goto(f"{lab.url}doc/tree/{path.relative_to(lab.folder).as_posix()}?reset")
        self.wait_for_kernel()

    def _note_error(self, error: str) -> None:
        if HARMLESS not in error:
            self.page_errors.append(error)

    def _note(self, url: str, home: str) -> None:
        if not url.startswith((home, "data:", "blob:")):
            self.abroad.append(url)

    def wait_for_kernel(self) -> None:
        """Wait until a kernel is connected and idle.

        "Run all" before that is dropped without a word, and the page's own indicator says idle
        too early.
        """
        self.page.wait_for_function(
            """() => {
                const kernel =
                    window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
                return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
            }""",
            timeout=CELLS_SECONDS * 1000,
        )

    def start_over(self, sources: Sequence[str]) -> None:
        """Put these code cells in the place of all cells, and start the kernel anew."""
        self.page.evaluate(
            """async sources => {
                const panel = window.jupyterapp.shell.currentWidget;
                await panel.sessionContext.restartKernel();
                const cells = panel.content.model.sharedModel;
                cells.transact(() => {
                    cells.deleteCellRange(0, cells.cells.length);
                    cells.insertCells(0, sources.map(source =>
                        ({ cell_type: 'code', source, metadata: {}, outputs: [] })));
                });
            }""",
            [textwrap.dedent(each).strip() for each in sources],
        )
        self.wait_for_kernel()
        self.page_errors.clear()
        self.abroad.clear()

    def run_all(self) -> None:
        """Run every cell, until the last one is done or one of them fails."""
        self.page.set_default_timeout(CELLS_SECONDS * 1000)
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.wait_for_kernel()

    def run_cell(self, number: int, *, wait: bool = True) -> None:
        """Run one code cell, the first being 0, to its end, unless told not to wait for that."""
        self.page.evaluate(
            """async ([number, wait]) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = number;
                const done = window.jupyterapp.commands.execute('notebook:run-cell');
                if (wait) await done;
            }""",
            [number, wait],
        )

    def run_new_cell(self, source: str, *, wait: bool = True) -> float:
        """Add a cell at the end, run it, and give the milliseconds that it took."""
        took: float = self.page.evaluate(
            """async ([source, wait]) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                const { commands } = window.jupyterapp;
                notebook.activeCellIndex = notebook.widgets.length - 1;
                await commands.execute('notebook:insert-cell-below');
                notebook.activeCell.model.sharedModel.setSource(source);
                const began = performance.now();
                const done = commands.execute('notebook:run-cell');
                if (wait) await done;
                return performance.now() - began;
            }""",
            [textwrap.dedent(source).strip(), wait],
        )
        return took

    def save_and_reload(self) -> None:
        """Save the notebook, and load the page anew: the kernel runs on."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self.page.goto(self.page.url.removesuffix("?reset"))
        self.wait_for_kernel()

    def saved(self) -> str:
        """Save the notebook and give the file."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        return self._path.read_text(encoding="utf-8")

    def outputs(self) -> list[list[dict[str, Any]]]:
        """Give each code cell's outputs, as the notebook format has them."""
        outputs: list[list[dict[str, Any]]] = self.page.evaluate(
            """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
                .filter(cell => cell.type === 'code').map(cell => cell.toJSON().outputs)"""
        )
        return outputs

    def never_run(self) -> list[str]:
        """Give the source of the code cells that were not run."""
        sources: list[str] = self.page.evaluate(
            """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
                .filter(cell => cell.type === 'code' && cell.executionCount === null)
                .map(cell => cell.sharedModel.getSource())"""
        )
        return sources

    def errors(self) -> list[str]:
        """Give the errors that cells ended with."""
        return [
            f"{output['ename']}: {output['evalue']}"
            for outputs in self.outputs()
            for output in outputs
            if output["output_type"] == "error"
        ]

    def close(self) -> None:
        """Shut the kernel down and leave the page."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()
