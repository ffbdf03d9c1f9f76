"""A kernel of our own, to run cells in and see what each shows."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.notebooks.save import merge_streams

ROOT = Path(__file__).parents[2]


class Kernel:
    """Runs code as cells."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def cell(self, source: str) -> list[nbformat.NotebookNode]:
        """Run a cell and give its outputs as they are now, those of one stream joined."""
        cell = nbformat.v4.new_code_cell(textwrap.dedent(source))  # type: ignore[no-untyped-call]
        self._client.nb.cells.append(cell)
        self._client.execute_cell(cell, len(self._client.nb.cells) - 1)
        merge_streams([cell])
        outputs: list[nbformat.NotebookNode] = cell.outputs
        return outputs

    def text(self, source: str) -> str:
        """Run a cell and give what it printed; it shows nothing else."""
        outputs = self.cell(source)
        assert [each.output_type for each in outputs] in ([], ["stream"]), outputs
        return "".join(each.text for each in outputs)


@contextmanager
def running_kernel() -> Iterator[Kernel]:
    """Run a kernel of this environment."""
    before = {name: os.environ.get(name) for name in ("JUPYTER_PREFER_ENV_PATH", "PYTHONPATH")}
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": str(ROOT)}
    client = NotebookClient(
        nbformat.v4.new_notebook(),  # type: ignore[no-untyped-call]
        timeout=60,
    )
    try:
        with client.setup_kernel():
            yield Kernel(client)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
