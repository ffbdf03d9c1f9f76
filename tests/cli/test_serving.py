"""`etcd-watcher lab` and `dashboard`: servers on loopback that know etcd, tell nobody, and end."""

from __future__ import annotations

import contextlib
import errno
import http.cookiejar
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from etcd_watcher import LocalEtcd
from etcd_watcher.cli.dashboard import opened
from etcd_watcher.cli.lab import new_notebook
from etcd_watcher.cli.port import port_to_serve_on
from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.local.ports import free_ports
from tests.cli.conftest import PATIENCE, Run, Start, Terminal
from tests.eventually import eventually

SECRET = "hunter2-of-luis"

START = 90.0
"""Seconds that a server may take to start, on two busy cores."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the person's is read or written."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "TMPDIR": "temporary",
    }
    (tmp_path / "temporary").mkdir()
    kept = {name: str(tmp_path / folder) for name, folder in folders.items()}
    return kept | {"HOME": str(tmp_path)}


class Served:
    """A command that serves, and all that it has started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def address(self) -> str:
        """Wait for the address that it prints."""

        def printed() -> list[str]:
            assert self.process.poll() is None, self.said()
            return [
                word for word in self.said().split() if "127.0.0.1" in word and "?token" in word
            ]

        assert eventually(lambda: bool(printed()), START), self.said()
        place = urlsplit(printed()[0])

        def answers() -> bool:  # JupyterLab prints its address, then listens
            with contextlib.suppress(OSError):
                socket.create_connection((place.hostname, place.port or 80), 5).close()
                return True
            return False

        assert eventually(answers, START), self.said()
        return printed()[0]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def kernels(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = []
        for each in children:
            with contextlib.suppress(psutil.Error):  # it has just ended
                if "ipykernel_launcher" in each.cmdline():
                    found.append(each)
        return found

    def end(self, number: int) -> None:
        """Send a signal, and see that nothing is left."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        assert self.process.wait(PATIENCE) == -number, "it died of the signal, as shells expect"
        _, alive = psutil.wait_procs(family, timeout=PATIENCE)
        assert not alive


@pytest.fixture
def serve(start: Start, home: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Start a command that serves, without a browser."""
    files = []

    def begin(*arguments: str, env: dict[str, str] | None = None) -> Served:
        log = tmp_path / "log.txt"
        files.append(log.open("wb"))
        port = str(free_ports(1)[0])
        process = start(
            *arguments,
            *["--no-browser", "--port", port],
            env=home | (env or {}),
            cwd=tmp_path,
            stdout=files[-1],
            stderr=subprocess.STDOUT,
        )
        return Served(process, log)

    yield begin
    for each in files:
        each.close()


def open_kernel(address: str) -> None:
    """Start a kernel in a Jupyter server."""
    base, token = address.split("?token=")
    request = urllib.request.Request(  # noqa: S310 - ours
        base.partition("/lab")[0] + "/api/kernels",
        data=b"{}",
        headers={"Authorization": f"token {token}"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=START) as answer:  # noqa: S310
        assert answer.status == 201


def page(address: str) -> str:
    """Load a page as a browser does, cookies and all."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    with urllib.request.build_opener(jar).open(address, timeout=START) as answer:
        text: str = answer.read().decode()
        return text


def everywhere_on_disk(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_text(errors="replace")


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_lab_hands_the_server_to_its_kernels_tells_nobody_and_ends_with_them(
    serve: Any, tmp_path: Path, number: int
) -> None:
    served = serve(
        *["lab", "new.ipynb", "--api", "v3"],
        *["--endpoints", "http://127.0.0.1:1", "--user", "luis", "--password", SECRET],
    )
    open_kernel(served.address())
    assert "/lab/tree/new.ipynb?token=" in served.address()
    assert "Warning" not in served.said()
    assert "[I " not in served.said(), "nothing but the address"
    assert re.search(r'"disabledExtensions": \[[^]]*:announcements"', page(served.address()))
    assert eventually(lambda: bool(served.kernels()), PATIENCE)
    (kernel,) = served.kernels()
    environment = kernel.environ()
    assert environment["ETCDCTL_ENDPOINTS"] == "http://127.0.0.1:1"
    assert (environment["ETCDCTL_USER"], environment["ETCDCTL_PASSWORD"]) == ("luis", SECRET)
    for process in (psutil.Process(served.process.pid), kernel):
        assert SECRET not in " ".join(process.cmdline())
    assert [path for path, text in everywhere_on_disk(tmp_path) if SECRET in text] == []
    text = (tmp_path / "new.ipynb").read_text()
    assert json.loads(text)["cells"][0]["source"][-1] == "Dashboard(watcher)"
    assert 'Watcher(api="v3")' in text.replace("\\", "")
    assert "127.0.0.1" not in text
    served.end(number)
    assert SECRET not in served.said()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_the_dashboard_is_a_page_for_who_has_its_address(
    serve: Any, etcd: LocalEtcd, fresh_key: str, tmp_path: Path, number: int
) -> None:
    etcd.put(fresh_key, "x")
    served = serve("dashboard", "--prefix", fresh_key, "--read-only")
    address = served.address()
    assert "widget-view" not in page(address.split("?")[0]), "without the token: a login"
    assert served.kernels() == []
    assert "Dashboard(read_only=True)" in page(address)
    assert len(served.kernels()) == 1
    served.end(number)
    assert "Traceback" not in served.said()
    assert list((tmp_path / "temporary").iterdir()) == []


IMPATIENT = """
import sys
from etcd_watcher.cli import serving, unseen
unseen.PATIENCE, serving.LOOK_EVERY = 10.0, 0.2
serving.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_the_kernel_of_a_page_that_went_without_a_word_ends(
    environment: dict[str, str], home: dict[str, str], tmp_path: Path
) -> None:
    wanted = {"api": "v3", "keys": [], "prefix": False, "read_only": None}
    port = str(free_ports(1)[0])
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*[sys.executable, "-c", IMPATIENT, "dashboard"], "--no-browser", "--port", port],
            env=environment | home | {"ETCD_WATCHER_DASHBOARD": json.dumps(wanted)},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    served = Served(process, log)
    try:
        page(served.address())  # whatever reads it has no script that would connect
        assert len(served.kernels()) == 1
        assert eventually(lambda: served.kernels() == [], PATIENCE)
        assert "Traceback" not in served.said()
    finally:
        served.end(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["lab", "dashboard"])
@pytest.mark.parametrize("ending", ["Ctrl-C", "closed window"])
def test_in_a_terminal_it_ends_without_a_question(
    terminal: Callable[..., Terminal], home: dict[str, str], command: str, ending: str
) -> None:
    port = str(free_ports(1)[0])
    shown = terminal(command, "--no-browser", "--port", port, env=home)
    shown.read_until("?token=")
    if ending == "Ctrl-C":
        shown.type("\x03")
        assert shown.wait() == -signal.SIGINT
    else:
        shown.close()
        assert shown.wait() == -signal.SIGHUP


@pytest.mark.slow
def test_what_is_ignored_stays_ignored(serve: Any, etcd: LocalEtcd, home: dict[str, str]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        served = serve("dashboard")
    finally:
        signal.signal(signal.SIGHUP, before)
    served.address()
    served.process.send_signal(signal.SIGHUP)
    assert "widget-view" not in page(served.address().split("?")[0]), "it still answers"
    served.end(signal.SIGTERM)


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [("lab", "jupyterlab", "lab"), ("dashboard", "voila", "dashboard")],
)
def test_what_is_missing_is_named_with_the_extra_that_has_it(
    run: Run, tmp_path: Path, command: str, module: str, extra: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{module!r}] = None")
    status, out, complaints = run(command, env={"PYTHONPATH": str(tmp_path)})
    assert (status, out) == (1, "")
    assert complaints == (
        f"etcd-watcher: {module} is not installed here: pip install 'etcd-watcher[{extra}]'\n"
    )


def test_the_dashboard_says_at_once_that_there_is_no_server(run: Run) -> None:
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    status, _, complaints = run("dashboard", "--no-browser", "--endpoints", url)
    assert status == 1
    assert str(port) in complaints
    assert "Traceback" not in complaints


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
@pytest.mark.parametrize("command", ["lab", "dashboard"])
def test_what_is_no_port_is_refused(run: Run, command: str, port: str) -> None:
    status, out, complaints = run(command, "--no-browser", f"--port={port}")
    assert (status, out) == (2, "")
    assert f"argument --port: '{port}' is no port" in complaints.splitlines()[-1]


def test_any_free_port_can_be_had_and_another_one_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port_to_serve_on(0) not in (0, port)
        assert capsys.readouterr().err == ""
        given = port_to_serve_on(port)
        assert given > port
        assert f"port {port} is taken: this is served on {given}\n" in capsys.readouterr().err
    assert port_to_serve_on(port) == port


def test_a_port_that_one_may_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: object) -> None:
        raise PermissionError(errno.EACCES, "as for who is not root")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(EtcdWatcherError, match=r"port 80 .*Permission denied.* from 1024 on"):
        port_to_serve_on(80)


def test_with_one_prefix_the_past_has_its_keys_alone(
    monkeypatch: pytest.MonkeyPatch, etcd: LocalEtcd, fresh_key: str
) -> None:
    wanted = {"api": "v3", "keys": [fresh_key], "prefix": True, "read_only": None}
    monkeypatch.setenv("ETCD_WATCHER_DASHBOARD", json.dumps(wanted))
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", etcd.url)
    dashboard = opened()
    try:
        assert dashboard.revision_slider.prefix == fresh_key
        assert dashboard.watcher.keys == [fresh_key]
    finally:
        dashboard.close()
        dashboard.watcher.close()


def test_a_new_notebook_names_the_api_that_was_asked_for() -> None:
    for api, watcher in (("auto", "Watcher()"), ("v2", 'Watcher(api="v2")')):
        (cell,) = json.loads(new_notebook(api))["cells"]
        assert f"watcher = {watcher}\n" in cell["source"]


def test_what_is_no_notebook_is_refused(run: Run) -> None:
    status, _, complaints = run("lab", "recording.jsonl")
    assert status == 2
    assert "name it recording.ipynb" in complaints


def test_another_users_password_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from etcd_watcher.cli.environment import environment_for  # noqa: PLC0415
    from etcd_watcher.cli.options import parse  # noqa: PLC0415

    monkeypatch.setenv("ETCDCTL_PASSWORD", SECRET)
    made = environment_for(parse(["lab", "--user", "ana:hers"]), os.environ)
    assert (made["ETCDCTL_USER"], made.get("ETCDCTL_PASSWORD")) == ("ana:hers", None)
    made = environment_for(parse(["lab", "--user", "luis"]), os.environ)
    assert made["ETCDCTL_PASSWORD"] == SECRET
