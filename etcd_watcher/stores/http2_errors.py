"""What the system says of a connection, in plain words."""

from __future__ import annotations

import ssl

from etcd_watcher.stores.tls import explain, refusal

__all__ = ["of_connecting", "of_connection"]


def of_connecting(error: OSError) -> str:
    """Say why there is no way to a server."""
    if isinstance(error, ssl.SSLError):
        return explain(error)
    if isinstance(error, TimeoutError):
        return str(error) or "no answer to connecting"
    return (error.strerror or str(error)).lower()


def of_connection(error: OSError) -> str:
    """Say why a connection is over."""
    if error.errno is None and not isinstance(error, ssl.SSLError):
        return str(error)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was reset"
    return refusal(error) or str(error.strerror or error).lower()
