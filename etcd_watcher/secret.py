"""Text that is used and never shown: passwords, tokens, and URLs that may hold them.

A traceback that shows variables (IPython's verbose mode, pytest's --showlocals, a crash reporter)
shows them by their repr. So what is secret has another one.
"""

from __future__ import annotations

from typing import TypeVar

__all__ = ["Secret", "SecretBytes", "conceal"]

T = TypeVar("T")


class Secret(str):
    """A text whose repr does not tell it.

    What is made of it (a part, a join, a format) is ordinary text again.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class SecretBytes(bytes):
    """Bytes whose repr does not tell them; what is made of them is ordinary again."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'…'"


def conceal(given: T) -> T:
    """Give the same with each text in it a `Secret`: a text, or a list or tuple of some.

    Anything else comes back as it is.
    """
    if isinstance(given, str):
        return Secret(given)  # type: ignore[return-value] # a str for a str
    if isinstance(given, list | tuple):
        return [conceal(each) for each in given]  # type: ignore[return-value] # a list will do
    return given
