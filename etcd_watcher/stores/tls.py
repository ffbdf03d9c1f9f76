"""TLS for both APIs: whom we trust, what we show, and what it means when the two do not fit."""

from __future__ import annotations

import ssl

from etcd_watcher.endpoints import Credentials

__all__ = ["explain", "refusal", "tls_context"]

EXPIRED, NOT_YET = 10, 9
UNKNOWN_ISSUER = {18, 19, 20, 21}
"""OpenSSL's codes (`X509_V_ERR_…`) of certificates that nobody known has signed."""

REFUSALS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""What is in the names of the alerts by which a server says that it does not let us in."""

NO_PROTOCOL = "no application protocol"
"""How a server says that it speaks none of what we have offered it (RFC 7301)."""


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """Verify the server, by our own authority where there is one, and show our certificate.

    Raises
    ------
    ValueError
        For a file that holds no usable certificate or key.
    """
    context = ssl.create_default_context()
    if credentials.ca_cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(credentials.ca_cert)
        except OSError as error:
            raise ValueError(
                f"ca_cert={credentials.ca_cert!r} holds no certificate in PEM form: {error}"
            ) from error
    if credentials.cert is not None:
        try:
            # No password: asked for one, OpenSSL would read it from the terminal and wait.
            context.load_cert_chain(credentials.cert, credentials.key, password=lambda: b"")
        except OSError as error:
            if "KEY_VALUES_MISMATCH" in _words(error):
                raise ValueError(
                    f"key={credentials.key!r} belongs to another certificate than "
                    f"cert={credentials.cert!r}: give the two that were made together"
                ) from error
            raise ValueError(
                f"cert={credentials.cert!r} and its key are no certificate and its own key in PEM "
                f"form, without a password: {_words(error)}"
            ) from error
    return context


def explain(error: OSError) -> str:
    """Say what went wrong with TLS, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error.verify_code, error.verify_message)
    words = _words(error)
    advice = "if it does not speak TLS, use http://"
    if NO_PROTOCOL in words.lower().replace("_", " "):
        advice = "it does not take HTTP/2, which a proxy or a load balancer has to be told to do"
    return refusal(error) or f"no TLS handshake ({words}): {advice}"


def refusal(error: OSError) -> str | None:
    """Say what to do where the server does not let us in; None where it is not that.

    With TLS 1.3 it says so only after the handshake.
    """
    words = _words(error)
    if isinstance(error, ssl.SSLError) and any(each in words for each in REFUSALS):
        return (
            f"it does not let us in for want of a client certificate that it trusts ({words}): "
            "give cert= and key= of one that it does"
        )
    return None


def _explain_certificate(code: int, message: str) -> str:
    if code == EXPIRED:
        return "its certificate has expired: whoever runs the server has to renew it"
    if code == NOT_YET:
        return "its certificate is not valid yet: is the clock of this machine right?"
    if code in UNKNOWN_ISSUER:
        return (
            f"its certificate is not to be trusted ({message}): give ca_cert=, the certificate of "
            "the authority that has signed it"
        )
    return f"its certificate is not to be trusted: {message.rstrip('.')}"


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return error.strerror or str(error)
