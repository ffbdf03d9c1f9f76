"""Where a watcher looks for a server when it is not told."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.local.binary import clean_environment, find_binary
from etcd_watcher.local.ports import free_ports
from tests.eventually import eventually

USUAL = (2379, 4001)


@pytest.fixture(params=USUAL)
def usual_port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """An etcd on one of the ports that it usually has."""
    for port in USUAL:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                if os.environ.get("CI"):
                    pytest.fail(f"somebody listens on port {port}")
                pytest.skip(f"somebody listens on port {port}")
    port = int(request.param)
    url, (peer,) = f"http://127.0.0.1:{port}", free_ports(1)
    arguments = {
        "data-dir": str(tmp_path / "data"),
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-cluster": f"default=http://127.0.0.1:{peer}",
    }
    server = subprocess.Popen(
        [find_binary("3.5").path, *(f"--{name}={value}" for name, value in arguments.items())],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: is_ready(url), timeout=20)
        yield port
    finally:
        server.kill()
        server.wait()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:  # noqa: S310 - loopback
            return b'"true"' in answer.read()
    except OSError:
        return False


def test_without_arguments_it_finds_the_usual_ports(
    usual_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ETCDCTL_ENDPOINTS", raising=False)
    with Watcher() as watcher:
        watcher.put("key", "value")
        assert watcher.get("key") == "value"
        assert watcher.api == "v3"
        watcher.add_key("key")
        assert watcher.status.endpoint == f"http://127.0.0.1:{usual_port}"


def test_etcdctls_environment_comes_first(
    etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", etcd.url.removeprefix("http://"))
    with Watcher() as watcher:
        watcher.put(fresh_key, "value")
        assert watcher.get(fresh_key) == "value"
