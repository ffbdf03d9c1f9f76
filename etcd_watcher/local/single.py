"""The server behind a `LocalEtcd`: a member that is a cluster by itself, on ports that it keeps."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.local.binary import Binary, clean_environment
from etcd_watcher.local.client import is_healthy, member_names
from etcd_watcher.local.companion import CompanionLost
from etcd_watcher.local.gateway import Gateway
from etcd_watcher.local.guarded import Guardian
from etcd_watcher.local.ports import free_ports
from etcd_watcher.local.process import START_TIMEOUT, EtcdProcess, PortTaken, StartFailed
from etcd_watcher.local.security import Security

__all__ = ["Single"]

REQUEST_TIMEOUT = 5.0
"""Seconds for a request."""

PORT_TRIES = 10
"""How many pairs of ports to try, should others take them between our look and etcd's bind."""


class Single:
    """One etcd, its guardian and its directory. `start` begins and `stop` ends it.

    Attributes
    ----------
    data_dir : Path
        Where the data is.
    """

    def __init__(
        self, binary: Binary, security: Security, *, v2: bool, data_dir: Path | None
    ) -> None:
        self._binary = binary
        self._security = security
        self._v2 = v2
        # Our name in member lists, by which we know our own server from one that took its port.
        self._name = f"local-{secrets.token_hex(4)}"
        self._root = Path(tempfile.gettempdir(), f"etcd_watcher-{secrets.token_hex(8)}")
        self.data_dir = self._root / "data" if data_dir is None else data_dir
        self._ports: tuple[int, ...] = ()  # for clients and for peers, once they are known
        self._lock = threading.RLock()
        """Held while the server is started or stopped, so that these come one after the other."""
        self._guardian = Guardian(str(self._root))
        self._process = EtcdProcess(self._guardian, "etcd", binary, self._root / "etcd.log")

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return self._url(self._ports[0])

    @property
    def pid(self) -> int | None:
        """The process; None while it does not run."""
        return self._process.pid

    @property
    def paused(self) -> bool:
        """Whether the process stands still."""
        return self._process.paused

    def start(self) -> None:
        """Start the server, at the URL that it had. One that runs stays as it is."""
        with self._changing():
            if self.pid is not None:
                return
            try:
                self._start(time.monotonic() + START_TIMEOUT)
                self._security.set_up(self.gateway(), v2=self._v2)
            except BaseException:
                self._process.kill()
                raise

    def restart(self) -> None:
        """Kill it and start it."""
        with self._changing():
            self.kill()
            self.start()

    def kill(self) -> None:
        """SIGKILL."""
        with self._changing():
            self._process.kill()

    def stop(self) -> None:
        """End it, and remove its directory."""
        if self._guardian.is_foreign:
            return  # at the end of a fork's `with` block the server is still its parent's
        with self._lock:
            self.end()
            self._process.paused = False

    def end(self) -> None:
        """End it: a finalizer, which takes no lock."""
        self._guardian.end()

    def pause(self) -> None:
        """SIGSTOP."""
        with self._changing():
            self._check_running()
            self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        with self._changing():
            self._check_running()
            self._process.resume()

    def gateway(self) -> Gateway:
        """Give a way to ask the server.

        Raises
        ------
        ConnectionFailed
            It is stopped or paused.
        """
        self._check_running()
        if self._process.paused:
            raise ConnectionFailed("this LocalEtcd is paused, it answers nothing: resume() it")
        return self._security.gateway(self._ports[0], REQUEST_TIMEOUT)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        # First the owner: in a fork the lock may be held by a thread that is not there.
        self._guardian.check_owner()
        with self._lock:
            yield

    def _start(self, deadline: float) -> None:
        """Start the server on the ports that it had, or else on free ones."""
        taken: list[StartFailed] = []
        while True:
            ports = self._ports or free_ports(2)
            try:
                self._run(ports, deadline)
            except PortTaken as error:
                taken.append(error)
                # Whoever has the URL waits for us there: at a restart no other port will do.
                if time.monotonic() > deadline or (not self._ports and len(taken) == PORT_TRIES):
                    raise
            except StartFailed as error:
                # Time may run out in the middle of a try: what kept us is what came before.
                raise (taken or [error])[-1] from None
            else:
                self._ports = ports
                return

    def _run(self, ports: tuple[int, ...], deadline: float) -> None:
        """Start the server on these ports and wait until it is ready."""

        def is_ready(patience: float) -> bool:
            gateway = self._security.gateway(ports[0], patience)
            # The name, because a stranger who took the port might answer until ours gives up.
            return is_healthy(gateway) and self._name in member_names(gateway)

        try:
            self._guardian.start(clean_environment())
            self._security.write(self._root)
        except (OSError, CompanionLost) as error:
            raise StartFailed(f"{self._binary.path} cannot be run: {error}") from error
        self._process.launch(self._flags(*ports), v2=self._v2)
        self._process.wait(is_ready, deadline)

    def _flags(self, client_port: int, peer_port: int) -> dict[str, str]:
        client, peer = self._url(client_port), f"http://127.0.0.1:{peer_port}"
        return self._security.flags() | {
            "name": self._name,
            "data-dir": str(self.data_dir),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"{self._name}={peer}",
            # A member without peers needs no time to hear of a leader. With the defaults (100 and
            # 1000) a start takes 0.1 to 1 s and a restart 1 to 2 s; with these 0.03 to 0.1 s and
            # 0.1 to 0.2 s, for 0.5 % of a core while idle.
            "heartbeat-interval": "10",
            "election-timeout": "100",
        }

    def _check_running(self) -> None:
        if self.pid is None:
            raise ConnectionFailed(
                "this LocalEtcd is stopped: start() it again, or make a new LocalEtcd()"
            )

    def _url(self, port: int) -> str:
        return f"{self._security.scheme}://127.0.0.1:{port}"
