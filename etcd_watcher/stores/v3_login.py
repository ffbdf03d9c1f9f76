"""The login of an etcd v3 user: one token for all connections of a store."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["LOGIN_OVER", "LOGIN_TRIES", "Login", "is_old_token"]

LOGIN_TRIES = 4
"""How often a request is made at once that is refused for want of a new login. etcd 3.4 cuts the end
of a JSON web token down to a whole second, so that one of 1 s may be over when it arrives."""

LOGIN_OVER = "the login was over before it could be used"
"""What we say where no try helped: a failure of the connection, which is tried again later, since
the way to the server may be slower than the login lasts."""

OLD_TOKEN = ("invalid auth token", "auth store is old", "revision in header is old")
"""What servers say of a token that has expired, that was given out before their restart, or, if it
is a JSON web token, before any change of users and roles. The last is 3.5.1's wording."""


def is_old_token(told: str) -> bool:
    """Tell whether what a server says is a reason to log in anew."""
    return any(each in told for each in OLD_TOKEN)


class Login:
    """Gives our user's token, and gets it where there is none. For any thread.

    Parameters
    ----------
    user : str or None
        None: nobody, who has no token.
    """

    def __init__(self, user: str | None) -> None:
        self._user = user
        self._state = threading.Condition()
        """Guards all below; notified whenever a login ends."""
        self._token: str | None = None
        self._asked: set[str] = set()
        """The endpoints that somebody is logging in at: one login for all who wait there is enough,
        since the server's check of a password is slow on purpose. At another endpoint nobody waits
        for it: this one may be silent."""

    def token(self, endpoint: str, log_in: Callable[[], str], timeout: float) -> str | None:
        """Give the token, from a login at an endpoint if need be; None for nobody.

        Raises
        ------
        TimeoutError
            Another thread's login there is not done within `timeout` seconds. And what `log_in`
            raises.
        """
        if self._user is None:
            return None
        with self._state:
            if not self._state.wait_for(lambda: self._can_go_on(endpoint), timeout):
                raise TimeoutError("no answer to the login in time")
            if self._token is not None:
                return self._token
            self._asked.add(endpoint)
        token = None
        try:
            token = log_in()
        finally:
            with self._state:
                self._asked.discard(endpoint)
                self._token = token or self._token
                self._state.notify_all()
        return token

    def _can_go_on(self, endpoint: str) -> bool:
        return self._token is not None or endpoint not in self._asked

    def forget(self, token: str | None) -> None:
        """Log in anew next time, unless somebody has done so since this token."""
        with self._state:
            if self._token == token:
                self._token = None
