"""What a line of the audit trail says, in words: each kind that is told somewhere has its sentence here.

A test looks through the code for kinds that have none.
"""

from accordant.web.console.words import event_name

_LINES = {
    "archive.conflict.opened": "A conflict was found that waits for a person; noted",
    "archive.conflict.ruled": "A conflict was decided by a rule; noted",
    "archive.key.freed": "Its key was taken off another's record",
    "archive.write.already_applied": "The target held it already; noted",
    "archive.write.applied": "Written",
    "archive.write.cancelled": "A write was given up",
    "archive.write.compared": "Compared, nothing was sent; noted",
    "archive.write.doubted": "A write's answer was lost; noted",
    "archive.write.held": "A write was held",
    "archive.write.postponed": "A write was put off",
    "archive.write.refused": "The target refused a write; noted",
    "archive.write.superseded": "A write was replaced by a newer one",
    "archive.write.yielded": "A write gave way to the target's value",
    "charter.version.adopted": "A charter came into force",
    "charter.version.approved": "A charter was approved",
    "compliance.clearance.recorded": "A compliance check was recorded",
    "compliance.vat.asked": "The register of value-added tax numbers was asked",
    "court.automation.asleep": "A replay left an automation asleep",
    "court.flag.raised": "A red flag was raised",
    "court.record.held": "A record was held",
    "court.stand.lapsed": "What stood for a field lapsed",
    "desk.intent.held": "A write was planned and held",
    "desk.intent.planned": "A write was planned",
    "desk.intent.shadowed": "A comparison was planned",
    "interpreter.event.given_up": "An event was given up",
    "interpreter.event.parked": "An event was parked",
    "interpreter.event.quarantined": "An event was quarantined",
    "interpreter.event.set_aside": "An event was set aside",
    "operations.conflict.decided": "A conflict was decided",
    "operations.drift.found": "A target's fields were found changed",
    "operations.drift.none": "A target's fields were found as expected",
    "operations.letter.absent": "A person looked: what was sent never arrived; noted",
    "operations.letter.found": "A person looked: what was sent did arrive; noted",
    "operations.letter.redriven": "A dead letter was put back",
    "operations.letter.waived": "A closed window was waived",
    "operations.opening.released": "An opening in billing was released",
    "operations.pattern.described": "An error pattern was described",
    "operations.reconcile.finished": "A comparison was finished",
    "operations.repair.planned": "A repair was planned",
    "phases.flow.exempted": "A flow to a stand-in was let go without a grant",
    "phases.flow.narrowed": "A flow was narrowed",
    "phases.flow.widened": "A flow was widened",
    "phases.widening.requested": "A wider phase was requested",
    "registry.account.advanced": "The customer changed; noted",
    "registry.link.made": "A name was linked to it",
    "registry.record.linked": "Its record was found or planned",
    "registry.record.relinked": "Its record moved and was followed",
    "registry.review.opened": "A question was put to people",
    "registry.review.renewed": "A question to people was renewed",
    "review.case.accepted": "A record was accepted as this customer's",
    "review.case.created": "A record of its own was asked for",
    "review.case.rejected": "A record was rejected",
    "review.decision.undone": "A decision was undone",
    "review.link.merged": "Its record was merged into another",
    "review.link.split": "It was split off its record",
}


def trail_name(kind: str) -> str:
    """What a line of this kind says; one composed in the code is spelled out as it is."""
    return _LINES.get(kind) or event_name(kind)
