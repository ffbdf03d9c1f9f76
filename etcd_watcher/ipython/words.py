"""What is written behind the magics: words, taken apart as on a command line."""

from __future__ import annotations

import argparse
import shlex
from typing import NoReturn

from etcd_watcher.errors import EtcdWatcherError

__all__ = ["ON_CHANGE_HINT", "USAGE", "Misused", "etcd_words", "on_change_words", "understand"]

USAGE = """\
%etcd connect [URL…] [--api v2|v3]   make a Watcher, which the magics then use
%etcd put KEY VALUE [--ttl SECONDS]  write a key (quote what has spaces)
%etcd get KEY                        read it
%etcd del KEY [--prefix]             delete it, or all that starts so
%etcd ls [BEGINNING] [--limit 100]   list the keys that there are
%etcd watch KEY… [--prefix]          watch keys, and show what happens in a live table
%etcd journal [--last 20] [--stable] what has happened, as a table"""

ETCD_HINT = "%etcd help tells what there is"
ON_CHANGE_HINT = "it is %%on_change KEY… [--prefix] above a cell, or %on_change --stop [KEY…]"


class Misused(EtcdWatcherError, ValueError):
    """A magic was written in a way that cannot be meant."""


class _Parser(argparse.ArgumentParser):
    """Raises, where argparse would end the program."""

    hint = ""
    """Where to read what can be said."""

    def error(self, message: str) -> NoReturn:
        raise Misused(f"{message}; {self.hint}")


def understand(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    """Take a line apart.

    Raises
    ------
    Misused
        It cannot be meant; the message says what can.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise Misused(f"{error} in: {line}") from None
    return parser.parse_args(words)


def etcd_words() -> argparse.ArgumentParser:
    """Give the parser of what stands behind `%etcd`."""
    parser = _Parser(prog="%etcd", add_help=False, allow_abbrev=False)
    parser.hint = ETCD_HINT
    commands = parser.add_subparsers(dest="command", parser_class=_Command)
    connect = commands.add_parser("connect")
    connect.add_argument("urls", nargs="*")
    connect.add_argument("--api", choices=("auto", "v2", "v3"), default="auto")
    put = commands.add_parser("put")
    put.add_argument("key")
    put.add_argument("value")
    put.add_argument("--ttl", type=int)
    get = commands.add_parser("get")
    get.add_argument("key")
    delete = commands.add_parser("del", aliases=["delete"])
    delete.add_argument("key")
    delete.add_argument("--prefix", action="store_true")
    ls = commands.add_parser("ls")
    ls.add_argument("beginning", nargs="?", default="")
    ls.add_argument("--limit", type=int, default=100)
    watch = commands.add_parser("watch")
    watch.add_argument("keys", nargs="+")
    watch.add_argument("--prefix", action="store_true")
    journal = commands.add_parser("journal")
    journal.add_argument("--last", type=int, default=20)
    journal.add_argument("--stable", action="store_true")
    commands.add_parser("help")
    return parser


class _Command(_Parser):
    """One command behind `%etcd`."""

    hint = ETCD_HINT

    def __init__(self, *arguments: str, **given: object) -> None:
        super().__init__(*arguments, **(given | {"add_help": False, "allow_abbrev": False}))  # type: ignore[arg-type]  # argparse hands on what it was given


def on_change_words() -> argparse.ArgumentParser:
    """Give the parser of what stands behind `%%on_change`."""
    parser = _Parser(prog="%%on_change", add_help=False, allow_abbrev=False)
    parser.hint = ON_CHANGE_HINT
    parser.add_argument("keys", nargs="*")
    parser.add_argument("--prefix", action="store_true")
    parser.add_argument("--stop", action="store_true")
    return parser
