"""The tier a connector earned by its scorecard; it caps how far any flow to or from it may go (decision 0008).

A tier counts only when every rule of it, and of those below, is answered `done` or `exempt` with a reason.
"""

from accordant.connectors.sdk.manifest import BRONZE_RULES, Answer, Quality, Standing
from accordant.governance.phases import Tier

SILVER_RULES = frozenset(
    {
        "same-intent-twice-one-record",
        "key-reuse-refused",
        "before-and-after-captured",
        "retry-after-obeyed",
        "auth-expiry-pauses",
        "crash-at-every-step-recovers",
        "hopeless-input-becomes-dead-letter",
        "crosswalk-on-stable-id",
        "owned-fields-only",
        "pause-resume",
        "docs-failure-modes",
    }
)
GOLD_RULES = frozenset(
    {
        "snapshot-for-every-written-object",
        "reconcile-clean-on-simulator",
        "backfill",
        "missed-event-recovery",
        "conflict-detected-not-overwritten",
        "compensation-for-every-write",
        "replay-in-shadow-equal",
        "late-and-out-of-order-events",
        "diagnostics-bundle-without-secrets",
        "docs-known-limits",
        "docs-runbook",
    }
)


def tier_of(quality: Quality) -> Tier:
    """The highest tier the scorecard has earned, with those below it."""
    earned = Tier.UNPROVED
    steps = (
        (BRONZE_RULES, quality.bronze, Tier.BRONZE),
        (SILVER_RULES, quality.silver, Tier.SILVER),
        (GOLD_RULES, quality.gold, Tier.GOLD),
    )
    for rules, answers, tier in steps:
        if not _earned(rules, answers):
            return earned
        earned = tier
    return earned


def _earned(rules: frozenset[str], answers: dict[str, Answer]) -> bool:
    return all(rule in answers and answers[rule].status is not Standing.TODO for rule in rules)
