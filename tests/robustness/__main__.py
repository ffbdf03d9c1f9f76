"""Hurt real clusters for minutes, and say what became of every event.

python -m tests.robustness --minutes 30 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from pathlib import Path

from tests.robustness.episode import Episode, Outcome, Plan
from tests.robustness.report import keep_evidence, table


def main() -> int:
    """Run episodes until the time is over, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long (default: 1)")
    parser.add_argument("--episode", type=float, default=60.0, help="seconds of each (default: 60)")
    parser.add_argument("--seed", type=int, help="of the first episode; the next has the next")
    parser.add_argument(
        "--evidence",
        type=Path,
        default=Path("test-results/robustness"),
        help="where to keep what is known of an episode that failed",
    )
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed  # noqa: S311
    deadline = time.monotonic() + 60 * given.minutes
    outcomes: list[Outcome] = []
    while (left := deadline - time.monotonic()) > 0 and (not outcomes or left > given.episode / 2):
        plan = Plan.draw(seed + len(outcomes), min(given.episode, max(left, 5.0)))
        outcome = _run(plan)
        print(_line(outcome), flush=True)
        if outcome.problems:
            place = keep_evidence(outcome, given.evidence)
            print(
                "\n".join(
                    f"    {each[-2000:] if each.startswith('Traceback') else each[:300]}"
                    for each in outcome.problems[:10]
                )
            )
            print(f"  it is kept in {place}; again: --seed {plan.seed} --minutes 0.1", flush=True)
        outcome.audiences.clear()
        outcome.histories.clear()
        outcomes.append(outcome)
    print(f"\n{table(outcomes)}")
    return int(any(outcome.problems for outcome in outcomes))


def _run(plan: Plan) -> Outcome:
    """Run an episode; where it cannot be run, that is one that failed."""
    try:
        return Episode(plan).run()
    except Exception:  # noqa: BLE001 - a cluster that cannot be healed, or a defect of the suite's
        return Outcome(plan, broken_truth=[traceback.format_exc()])


def _line(outcome: Outcome) -> str:
    plan = outcome.plan
    delivered = sum(each.delivered for each in outcome.findings.values())
    return (
        f"seed {plan.seed}: etcd {plan.version}, {plan.size} member{'s' * (plan.size > 1)}, {_lock(plan)}, "
        f"{outcome.seconds:.0f} s, {sum(outcome.faults.values())} faults, "
        f"{delivered:,} events delivered, {len(outcome.problems)} problems"
    )


def _lock(plan: Plan) -> str:
    if plan.lock != "users":
        return plan.lock
    return f"users, logins of {plan.token_ttl} s" if plan.token_ttl else "users"


if __name__ == "__main__":
    sys.exit(main())
