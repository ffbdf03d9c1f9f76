"""Whom a `LocalEtcd` or a `LocalCluster` lets in: certificates, users, and how long tokens last."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.local.certificates import Certificates, make_signing_keys, write_secret
from etcd_watcher.local.gateway import Gateway, Login
from etcd_watcher.local.users import Users, switch_on
from etcd_watcher.secret import Secret

__all__ = ["Security"]


@dataclass(slots=True)
class Security:
    """What was asked for, and the files and logins made of it.

    Attributes
    ----------
    certificates : Certificates or None
        For TLS.
    client_cert : bool
        Whether clients have to show theirs.
    user, password : str or None
        Who may do everything. The password is made up where none is given.
    token_ttl : float or None
        Seconds.
    """

    certificates: Certificates | None
    client_cert: bool
    user: str | None
    password: str | None = field(repr=False)
    token_ttl: float | None
    _signing_keys: tuple[bytes, bytes] | None = field(default=None, init=False, repr=False)
    """The public and the private one: the same for all members, and over a restart."""
    _directory: Path | None = field(default=None, init=False)
    _context: ssl.SSLContext | None = field(default=None, init=False, repr=False)
    _login: Login | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(
        cls,
        *,
        tls: bool | Certificates,
        client_cert: bool,
        user: str | None,
        password: str | None,
        token_ttl: float | None,
    ) -> Security:
        """Check what a person gives.

        Raises
        ------
        ValueError
            It does not go together.
        """
        if client_cert and not tls:
            raise ValueError("client_cert=True needs TLS: give tls=True too")
        if password is not None and user is None:
            raise ValueError("a password without a user: give user= too")
        if token_ttl is not None and user is None:
            raise ValueError("token_ttl= without a user: give user= too, nobody else has tokens")
        if token_ttl is not None and not 1 <= token_ttl < float("inf"):
            raise ValueError(f"token_ttl is a time from 1 second up, not {token_ttl!r}")
        if user is not None and not password:
            password = Secret(secrets.token_urlsafe(12))
        certificates = Certificates(user=user) if tls is True else tls or None
        made = cls(certificates, client_cert, user, password, token_ttl)
        if token_ttl is not None:
            made._signing_keys = make_signing_keys()
        return made

    @property
    def scheme(self) -> str:
        """Http or https."""
        return "http" if self.certificates is None else "https"

    def path(self, name: str) -> str | None:
        """Give the path of a certificate or key; None without TLS."""
        if self.certificates is None or self._directory is None:
            return None
        return str(self._directory / name)

    def write(self, directory: Path) -> None:
        """Write all files into a directory that is there."""
        self._directory = directory
        if self.certificates is not None:
            self.certificates.write(directory)
            context = ssl.create_default_context()
            # We ask a server that we have started ourselves, and whose certificate may be a bad one
            # on purpose; nobody is to be kept out but by the server.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(directory / "own.pem", directory / "own.key")
            self._context = context
        if self._signing_keys is not None:
            for name, content in zip(("token.pub", "token.key"), self._signing_keys, strict=True):
                write_secret(directory / name, content)

    def flags(self) -> dict[str, str]:
        """Give etcd's flags, once the files are written."""
        flags = {}
        if self._directory is not None and self.certificates is not None:
            flags["cert-file"] = str(self._directory / "server.pem")
            flags["key-file"] = str(self._directory / "server.key")
        if self._directory is not None and self.client_cert:
            flags["trusted-ca-file"] = str(self._directory / "ca.pem")
            flags["client-cert-auth"] = "true"
        if self.user is not None:
            flags["bcrypt-cost"] = "4"  # its least: 1 ms for a login instead of 60
        if self._directory is not None and self.token_ttl is not None:
            public, private = self._directory / "token.pub", self._directory / "token.key"
            ttl = f"{int(self.token_ttl * 1000)}ms"
            flags["auth-token"] = (
                f"jwt,pub-key={public},priv-key={private},sign-method=ES256,ttl={ttl}"
            )
        return flags

    def gateway(self, port: int, timeout: float) -> Gateway:
        """Give a way to ask the server on that port, as the user where there is one."""
        return Gateway(port, timeout, self._context, self._login)

    def set_up(self, gateway: Gateway, *, v2: bool) -> None:
        """Make the users of a server that has none yet."""
        if self.user is not None and self.password is not None:
            self._login = switch_on(replace(gateway, login=None), self.user, self.password, v2=v2)

    def users(self, gateway: Callable[[], Gateway], *, v2: bool) -> Users:
        """Give what adds users. EtcdWatcherError: the server was made without any."""
        if self.user is None:
            raise EtcdWatcherError(
                'this server lets everybody in: make one with user="…" for users'
            )
        return Users(gateway, v2=v2)
