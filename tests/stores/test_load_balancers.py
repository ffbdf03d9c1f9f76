"""A watcher through the load balancers that people have: nginx and HAProxy themselves.

What can be had of a scripted server is in test_rpc_pool.py and test_v3_balanced.py. Without the
programs the tests are skipped; in CI that is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from etcd_watcher import ConnectionFailed, Event, Gap, LocalEtcd, RequestRejected, Status, Watcher
from etcd_watcher.local import Certificates
from etcd_watcher.local.ports import free_ports

pytestmark = pytest.mark.usefixtures("no_leaks")

PATIENCE = 20.0

ALL: tuple[list[str], list[str]] = ([], [])
"""What `write` gives where every write was made."""

LARGE = "x" * 1_400_000
"""A value; etcd takes requests of 1.5 MiB."""

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log; {main}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream etcd {{ server {etcd}; }}
    server {{
        listen 127.0.0.1:{port} {listen};
        client_max_body_size {most};
        {server}
        location / {{ grpc_pass grpc://etcd; {location} }}
    }}
}}
"""

HAPROXY = """
global
    {main}
defaults
    mode {mode}
    retries 0
    timeout connect 5s
    timeout client {client}
    timeout server {server}
frontend front
    bind 127.0.0.1:{port} {bind}
    default_backend back
backend back
    server etcd {etcd} {speaks}
"""

TCP = {"mode": "tcp", "bind": "", "speaks": ""}
HTTP = {"mode": "http", "bind": "proto h2", "speaks": "proto h2"}

TLS = """
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;
"""


class Balancer:
    """One that runs; `url` is where."""

    def __init__(
        self, folder: Path, etcd: str, pattern: str, command: list[str], asked: Mapping[str, str]
    ) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http{'s' if 'ssl' in str(asked) else ''}://127.0.0.1:{self.port}"
        self._command = [each.format(folder=folder) for each in command]
        given = {"folder": folder, "etcd": urlsplit(etcd).netloc, "port": self.port, **asked}
        (folder / "config").write_text(pattern.format_map(given))
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        until(self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "it does not take its configuration"
        with socket.socket() as knocking:
            return knocking.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def reload(self, word: signal.Signals) -> None:
        """Have it read its configuration anew; returns once another process serves."""
        before = self._workers()
        self._process.send_signal(word)
        until(lambda: bool(self._workers() - before))

    def _workers(self) -> set[int]:
        return {each.pid for each in psutil.Process(self._process.pid).children()}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")  # Debian's place for both
    if found is None:
        missing = f"no {name} on this machine (Debian: apt install {name})"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


Make = Callable[..., Balancer]


@pytest.fixture
def server() -> Iterator[LocalEtcd]:
    with LocalEtcd(version="3.5") as made:
        yield made


@pytest.fixture
def balancer(server: LocalEtcd, tmp_path: Path) -> Iterator[Make]:
    """Run load balancers before the server, and stop them in the end."""
    running: list[Balancer] = []

    def make(pattern: str, command: list[str], usual: dict[str, str], **asked: str) -> Balancer:
        etcd = asked.pop("etcd", server.url)
        given = usual | {name: each.format(folder=tmp_path) for name, each in asked.items()}
        running.append(Balancer(tmp_path, etcd, pattern, command, given))
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture
def nginx(balancer: Make) -> Make:
    command = [program("nginx"), "-e", "{folder}/log", "-p", "{folder}", "-c", "{folder}/config"]
    usual = {"main": "", "server": "", "location": "", "listen": "http2", "most": "2m"}
    return partial(balancer, NGINX, command, usual)


@pytest.fixture
def haproxy(balancer: Make) -> Make:
    command = [program("haproxy"), "-W", "-db", "-q", "-f", "{folder}/config"]
    usual = {"main": "tune.h2.max-concurrent-streams 1", "client": "60s", "server": "60s", **HTTP}
    return partial(balancer, HAPROXY, command, usual)


def write(
    watcher: Watcher,
    count: int = 200,
    *,
    writers: int = 1,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[list[str], list[str]]:
    """Write so many values, do something in the middle, and see that all are told as they should be.

    Returns
    -------
    The keys that may have been written, or not, and those that were not.
    """
    told: list[Event] = []
    watcher.on("k/", prefix=True)(told.append)
    unknown: list[str] = []
    unmade: list[str] = []

    def run(who: int) -> list[tuple[int, str]]:
        made = []
        for number in range(count // writers):
            if who == 0 and number == count // writers // 2:
                meanwhile()
            key = f"k/{who}/{number}"
            try:
                made.append((watcher.put(key, "x"), key))
            except ConnectionFailed as error:
                (unknown if "it may have done so, or not" in str(error) else unmade).append(key)
        return made

    with ThreadPoolExecutor(writers) as pool:
        made = [each for some in pool.map(run, range(writers)) for each in some]
    watcher.sync(timeout=PATIENCE)
    heard = [(event.revision, event.key) for event in told]
    assert heard == sorted(heard)
    keys = [key for _, key in heard]
    assert len(keys) == len(set(keys))
    assert set(made) <= set(heard)
    assert set(keys) <= {key for _, key in made} | set(unknown)
    assert not any(isinstance(each, Gap) for each in watcher.journal)
    history = watcher.history("k/", prefix=True)
    assert [(event.revision, event.key) for event in history] == heard
    watcher.put("k/leased", "x", ttl=60)
    assert watcher.wait_for("k/leased", timeout=PATIENCE).value == "x"
    assert watcher.time_left("k/leased")
    watcher.put("k/large", LARGE)
    assert watcher.wait_for("k/large", timeout=PATIENCE).value == LARGE
    return unknown, unmade


def lose(watcher: Watcher, times: int) -> None:
    """Wait until the watch was lost so often, and is there again."""
    cursor = watcher.journal.cursor(since=0)
    lost = 0
    while lost < times or watcher.status.state != "connected":
        assert cursor.wait(PATIENCE)
        records = cursor.read()
        lost += sum(isinstance(each, Status) and each.state == "reconnecting" for each in records)


def test_nginx_that_takes_few_requests_on_a_connection(nginx: Make) -> None:
    """And that is reloaded, and takes little at a time of what is large."""
    running = nginx(
        server="""
            keepalive_requests 20; http2_max_concurrent_streams 2;
            http2_body_preread_size 1k; client_body_buffer_size 1k; grpc_buffer_size 1k;
        """
    )
    with Watcher(running.url) as watcher:
        assert watcher.api == "v3"
        reload = partial(running.reload, signal.SIGHUP)
        assert write(watcher, 240, writers=6, meanwhile=reload) == ALL


def test_nginx_that_ends_what_is_quiet(nginx: Make) -> None:
    running = nginx(location="grpc_read_timeout 300ms;")
    with Watcher(running.url) as watcher:
        watcher.add_key("k/", prefix=True)
        lose(watcher, times=2)
        assert write(watcher, 20) == ALL


def test_nginx_that_is_stopped_and_started(nginx: Make) -> None:
    running = nginx()

    def meanwhile() -> None:
        running.stop()
        running.start()

    with Watcher(running.url) as watcher:
        write(watcher, writers=3, meanwhile=meanwhile)


def test_nginx_within_tls_that_wants_a_certificate(nginx: Make, tmp_path: Path) -> None:
    Certificates().write(tmp_path)
    url = nginx(listen="ssl http2", server=TLS).url
    ca, cert, key = (str(tmp_path / each) for each in ("ca.pem", "client.pem", "client.key"))
    with Watcher(url, ca_cert=ca, cert=cert, key=key) as watcher:
        assert write(watcher, writers=3) == ALL
    with pytest.raises(RequestRejected, match=r"nginx.*cert= and key="):
        Watcher(url, ca_cert=ca)


def test_nginx_within_tls_that_does_not_speak_http2(nginx: Make, tmp_path: Path) -> None:
    Certificates().write(tmp_path)
    url = nginx(listen="ssl", server=TLS.replace("verify_client on", "verify_client off")).url
    with pytest.raises(ConnectionFailed, match="does not take HTTP/2"):
        Watcher(url, ca_cert=str(tmp_path / "ca.pem"), api="v3")


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"location": "return 401;"}, RequestRejected, "HTTP 401 by nginx.*login of its own"),
        ({"location": "return 403;"}, RequestRejected, "HTTP 403 by nginx.*let us through"),
        ({"etcd": "http://127.0.0.1:9"}, ConnectionFailed, "HTTP 502 by nginx.*no etcd behind"),
        ({"listen": ""}, ConnectionFailed, "answers in HTTP/1 .*take HTTP/2"),
    ],
)
def test_nginx_that_lets_nothing_through(
    nginx: Make, asked: dict[str, str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Watcher(nginx(**asked).url)


def test_nginx_to_which_a_value_is_too_large(nginx: Make) -> None:
    with Watcher(nginx(most="1m").url) as watcher:
        with pytest.raises(RequestRejected, match=r"HTTP 413 by nginx.*client_max_body_size"):
            watcher.put("k", LARGE)
        watcher.put("k", "x" * 1_000_000)


@pytest.mark.parametrize("speaks", [TCP, HTTP], ids=["tcp", "http"])
def test_haproxy_that_is_reloaded(haproxy: Make, speaks: dict[str, str]) -> None:
    running = haproxy(**speaks)
    with Watcher(running.url, api="v3") as watcher:
        reload = partial(running.reload, signal.SIGUSR2)
        assert write(watcher, meanwhile=reload) == ALL


@pytest.mark.parametrize("speaks", [TCP, HTTP], ids=["tcp", "http"])
def test_haproxy_that_ends_what_is_quiet(haproxy: Make, speaks: dict[str, str]) -> None:
    running = haproxy(client="300ms", server="300ms", **speaks)
    with Watcher(running.url, api="v3") as watcher:
        watcher.add_key("k/", prefix=True)
        lose(watcher, times=2)
        assert write(watcher, 20) == ALL


def test_haproxy_within_tls(haproxy: Make, tmp_path: Path) -> None:
    Certificates().write(tmp_path)
    both = (tmp_path / "server.pem").read_text() + (tmp_path / "server.key").read_text()
    (tmp_path / "both.pem").write_text(both)
    url = haproxy(bind="ssl crt {folder}/both.pem alpn h2,http/1.1").url
    with Watcher(url, ca_cert=str(tmp_path / "ca.pem")) as watcher:
        assert watcher.api == "v3"
        assert write(watcher) == ALL


def test_haproxy_without_a_server(haproxy: Make) -> None:
    with pytest.raises(ConnectionFailed, match=r"\(HTTP 503\): .*no etcd behind"):
        Watcher(haproxy(etcd="http://127.0.0.1:9").url)
