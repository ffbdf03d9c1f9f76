"""Why a server cannot be talked to over gRPC, found out by a connection of our own.

A failed connection tells less: a server that speaks TLS where we do not just closes it.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from urllib.parse import urlsplit

from etcd_watcher.endpoints import Credentials
from etcd_watcher.stores.tls import explain, tls_context

__all__ = ["diagnose"]

ALERT_PATIENCE = 0.3
"""Seconds for a server's last word on our certificate: with TLS 1.3 it comes after the handshake."""

SHORTEST = 0.05
"""Seconds that a step gets even if time is up."""


def diagnose(endpoint: str, credentials: Credentials, timeout: float) -> str | None:
    """Look for what keeps us from talking to an endpoint, directly, within `timeout` seconds.

    None where nothing was found.
    """
    until = time.monotonic() + timeout
    url = urlsplit(endpoint)
    host, port = url.hostname or "", url.port or 0
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return f"host {host} not found: {error}"
    trouble = None
    for *_, address in found:
        trouble = _try(endpoint, (str(address[0]), port), credentials, until)
        if trouble is None:
            return None
    return trouble


def _try(
    endpoint: str, address: tuple[str, int], credentials: Credentials, until: float
) -> str | None:
    try:
        connection = socket.create_connection(address, _left(until))
    except TimeoutError:
        return "no answer to connecting"
    except OSError as error:
        return error.strerror or str(error)
    url = urlsplit(endpoint)
    with connection:
        if url.scheme == "https":
            return _shake_hands(connection, url.hostname or "", credentials, address, until)
    # Nothing came of it: is it for want of TLS?
    if _speaks_tls(address, until):
        return "it speaks TLS: use https://"
    return None


def _shake_hands(
    connection: socket.socket,
    host: str,
    credentials: Credentials,
    address: tuple[str, int],
    until: float,
) -> str | None:
    try:
        with tls_context(credentials).wrap_socket(connection, server_hostname=host) as secure:
            secure.settimeout(min(ALERT_PATIENCE, _left(until)))
            with suppress(TimeoutError):
                secure.recv(1)
    except TimeoutError:
        return "no answer to the TLS handshake"
    except ssl.SSLCertVerificationError as error:
        return explain(error)
    except OSError as error:
        if _speaks_http(address, until):
            return "it does not speak TLS: use http://"
        return explain(error)
    return None


def _speaks_tls(address: tuple[str, int], until: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent to whom we find: we only look whether there is TLS at all.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(address, _left(until)) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # somebody answered in TLS, if only to refuse
    except OSError:
        return False


def _speaks_http(address: tuple[str, int], until: float) -> bool:
    try:
        with socket.create_connection(address, _left(until)) as connection:
            connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _left(until: float) -> float:
    return max(SHORTEST, until - time.monotonic())
