"""`CallbackBoard`: a card for each subscriber, with all that its callbacks print, show and raise."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from traitlets import Int, Unicode

from etcd_watcher._html import card_html
from etcd_watcher.keys import to_bytes
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Delivery, WatchedKey, identity, recurring_name
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.names import name_of_callback, name_of_subscriber
from etcd_watcher.widgets.output_routing import router
from etcd_watcher.widgets.output_tail import Output, OutputTail
from etcd_watcher.widgets.shown_text import cell, escaped_text

__all__ = ["CallbackBoard"]

SHOWN_CARDS = 24
"""Cards in the page at one time; the others are found by name."""

KEPT_CARDS = 500
"""Cards of those who are not subscribed any more, before the oldest are forgotten."""

COUNT_EVERY = 0.2
"""Seconds between two looks at the counters: each takes the lock that the feed needs."""

BYTES_A_SECOND = 200_000
"""What the outputs of all cards may send, so that the page can draw it: see `output_tail.TEXT`.
Jupyter's server drops all messages past 1 MB/s."""

BURST = 1_200_000
"""What they may send at one time, having been still before: the largest output, and a bit."""


@dataclass(slots=True, eq=False)
class Card:
    """What is known of one subscriber."""

    number: int
    who: Any
    tail: OutputTail
    keys: list[str] = field(default_factory=list)
    collapsed: bool = False
    counts: Delivery = field(default_factory=Delivery)
    """Of its deliveries, as its mailbox goes on counting them."""
    told: Message = field(default_factory=dict)
    """What the page was told of it last, but for its output."""


class CallbackBoard(LiveWidget):
    r"""Shows, in a card for each subscriber, what its callbacks print, display and raise.

    While it is open, that output comes here and nowhere else, whatever thread the callback runs
    on and whatever cell is running. The cards hold the last of it, and say how much came before.

    Parameters
    ----------
    watcher : Watcher
    lines : int
        Lines of text that a card keeps.
    outputs : int
        Plots, tables and errors that a card keeps, of 1 MB each at the most.
    save_state : bool
        As for all widgets: let a saved notebook hold the text of the cards.

    Examples
    --------
    >>> board = CallbackBoard(watcher)
    >>> board
    >>> watcher.put("nokia", "hello")
    >>> watcher.sync()
    >>> board.text(luis)
    'Luis: nokia = hello\n'
    """

    _esm: Any = Unicode(script("callback_board")).tag(sync=True)
    _css: Any = Unicode(styles("callback_board")).tag(sync=True)

    lines = Int(200, min=1, max=10_000).tag(setting=True)
    outputs = Int(10, min=1, max=100).tag(setting=True)

    def _start(self) -> None:
        self._cards_lock = threading.RLock()
        """Guards the next three: callbacks ask for their cards from threads of their own."""
        self._cards: dict[int, Card] = {}
        self._by_who: dict[Hashable, Card] = {}
        self._by_mailbox: weakref.WeakKeyDictionary[Mailbox, Card] = weakref.WeakKeyDictionary()
        self._made = 0
        self._watched: tuple[WatchedKey, ...] = ()
        self._find = ""
        self._shown: list[int] = []
        self._counted = 0.0
        self._now = 0.0
        self._credit = float(BURST)
        self._next = 0
        """Where to go on, when not all cards' output could be sent."""
        self._look_at_subscribers()
        router.open(self)

    def close(self) -> None:
        """Show nothing any more; callbacks print as they did without it. Idempotent."""
        router.close(self)
        super().close()

    # For people and tests.

    def text(self, who: object) -> str:
        """Give the text of a subscriber's card; "" where there is none."""
        card = self._find_card(who)
        return "" if card is None else card.tail.text()

    def outputs_of(self, who: object) -> list[Output]:
        """Give what is in a subscriber's card, in the notebook's own format."""
        card = self._find_card(who)
        return [] if card is None else card.tail.outputs()

    def clear(self, who: object = None) -> None:
        """Empty a subscriber's card, or all of them; those not subscribed any more go."""
        self._look_at_subscribers()
        with self._cards_lock:
            cards = [self._find_card(who)] if who is not None else list(self._cards.values())
            for card in cards:
                if card is None:
                    continue
                card.tail.clear()
                if not card.keys:
                    self._drop(card)
        self._redraw()

    # Which cards there are.

    def tail_of(self, mailbox: Mailbox) -> OutputTail | None:
        """See `output_routing.Audience`."""
        if mailbox.journal is not self.watcher.journal:
            return None
        self._look_at_subscribers()
        with self._cards_lock:
            card = self._by_mailbox.get(mailbox) or self._card(mailbox.who)
            self._by_mailbox[mailbox] = card
            card.counts = mailbox.delivery
            if card.who is not mailbox.who:
                self._rename(card, mailbox.who)
            return card.tail

    def _find_card(self, who: object) -> Card | None:
        with self._cards_lock:
            card = self._by_who.get(identity(who))
            if card is None:  # the same again, made by a cell that was run again
                name = recurring_name(who)
                same = [each for each in self._cards.values() if recurring_name(each.who) == name]
                card = same[-1] if name is not None and same else None
            return card

    def _card(self, who: object) -> Card:
        card = self._by_who.get(identity(who))
        if card is None:
            self._made += 1
            card = Card(self._made, who, OutputTail(self.lines, self.outputs))
            self._cards[card.number] = card
            self._by_who[identity(who)] = card
        return card

    def _rename(self, card: Card, who: object) -> None:
        """Have a card for the one who took the place of another: a cell was run again."""
        other = self._by_who.get(identity(who))
        if other is not None and other is not card:
            self._drop(other)
        self._by_who.pop(identity(card.who), None)
        card.who = who
        self._by_who[identity(who)] = card

    def _drop(self, card: Card) -> None:
        del self._cards[card.number]
        self._by_who.pop(identity(card.who), None)

    def _look_at_subscribers(self) -> bool:
        """Take up who is subscribed; tell whether that has changed."""
        watched = self.watcher.watched_keys
        if watched is self._watched and self._watched:
            return False
        self._watched = watched
        keys: dict[Hashable, tuple[Any, list[str]]] = {}
        for each in watched:
            for interest in each.interests:
                shown = cell(to_bytes(each.key), 60) + ("…" if each.prefix else "")
                what = name_of_callback(interest.what)
                keys.setdefault(identity(interest.who), (interest.who, []))[1].append(
                    f"{shown} → {what}"
                )
        with self._cards_lock:
            for who, _ in keys.values():
                known = self._find_card(who)
                if known is not None and identity(known.who) not in keys:
                    self._rename(known, who)
                else:
                    self._card(who)
            for card in list(self._cards.values()):
                card.keys = keys.get(identity(card.who), (None, []))[1]
            gone = [each for each in self._cards.values() if not each.keys]
            for card in gone[:-KEPT_CARDS]:
                self._drop(card)
            for card in gone:
                if not card.tail.outputs() and card.number in self._cards:
                    self._drop(card)
        return True

    # Drawing.

    def _draw(self, now: float) -> None:
        self._credit = min(float(BURST), self._credit + BYTES_A_SECOND * (now - self._now))
        self._now = now
        super()._draw(now)

    def _delta(self) -> Message | None:
        changed = self._look_at_subscribers()
        if not changed and self._now - self._counted < COUNT_EVERY:
            return self._with_news({})
        self._counted = self._now
        shown = self._cards_to_show()
        cards = []
        for card in shown:
            told = self._describe(card)
            if told != card.told:
                card.told = told
                cards.append(told)
        message: Message = {"cards": cards} if cards else {}
        order = [card.number for card in shown]
        if order != self._shown:
            for card in shown:
                if card.number not in self._shown:
                    card.tail.tell_all()
            self._shown = order
            message |= {"order": order, "all": len(self._cards)}
        return self._with_news(message)

    def _whole(self) -> Message:
        shown = self._cards_to_show()
        self._shown = [card.number for card in shown]
        for card in shown:
            card.told = self._describe(card)
            card.tail.tell_all()  # it follows, a part at each drawing
        return {
            "cards": [card.told for card in shown],
            "order": self._shown,
            "all": len(self._cards),
            "find": escaped_text(self._find),
            "lines": self.lines,
            "outputs": self.outputs,
        }

    def _repetition(self) -> Message:
        # The page asks for all where it stands elsewhere: outputs are large, and drawing them anew
        # takes away what a person has selected in them.
        return {"kind": "still", "number": self._number}

    def _cards_to_show(self) -> list[Card]:
        with self._cards_lock:
            cards = list(self._cards.values())
        wanted = self._find.casefold()
        found = [each for each in cards if wanted in name_of_subscriber(each.who).casefold()]
        return found[:SHOWN_CARDS]

    def _describe(self, card: Card) -> Message:
        try:
            delivery = self.watcher.delivery(card.who)
        except ValueError:  # it has left: what it was told stays true
            delivery = replace(card.counts, lagging=0)
        return {
            "number": card.number,
            "name": name_of_subscriber(card.who),
            "keys": card.keys[:5],
            "more_keys": max(0, len(card.keys) - 5),
            "delivered": delivery.delivered,
            "failed": delivery.failed,
            "lagging": delivery.lagging,
            "collapsed": card.collapsed,
            "lines_left_out": card.tail.lines_left_out,
            "outputs_left_out": card.tail.rich_left_out,
        }

    def _with_news(self, message: Message) -> Message | None:
        """Add the output that is new, as much as may be sent now; the cards take turns."""
        news = []
        order = self._shown[self._next :] + self._shown[: self._next]
        self._next = 0
        for number in order:
            if self._credit <= 0:
                self._next = self._shown.index(number)
                break
            card = self._cards.get(number)
            told = None if card is None or card.collapsed else card.tail.news()
            if told is not None:
                news.append([number, *told])
                self._credit -= sum(_size(each) for each in told[1])
        if news:
            message["news"] = news
        return message or None

    # What the page asks.

    def _heard(self, message: Message) -> None:
        find = message.get("find")
        if isinstance(find, str):
            self._find = find[:200]
            self._counted = 0.0
        if message.get("clear") == "all":
            self.clear()
        with self._cards_lock:
            card = self._cards.get(message.get("card", 0))
        if card is None:
            return
        if message.get("clear") is True:
            self.clear(card.who)
        if isinstance(message.get("collapsed"), bool):
            card.collapsed = message["collapsed"]
            card.tail.tell_all()
            self._counted = 0.0

    def _saved_html(self) -> str:
        with self._cards_lock:
            cards = list(self._cards.values())
        rows = [
            (name_of_subscriber(card.who), f"<pre>{escape(card.tail.text()[-5000:])}</pre>")
            for card in cards
        ]
        return card_html("CallbackBoard", rows)


def _size(output: Output) -> int:
    """Give about how many bytes an output takes on the way."""
    if output["output_type"] == "stream":
        return len(output["text"]) + 80
    return len(str(output.get("data") or output.get("traceback"))) + 80
