"""Forks and other processes beside a live watcher: none hangs, and the watcher hears everything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from etcd_watcher import LocalEtcd

ROOT = Path(__file__).parents[2]

RUNS = pytest.mark.parametrize(
    "runs", [6, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(280)])]
)

FORK = """
        def once(number):
            child = os.fork()
            if child == 0:
                {leave}(number % 100)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == number % 100
    """

WORK = {
    "os.fork": FORK.format(leave="os._exit"),
    # The finalizers and atexit functions of a fork run, with locks that nobody will release.
    "os.fork and exit": FORK.format(leave="sys.exit"),
    "subprocess": """
        def once(number):
            said = subprocess.run(["echo", str(number)], capture_output=True, text=True)
            return said.stdout == f"{number}\\n"
    """,
    "subprocess that forks": """
        def once(number):
            ready = lambda: None  # with a function to call in the child, Python has to fork
            said = subprocess.run(["echo", str(number)], capture_output=True, preexec_fn=ready)
            return said.stdout == f"{number}\\n".encode()
    """,
    "multiprocessing": """
        def once(number):
            context = multiprocessing.get_context("spawn")
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=square.square, args=(number, send))
            process.start()
            answer = receive.recv()
            process.join()
            return answer == number * number and process.exitcode == 0
    """,
}

PROGRAM = """
    import json, multiprocessing, os, subprocess, sys, threading
    from etcd_watcher import Subscriber, Watcher
    import square

    class News:
        def __init__(self):
            self.values = []
        def tell(self, key, value):
            self.values.append(value)

    {work}

    def main(url, runs):
        news = News()
        with Watcher(url, api="v3") as watcher:
            watcher.register("number", news, "tell")
            right = 0
            for number in range(runs):
                watcher.put("number", str(number))  # its event comes while the fork is under way
                right += once(number)
                if number % 5 == 0:
                    watcher.sync()
            watcher.sync()
        expected = [str(number) for number in range(runs)]
        print(json.dumps([right, news.values == expected]))

    if __name__ == "__main__":
        main(sys.argv[1], int(sys.argv[2]))
"""

SQUARE = """
def square(number, pipe):
    pipe.send(number * number)
"""


@RUNS
@pytest.mark.parametrize("kind", WORK)
def test_a_program_may_start_others(
    etcd: LocalEtcd, tmp_path: Path, kind: str, runs: int, fresh_key: str
) -> None:
    work = textwrap.indent(textwrap.dedent(WORK[kind]), "    ")
    program = textwrap.dedent(PROGRAM.replace("    {work}", work)).replace(
        'number"', f'{fresh_key}"'
    )
    (tmp_path / "square.py").write_text(SQUARE)
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", tmp_path / "program.py", etcd.url, str(runs)],
        capture_output=True,
        text=True,
        timeout=270,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert json.loads(done.stdout) == [runs, True], done.stderr
    assert done.stderr == ""


FORK = """
    import os, sys, threading
    from etcd_watcher import Status, Watcher

    def child(watcher, key):
        assert watcher.get(key) == "2"  # over a connection of its own
        watcher.put(f"{key}/child", "was here")
        watcher.remove_key(key)
        watcher.close()

    def main(url, key):
        heard = []
        with Watcher(url, api="v3") as watcher:
            watcher.on(key)(lambda event: heard.append(event.value))
            for number in range(3):
                watcher.put(key, str(number))
            watcher.sync()  # nobody is in the middle of anything
            pid = os.fork()
            if pid == 0:
                try:
                    child(watcher, key)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            for number in range(3, 6):
                watcher.put(key, str(number))
            watcher.sync()
            assert watcher.get(f"{key}/child") == "was here"
            troubles = [each for each in watcher.journal.read(0)[0] if isinstance(each, Status)]
        print(heard, troubles)

    main(sys.argv[1], sys.argv[2])
"""


def test_a_fork_takes_nothing_from_its_parent_whatever_it_does_with_what_it_inherits(
    etcd: LocalEtcd, fresh_key: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(FORK), etcd.url, fresh_key],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "['0', '1', '2', '3', '4', '5'] []\n", done.stderr
    assert done.stderr == ""


@RUNS
@pytest.mark.parametrize("command", ["echo", "curl"])
def test_a_cell_may_run_commands(etcd: LocalEtcd, fresh_key: str, command: str, runs: int) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"no {command}")
    line = {
        "echo": "!echo {number}",
        "curl": f"!curl -s {etcd.url}/version >/dev/null && echo {{number}}",
    }[command]
    begin = f"""
from etcd_watcher import Watcher
heard = []
watcher = Watcher({etcd.url!r}, api='v3')
watcher.on({fresh_key!r})(lambda event: heard.append(event.value))
None"""
    run = f"""
for number in range({runs}):
    watcher.put({fresh_key!r}, str(number))
    {line}"""
    compare = f"watcher.sync(); print(heard == [str(number) for number in range({runs})])"
    cells = [begin, run, compare, "watcher.close()"]
    made = nbformat.v4
    notebook = made.new_notebook(cells=[made.new_code_cell(each) for each in cells])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=250).execute()
    said = ["".join(each.get("text", "") for each in cell.outputs) for cell in notebook.cells]
    assert said[1].split() == [str(number) for number in range(runs)]
    assert said[2] == "True\n"
