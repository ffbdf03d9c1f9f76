"""What the command takes: names and environment variables as of etcdctl."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite
from typing import Any, NoReturn

from etcd_watcher.cli.port import HIGHEST

__all__ = ["parse"]

APIS = ("auto", "v2", "v3")

EXAMPLES = """\
examples:
  etcd-watcher watch nokia                   print each change of one key
  etcd-watcher watch --prefix /jobs/         … of all keys that start with /jobs/
  etcd-watcher watch --prefix '' | jq .key   JSON lines, as always behind a pipe
  etcd-watcher record day.jsonl --prefix ''  keep it all in a file
  etcd-watcher replay day.jsonl              … and print it, without a server
  etcd-watcher dashboard --prefix /jobs/     the dashboard, in a browser
  etcd-watcher lab day.ipynb                 JupyterLab
  etcd-watcher COMMAND --help                what a command takes, with examples
"""

WATCH_EXAMPLES = """\
examples:
  etcd-watcher watch nokia redhat
  etcd-watcher watch --prefix /jobs/ --since 1200
  etcd-watcher watch --prefix '' --json > changes.jsonl
  etcd-watcher watch --prefix / | head -5

Each change is one line. On a terminal: its revision, PUT, DELETE, EXPIRE or GAP, the key and the
new value; control characters are shown as escapes. Elsewhere, and with --json: a JSON object, as in
a recording.
"""

RECORD_EXAMPLES = """\
examples:
  etcd-watcher record lesson.jsonl --prefix /jobs/
  etcd-watcher record changes.jsonl '' --prefix & sleep 60; kill $!

The file is JSON lines, only ever added to; what is in it stays readable whatever happens to this
program. What was in the keys is in the file: if those are secrets, it is one.
"""

REPLAY_EXAMPLES = """\
examples:
  etcd-watcher replay lesson.jsonl
  etcd-watcher replay lesson.jsonl --speed 10 --prefix /jobs/
  etcd-watcher replay lesson.jsonl --speed max --json | jq -r .key | sort | uniq -c
"""

LAB_EXAMPLES = """\
examples:
  etcd-watcher lab                           JupyterLab in this folder
  etcd-watcher lab day.ipynb                 … with this notebook; a new one shows the dashboard
  etcd-watcher lab --endpoints http://etcd-1:2379 --user ana

In its notebooks, Watcher() is the server that the options below name. Needs the extra lab.
"""

DASHBOARD_EXAMPLES = """\
examples:
  etcd-watcher dashboard                     choose the keys in the page
  etcd-watcher dashboard --prefix /jobs/     … or begin with these
  etcd-watcher dashboard --read-only --no-browser --port 8866

Each page that is opened has a watcher of its own. It is served on this machine alone, to whoever has
the address that is printed. Needs the extra dashboard.
"""

SERVER = """\
Without these options the environment's ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT,
ETCDCTL_KEY, ETCDCTL_USER and ETCDCTL_PASSWORD hold, as for etcdctl, then http://127.0.0.1:2379.
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Give what the arguments mean; end the program where that is help, or nothing."""
    parser, commands = _parsers(os.environ)
    if arguments and arguments[0] in commands:
        # Keys may stand before, between and behind options.
        return commands[arguments[0]].parse_intermixed_args(arguments[1:])
    return parser.parse_args(arguments)


def _parsers(
    environ: Mapping[str, str],
) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Make the parser of the whole command, and those of its parts."""
    parser = argparse.ArgumentParser(
        prog="etcd-watcher",
        description="See what changes in an etcd cluster.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    server, output = _server(environ), _output()
    watch = commands.add_parser(
        "watch",
        parents=[_keys(), _since(), output, server],
        help="print each change of some keys",
        description="Print each change of some keys, once and in order, until you interrupt it.",
        epilog=WATCH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    watch.set_defaults(run="etcd_watcher.cli.watch")
    file = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    file.add_argument("file", metavar="FILE", help="the recording, such as lesson.jsonl")
    record = commands.add_parser(
        "record",
        parents=[file, _keys(), server],
        help="keep each change of some keys in a file",
        description="Keep each change of some keys in a file, until you interrupt it. A recording "
        "that is there is continued.",
        epilog=RECORD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    record.add_argument("--overwrite", action="store_true", help="begin the file anew")
    record.set_defaults(run="etcd_watcher.cli.record")
    replay = commands.add_parser(
        "replay",
        parents=[file, _keys(nargs="*"), output],
        help="print a recording as it was recorded",
        description="Print what is in a recording, at the pace at which it was recorded. No server "
        "is needed.",
        epilog=REPLAY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    replay.add_argument(
        "--speed",
        metavar="TIMES",
        type=_speed,
        default=1.0,
        help="so many times as fast, or max: all at once (default: 1)",
    )
    replay.set_defaults(run="etcd_watcher.cli.replay")
    serving = _serving()
    lab = commands.add_parser(
        "lab",
        parents=[serving, server],
        help="open JupyterLab, for this server",
        description="Open JupyterLab in this folder, until you interrupt it.",
        epilog=LAB_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    lab.add_argument("notebook", metavar="NOTEBOOK", nargs="?", help="open this one, or make it")
    lab.set_defaults(run="etcd_watcher.cli.lab")
    dashboard = commands.add_parser(
        "dashboard",
        parents=[_keys(nargs="*"), serving, server],
        help="open the dashboard in a browser",
        description="Open the dashboard as a page of its own, until you interrupt it.",
        epilog=DASHBOARD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    writing = dashboard.add_mutually_exclusive_group()
    writing.add_argument(
        "--read-only",
        action="store_const",
        const=True,
        help="write nothing (the default unless every endpoint is on this machine)",
    )
    writing.add_argument(
        "--writable",
        action="store_const",
        const=False,
        dest="read_only",
        help="let keys be written, wherever the server is",
    )
    dashboard.set_defaults(run="etcd_watcher.cli.dashboard")
    return parser, commands.choices


class _Version(argparse.Action):
    """As argparse's own, which would look it up each time: 20 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str, **given: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **given)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415 - see above

        print(version("etcd-watcher"))  # noqa: T201 - what was asked for
        parser.exit()


def _since() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parent.add_argument(
        "--since",
        "--rev",
        metavar="REVISION",
        type=_whole("revision: a whole number from 1 on", 1),
        help="begin with the changes of this revision, instead of now",
    )
    return parent


def _keys(nargs: str = "+") -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parent.add_argument("key", metavar="KEY", nargs=nargs, type=os.fsencode, help="a key of etcd")
    parent.add_argument(
        "--prefix", action="store_true", help="all that starts with KEY ('' for all keys)"
    )
    return parent


def _serving() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parent.add_argument(
        "--port",
        type=_whole(
            f"port: a whole number from 1 to {HIGHEST}, or 0 for any that is free", 0, HIGHEST
        ),
        metavar="PORT",
        help="serve on this port, or the next one that is free; 0 for any",
    )
    parent.add_argument(
        "--no-browser",
        action="store_false",
        dest="browser",
        help="open no browser: the address is printed",
    )
    return parent


def _output() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    kind = parent.add_mutually_exclusive_group()
    kind.add_argument(
        "--json",
        action="store_const",
        const=True,
        help="print JSON lines (the default where the output is no terminal)",
    )
    kind.add_argument(
        "--text",
        action="store_const",
        const=False,
        dest="json",
        help="print lines for people (the default on a terminal)",
    )
    parent.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="when to use colours (default: auto, on a terminal unless NO_COLOR is set)",
    )
    return parent


def _server(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    server = parent.add_argument_group("server", SERVER)
    server.add_argument("--endpoints", metavar="URLS", help="the cluster's URLs, with commas")
    server.add_argument("--cacert", metavar="FILE", help="the authority of the servers (PEM)")
    server.add_argument("--cert", metavar="FILE", help="our certificate (PEM)")
    server.add_argument("--key", metavar="FILE", dest="key_file", help="our certificate's key")
    server.add_argument(
        "--user", metavar="USER[:PASSWORD]", help="a user of etcd; without a password it is asked"
    )
    server.add_argument(
        "--password",
        metavar="PASSWORD",
        help="the user's password (others on this machine can see it; better ETCDCTL_PASSWORD)",
    )
    server.add_argument(
        "--api",
        metavar="{auto,v2,v3}",
        type=_api,
        # argparse checks a default that is a text as it checks what was given.
        default=environ.get("ETCDCTL_API") or "auto",
        help="which API of etcd to use (default: ETCDCTL_API, else v2 where it is served, else v3)",
    )
    return parent


def _speed(text: str) -> float:
    if text == "max":
        return inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (isfinite(speed) and speed > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no speed: a number above 0 (1 is the pace of the recording), or max"
        )
    return speed


def _api(text: str) -> str:
    api = {"2": "v2", "3": "v3"}.get(text, text)
    if api not in APIS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no API of etcd: {', '.join(APIS)}; in ETCDCTL_API 2 or 3"
        )
    return api


def _whole(wanted: str, least: int, most: float = inf) -> Callable[[str], int]:
    """Give what reads a whole number, and says what was wanted where it is none of those."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no {wanted}")
        return number

    return read
