"""What is saved in a notebook is the same on every machine, and all of it is compared."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.save import read

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

UNSTABLE = {
    "a port": r"(127\.0\.0\.1|localhost|\[::1\]):\d",
    "a path": r"(?<![\w.:/])/(tmp|home|root|usr|var|opt|work|Users|private)/",
    "an address in memory": r"\b0x[0-9a-fA-F]{6,}",
    "a time": r"\b\d{1,2}:\d\d:\d\d\b",
    "a date": r"\b20\d\d-\d\d-\d\d\b",
    "a lease or a time stamp": r"\b\d{10,}\b|\b[0-9a-f]{15,16}\b",
    "a cell's file": r"ipykernel_\d+|<ipython-input",
}


def outputs(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Give all that a cell's outputs show, each with its kind."""
    found = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            found.append((output.name, output.text))
        else:
            found += [(kind, str(text)) for kind, text in output.get("data", {}).items()]
    return found


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return read(request.param)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS][:2] == [
        "01-walkthrough.ipynb",
        "02-modern-etcd.ipynb",
    ]


@pytest.mark.parametrize("what", UNSTABLE)
def test_no_output_holds_what_differs_from_run_to_run(
    notebook: nbformat.NotebookNode, what: str
) -> None:
    found = [
        (cell.id, match.group())
        for cell in code_cells(notebook)
        for _, text in outputs(cell)
        if (match := re.search(UNSTABLE[what], text))
    ]
    assert not found


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a port", "http://127.0.0.1:23456"),
        ("a path", 'File "/var/x.py"'),
        ("an address in memory", "<function f at 0x7f3a5c0d1e40>"),
        ("a time", "12:34:56"),
        ("a date", "2026-11-03"),
        ("a lease or a time stamp", "3690878079509695242"),
        ("a lease or a time stamp", "32694b6f4ff9a70a"),
        ("a cell's file", "ipykernel_123/2.py"),
    ],
)
def test_the_check_would_notice(what: str, text: str) -> None:
    assert re.search(UNSTABLE[what], text)


def test_no_cell_is_left_out_of_the_comparison(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        assert not cell.metadata, f"{cell.id} has metadata: tests/notebooks/save.py takes it out"
        assert "NBVAL" not in cell.source


def test_nothing_failed_and_nothing_complained(notebook: nbformat.NotebookNode) -> None:
    kinds = [output.output_type for cell in code_cells(notebook) for output in cell.outputs]
    names = [kind for cell in code_cells(notebook) for kind, _ in outputs(cell)]
    assert "error" not in kinds
    assert "stderr" not in names


def test_every_cell_was_run_in_order(notebook: nbformat.NotebookNode) -> None:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "save it with tests/notebooks/save.py"


def test_the_format_is_the_one_that_others_read(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}, (
        "a version would change with each Python: save it with tests/notebooks/save.py"
    )
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_links_to_other_notebooks_lead_somewhere(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        for target in re.findall(r"\]\(([^)#]+\.ipynb)\)", cell.source):
            assert (ROOT / "notebooks" / target).exists(), target
