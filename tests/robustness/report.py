"""The table of a run, and the evidence of what went wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.table import text_table
from tests.robustness.audience import Audience
from tests.robustness.episode import Outcome, Plan
from tests.robustness.judge import Findings

__all__ = ["keep_evidence", "table"]

ROWS = (
    ("writes acknowledged", "writes"),
    ("writes without an answer", "unanswered"),
    ("streams checked", "streams"),
    ("events delivered", "delivered"),
    ("… of them synthetic", "synthetic"),
    ("lost", "lost"),
    ("duplicated", "duplicated"),
    ("out of order", "disordered"),
    ("other violations", "wrong"),
    ("let pass, as unknowable", "unknowable"),
    ("gaps declared", "gaps"),
    ("… of them real", "real_gaps"),
)


def table(outcomes: Sequence[Outcome]) -> str:
    """Lay out what was done and what came of it, by API."""
    faults: Counter[str] = Counter()
    found: dict[str, Findings] = {"v3": Findings(), "v2": Findings()}
    for outcome in outcomes:
        faults.update(outcome.faults)
        for api, findings in outcome.findings.items():
            found[api].add(findings)
    seconds = sum(outcome.seconds for outcome in outcomes)
    hurt = [(name.replace("_", " "), f"{count:,}") for name, count in sorted(faults.items())]
    seen = [
        (label, *(f"{getattr(found[api], name):,}" for api in ("v3", "v2"))) for label, name in ROWS
    ]
    seen.append(("longest silence", *(f"{found[api].silence:.1f} s" for api in ("v3", "v2"))))
    head = (
        f"{len(outcomes)} episodes, {seconds / 60:.1f} minutes, "
        f"{sum(faults.values())} faults, {sum(bool(one.problems) for one in outcomes)} failed"
    )
    parts = [
        head,
        _kinds(outcome.plan for outcome in outcomes),
        "",
        *text_table(("fault", "times"), [*hurt, ("all", f"{sum(faults.values()):,}")]),
        "",
        *text_table(("", "v3", "v2"), seen),
    ]
    return "\n".join(parts)


def _kinds(plans: Iterable[Plan]) -> str:
    """Say how many there were of which kind of cluster."""
    told = list(plans)
    kinds: list[Counter[str]] = [
        Counter(f"{each.size} member{'s' * (each.size > 1)}" for each in told),
        Counter(f"etcd {each.version}" for each in told),
        Counter(each.lock for each in told),
    ]
    return "; ".join(
        ", ".join(f"{count} {name}" for name, count in sorted(kind.items())) for kind in kinds
    )


def keep_evidence(outcome: Outcome, folder: Path) -> Path:
    """Write down all that is known of an episode, to look for what went wrong."""
    place = folder / f"seed-{outcome.plan.seed}"
    place.mkdir(parents=True, exist_ok=True)
    began = outcome.log[0][0] if outcome.log else 0.0
    (place / "problems.txt").write_text("\n".join([repr(outcome.plan), *outcome.problems]), "utf-8")
    (place / "faults.txt").write_text(
        "\n".join(f"{when - began:8.3f}  {what}" for when, what in outcome.log), "utf-8"
    )
    for api, history in outcome.histories.items():
        compactions = sorted(history.compactions or ())[:10_000]
        lines = [json.dumps({"compactions": compactions}), *map(_line, history)]
        (place / f"{api}-truth.jsonl").write_text("\n".join(lines), "utf-8")
    for audience in outcome.audiences:
        _keep_audience(audience, place, began)
    return place


def _keep_audience(audience: Audience, place: Path, began: float) -> None:
    (place / f"{audience.name}-journal.jsonl").write_text(
        "\n".join(map(_line, audience.records)), "utf-8"
    )
    for number, each in enumerate(audience.listeners):
        about = {
            "name": each.name,
            "scope": [[str(scope.start), str(scope.end)] for scope in each.scope],
            "start": each.start,
            "begun": each.begun,
            "until": each.until,
            "gaps": [repr(gap) for gap in each.gaps],
        }
        lines = [json.dumps(about), *_told(each.told, began)]
        name = f"{each.name.replace('/', '-')}-{number}.jsonl"
        (place / name).write_text("\n".join(lines), "utf-8")


def _told(told: Iterable[tuple[float, Event]], began: float) -> Iterable[str]:
    return (f"{when - began:8.3f} {_line(event)}" for when, event in told)


def _line(record: Event | Gap | Status) -> str:
    if isinstance(record, Event):
        value = record.raw_value
        shown = None if value is None else str(value[:40])
        made = ["synthetic"] if record.synthetic else []
        return json.dumps([record.revision, str(record.type), str(record.raw_key), shown, *made])
    return json.dumps(repr(record))
