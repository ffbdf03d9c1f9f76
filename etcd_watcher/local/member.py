"""One member of a `LocalCluster`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from etcd_watcher.local.binary import Binary
from etcd_watcher.local.gateway import Gateway
from etcd_watcher.local.guarded import Guardian
from etcd_watcher.local.network import Network
from etcd_watcher.local.ports import free_ports
from etcd_watcher.local.process import EtcdProcess
from etcd_watcher.local.security import Security

__all__ = ["Member"]


class Member:
    """One etcd of a cluster. Made by `LocalCluster`; `cluster.faults` is what changes it.

    Attributes
    ----------
    name : str
        "m1"
    id : int
        What etcd calls it. Another one after `faults.replace`.
    url : str
        Where clients reach it, through the cluster's proxy; the same for the cluster's life.
    direct_url : str
        Where it listens itself, past the proxy and its faults; another one after each start.
    peer_url : str
        Where its peers reach it, through the proxy.
    pid : int or None
        Its process; None while it does not run.
    running : bool
        Whether the process is there; also while it is paused.
    paused : bool
        Whether the process stands still.
    """

    def __init__(
        self, name: str, guardian: Guardian, binary: Binary, root: Path, security: Security
    ) -> None:
        self.name = name
        self.id = 0
        self.joins = False
        """Whether its next launch is into a cluster that was there before it."""
        self.left = False
        """Whether it was, or is just being, removed from the cluster and not yet added again."""
        self._security = security
        self._data_dir = root / name
        self._process = EtcdProcess(guardian, name, binary, root / f"{name}.log")
        self._ports: tuple[int, ...] = (0, 0)
        """Its own, for clients and for peers."""
        self._doors: tuple[int, ...] = (0, 0)
        """The proxy's, for the same."""

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return self._url(self._doors[0])

    @property
    def peer_url(self) -> str:
        """Where its peers reach it."""
        return _peer_url(self._doors[1])

    @property
    def direct_url(self) -> str:
        """Where it listens itself."""
        return self._url(self._ports[0])

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.pid is not None

    @property
    def paused(self) -> bool:
        """Whether its process stands still."""
        return self._process.paused

    @property
    def answers(self) -> bool:
        """Whether its process is there and does not stand still."""
        return self.running and not self.paused

    def __repr__(self) -> str:
        state = "stopped" if not self.running else "paused" if self.paused else "running"
        return f"{self.name} {state}"

    def gateway(self, timeout: float) -> Gateway:
        """Give a way to ask it, past the proxy."""
        return self._security.gateway(self._ports[0], timeout)

    def ask_for_ports(self, network: Network) -> None:
        """Take the ports to advertise."""
        self._doors = tuple(network.listen(self.name, kind) for kind in ("client", "peer"))

    def launch(self, network: Network, flags: Mapping[str, str], *, v2: bool) -> None:
        """Start the process, on free ports to which the proxy leads."""
        self._ports = free_ports(2)
        network.lead_to(self.name, *self._ports)
        own = {
            "name": self.name,
            "data-dir": str(self._data_dir),
            "listen-client-urls": self.direct_url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": _peer_url(self._ports[1]),
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster-state": "existing" if self.joins else "new",
        }
        self._process.launch({**own, **flags, **self._security.flags()}, v2=v2)

    def check(self) -> None:
        """Raise StartFailed, or PortTaken, if the process has ended."""
        self._process.check()

    def complaint(self, what: str) -> str:
        """Say what is wrong with it, with the end of its log."""
        return f"{self.name}: {self._process.complaint(what)}"

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self._process.kill()

    def pause(self) -> None:
        """SIGSTOP; returns when the process stands still."""
        self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._process.resume()

    def forget(self) -> None:
        """Remove its data."""
        shutil.rmtree(self._data_dir, ignore_errors=True)

    def _url(self, port: int) -> str:
        return f"{self._security.scheme}://127.0.0.1:{port}"


def _peer_url(port: int) -> str:
    # Never TLS: the proxy reads from it who calls.
    return f"http://127.0.0.1:{port}"
