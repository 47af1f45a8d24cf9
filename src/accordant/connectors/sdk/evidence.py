"""A connector's manifest and scorecard as evidence: scores, how it repeats, where nothing is written twice.

Every rule of every tier belongs to exactly one capability. Next: `operations/pack.py`, which writes it down.
"""

from collections.abc import Mapping

from accordant.canonical.connector_evidence import CapabilityScore, ConnectorEvidence, WriteEvidence
from accordant.connectors.sdk.manifest import UNSENT, Answer, Manifest, Quality, Standing, WriteObject
from accordant.connectors.sdk.tiers import tier_of
from accordant.ports.connector import DestinationClass

#: The capabilities, each with the rules of the scorecard that make it up.
CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "Listening": (
        "signature-verified",
        "external-id-declared",
        "every-event-type-has-a-fixture",
        "every-fixture-interpreted-or-parked",
        "unknown-type-parked",
        "docs-what-it-reads",
    ),
    "Writing once": ("same-intent-twice-one-record", "key-reuse-refused", "crosswalk-on-stable-id"),
    "Writing only what is ours": (
        "owned-fields-only",
        "before-and-after-captured",
        "conflict-detected-not-overwritten",
        "compensation-for-every-write",
    ),
    "Retrying": (
        "errors-translated",
        "timeouts-set",
        "retry-after-obeyed",
        "auth-expiry-pauses",
        "crash-at-every-step-recovers",
        "hopeless-input-becomes-dead-letter",
        "docs-failure-modes",
    ),
    "Replaying": ("backfill", "missed-event-recovery", "replay-in-shadow-equal", "late-and-out-of-order-events"),
    "Comparing": ("snapshot-for-every-written-object", "reconcile-clean-on-simulator"),
    "Running it": (
        "manifest-valid",
        "owner-named",
        "api-version-pinned",
        "secrets-masked",
        "simulator-runs",
        "scopes-least-privilege",
        "pause-resume",
        "diagnostics-bundle-without-secrets",
        "docs-known-limits",
        "docs-runbook",
    ),
}
_LEVELS = ("real_system", "official_contract", "official_library", "stand_in", "declared")
_ORDERS = {"none": "promises no order", "per_object": "keeps the order of each object", "total": "keeps one order"}


def evidence_of(manifest: Manifest, quality: Quality) -> ConnectorEvidence:
    """Everything the two files say, without their settings."""
    answers = {**quality.bronze, **quality.silver, **quality.gold}
    proofs = sorted(quality.proved, key=lambda one: _LEVELS.index(one.level))
    return ConnectorEvidence(
        name=manifest.name,
        title=manifest.title,
        category=manifest.category.value,
        tier=tier_of(quality).value,
        scores=tuple(_score(capability, rules, answers) for capability, rules in CAPABILITIES.items()),
        proved=tuple((one.level, one.what) for one in proofs),
        not_proved=quality.not_proved,
        retry=_retry(manifest),
        replay=_replay(manifest),
        writes=tuple(_write(one) for one in manifest.writes),
    )


def _score(capability: str, rules: tuple[str, ...], answers: Mapping[str, Answer]) -> CapabilityScore:
    """A rule that nobody answered is missing."""
    standing = {rule: answers[rule].status if rule in answers else Standing.TODO for rule in rules}
    return CapabilityScore(
        capability=capability,
        done=sum(status is Standing.DONE for status in standing.values()),
        exempt=tuple(rule for rule, status in standing.items() if status is Standing.EXEMPT),
        todo=tuple(rule for rule, status in standing.items() if status is Standing.TODO),
    )


def _retry(manifest: Manifest) -> tuple[str, ...]:
    if manifest.declared is not None:
        return ("Nothing is called: the connector has no code.",)
    limits = manifest.limits
    daily = "" if limits.calls_per_day is None else f", {limits.calls_per_day:,} a day"
    rate = (
        f"At most {limits.rate_per_s:,} calls a second unless the charter says otherwise, up to "
        f"{limits.rate_per_s_max:,}{daily}; {limits.burst:,} at once."
    )
    refused = (
        "What the vendor refuses for the moment is tried again after growing pauses, and not before it says; what it "
        "refuses for good is set aside with its words."
    )
    lost = (
        "An answer that was lost is never taken for a refusal: the record is read again before anything is sent again."
    )
    return (rate, refused, lost)


def _replay(manifest: Manifest) -> tuple[str, ...]:
    inbound = manifest.inbound
    if inbound is None:
        return ("Nothing is received from it.",)
    said = [
        f"An event is known again by {inbound.external_id}; {manifest.title} {_ORDERS[inbound.order]}.",
        "It sends nothing by itself: what it says is fetched."
        if inbound.signature == UNSENT
        else f"A delivery is proved by {inbound.signature}.",
    ]
    if inbound.replay_window_days:
        said.append(f"What was missed is fetched again from the last {inbound.replay_window_days:,} days.")
    else:
        said.append("It lists no past events: what was missed is found by comparing objects.")
    if listed := [one.name for one in manifest.reads if one.listed]:
        said.append(f"Listed whole for a backfill or a comparison: {', '.join(listed)}.")
    said.append(
        "Stored bytes are processed again through the same rooms; a replay calls nobody and changes nothing twice."
    )
    return tuple(said)


def _write(one: WriteObject) -> WriteEvidence:
    life = None if one.key_life_hours is None else one.key_life_hours * 3_600
    return WriteEvidence(
        object=one.name,
        destination_class=one.destination_class.value,
        natural_key=one.natural_key,
        key_life_s=life,
        settles_after_s=one.settles_after_s or 0,
        enforced=_enforced(one),
    )


def _enforced(one: WriteObject) -> str:
    lag = f"at least {one.settles_after_s} seconds after the call" if one.settles_after_s else "at once"
    match one.destination_class:
        case DestinationClass.NATIVE_UPSERT:
            return f"By the target: it makes or changes the one record whose {one.natural_key} is ours."
        case DestinationClass.IDEMPOTENCY_KEY:
            return (
                f"By the target for {one.key_life_hours} hours, which knows our key again; after that by the hub, "
                f"which searches by {one.natural_key} {lag}. Each call is on disk before it goes out."
            )
        case DestinationClass.UNIQUE_NUMBER:
            return (
                f"By the target: it refuses a second record with the same {one.natural_key}, and the hub then reads it."
            )
        case DestinationClass.SEARCH_ONLY:
            return (
                f"By the hub: each call is on disk before it goes out, and after a lost answer it searches by "
                f"{one.natural_key} {lag} before it sends again."
            )
        case DestinationClass.NOTHING:
            return "By nobody: after a lost answer a person decides."
