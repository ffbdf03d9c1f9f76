"""The owner's side of `proxy.py`: the links of a cluster, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from etcd_watcher.local.companion import Companion
from etcd_watcher.local.ports import free_ports

__all__ = ["CLIENT", "Link", "Network"]

CLIENT = "client"
"""The name of the end of a link that is no member: everybody who is not."""

CANDIDATES = 20
"""Ports that the proxy may choose from: others may take some between our look and its bind."""


@dataclass(frozen=True, slots=True)
class Link:
    """What is wrong with one direction of the way between two names; nothing as it is made."""

    cut: bool = False
    delay: float = 0.0
    reset: bool = False


class Network:
    """Ports for clients and peers of members, and the links behind them. For one thread at a time.

    All links are whole until `set` says otherwise.
    """

    def __init__(self) -> None:
        self._proxy = Companion(
            "proxy.py",
            "the process that is the cluster's network is gone, and with it every connection: "
            "make a new LocalCluster()",
        )
        self._links: dict[tuple[str, str], Link] = {}

    def start(self, environment: Mapping[str, str]) -> None:
        """Start the proxy. OSError: it cannot be run."""
        self._proxy.start(environment=environment)

    def end(self) -> None:
        """End the proxy, from any thread or a finalizer, any number of times."""
        if not self._proxy.is_foreign:
            self._proxy.let_go()

    def listen(self, member: str, kind: str) -> int:
        """Give the port on which the "client" or the "peer" links of a member arrive from now on."""
        ports = list(free_ports(CANDIDATES))
        port: int = self._proxy.ask("listen", member=member, kind=kind, ports=ports)["port"]
        return port

    def lead_to(self, member: str, client: int, peer: int) -> None:
        """Have the links of a member end at its own two ports."""
        self._proxy.ask("target", member=member, kind="client", port=client)
        self._proxy.ask("target", member=member, kind="peer", port=peer)

    def introduce(self, ids: Mapping[str, int]) -> None:
        """Tell which id each member has, by which its peers' connections are known."""
        self._proxy.ask("names", names={f"{number:x}": name for name, number in ids.items()})

    def link(self, source: str, target: str) -> Link:
        """Give the state of one direction."""
        return self._links.get((source, target), Link())

    def is_open(self, one: str, other: str) -> bool:
        """Tell whether anything passes between two ends, in both directions."""
        links = self.link(one, other), self.link(other, one)
        return not any(link.cut or link.reset for link in links)

    def is_whole_between(self, names: Iterable[str]) -> bool:
        """Tell whether nothing is wrong between any two of these."""
        among = set(names)
        return not any(among.issuperset(way) for way in self._links)

    def set(self, ways: Iterable[tuple[str, str]], link: Link) -> None:
        """Put some directions into one state; returns when it is so."""
        for way in ways:
            self._links[way] = link
        self._tell()

    def mend(self) -> None:
        """Make all links whole."""
        self._links.clear()
        self._tell()

    def _tell(self) -> None:
        self._links = {way: link for way, link in self._links.items() if link != Link()}
        links = [[*way, asdict(link)] for way, link in self._links.items()]
        self._proxy.ask("links", links=links)
