"""A certificate authority of our own, and what it signs, for servers that live for minutes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

from etcd_watcher.errors import EtcdWatcherError

__all__ = ["Certificates", "make_signing_keys", "write_secret"]

HOSTS = ("127.0.0.1", "localhost", "::1")


class Certificates:
    """A private authority, a certificate for a server and one for a client, each with its key.

    Made anew each time and known to nobody else, so that they are of no use for anything but a
    test. `LocalEtcd(tls=True)` makes its own; make some yourself to have bad ones.

    Parameters
    ----------
    hosts : iterable of str
        The names and addresses that the server's certificate is for.
    days, client_days : float
        For how long the server's and the client's are valid from now on. Negative: expired so many
        days ago.
    user : str, optional
        The common name in the client's certificate. With `client_cert=True`, an etcd with users
        takes whoever shows it for the user of that name.

    Raises
    ------
    EtcdWatcherError
        The package trustme is missing: it is in the extra `local`.

    Examples
    --------
    >>> with LocalEtcd(tls=Certificates(days=-1)) as etcd:
    ...     Watcher(etcd)
    Traceback (most recent call last):
    etcd_watcher.errors.ConnectionFailed: …the server's certificate has expired…
    """

    def __init__(
        self,
        hosts: Iterable[str] = HOSTS,
        *,
        days: float = 30,
        client_days: float = 30,
        user: str | None = None,
    ) -> None:
        try:
            import trustme  # noqa: PLC0415 - 70 ms, and only for who wants TLS
        except ImportError as error:
            raise EtcdWatcherError(
                "certificates are made by the package trustme, which is missing: "
                "pip install etcd-watcher[local]"
            ) from error
        authority = trustme.CA()
        client = "client.etcd-watcher.invalid"
        signed = {
            "server": authority.issue_cert(*hosts, **_validity(days)),
            "client": authority.issue_cert(client, common_name=user, **_validity(client_days)),
            # With which `LocalEtcd` itself asks its server, however bad the others are; without a
            # common name, because etcd's JSON gateway refuses one.
            "own": authority.issue_cert(client, **_validity(30)),
        }
        self._contents = {"ca.pem": authority.cert_pem.bytes()}
        for name, made in signed.items():
            self._contents[f"{name}.pem"] = made.cert_chain_pems[0].bytes()
            self._contents[f"{name}.key"] = made.private_key_pem.bytes()

    def __repr__(self) -> str:
        return "Certificates()"  # the default one shows an address, which differs from run to run

    def write(self, directory: Path) -> None:
        """Write ca.pem, and server, client and own, each .pem and .key, into a directory."""
        for name, content in self._contents.items():
            write_secret(directory / name, content)


class _Validity(TypedDict):
    not_before: datetime
    not_after: datetime


def _validity(days: float) -> _Validity:
    now = datetime.now(UTC)
    until = now + timedelta(days=days)
    return {"not_before": min(now, until) - timedelta(days=1), "not_after": until}


def make_signing_keys() -> tuple[bytes, bytes]:
    """Make a pair of keys for signing tokens, the public and the private one."""
    # What trustme stands on, so that who has the one has the other.
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    private = ec.generate_private_key(ec.SECP256R1())
    return (
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
