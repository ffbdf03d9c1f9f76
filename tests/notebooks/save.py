"""Run notebooks and save what their cells gave, in the form in which they are committed.

    python tests/notebooks/save.py notebooks/01-walkthrough.ipynb

After a change to a cell: nbval then holds every later run to what was saved. A notebook that was
saved from JupyterLab needs it too, or tests/notebooks tells what is too much in it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
"""What is true on every machine: no version, which would change with each Python."""


def read(path: Path) -> nbformat.NotebookNode:
    """Give a notebook as it is, whatever version of the format it has."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    assert isinstance(notebook, nbformat.NotebookNode)
    return notebook


def save(path: Path) -> None:
    """Run a notebook and write it back."""
    notebook = read(path)
    client = NotebookClient(
        notebook,
        timeout=60,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = METADATA
    merge_streams(notebook.cells)
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def merge_streams(cells: Iterable[nbformat.NotebookNode]) -> None:
    """Join what a cell printed, however many messages it came in."""
    for cell in cells:
        outputs: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            before = outputs[-1] if outputs else None
            if (
                before is not None
                and output.output_type == before.output_type == "stream"
                and output.name == before.name
            ):
                before.text += output.text
            else:
                outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs


if __name__ == "__main__":
    for name in sys.argv[1:]:
        save(Path(name))
