"""The charter's times: when batch flows are sent, when the hub looks after itself, and whether lags fit to that."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from accordant.canonical.charter import Charter, FlowPart, Phase, SchedulesPart, SyncMode
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place
from accordant.kernel.ticks import ScheduleInvalid, check_schedule, longest_gap

#: Where gaps are measured from: any week will do.
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def check_schedules(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Schedules that name no time, batch flows without one, and flows that could never be in time."""
    for field in msgspec.structs.fields(SchedulesPart):
        text = getattr(charter.schedules, field.name)
        if text is not None:
            yield from _spelled(place("schedules", field.name), text)
    for index, flow in enumerate(charter.flows):
        where = place("flows", index, "schedule")
        severity = Severity.WARNING if flow.phase is Phase.DRAFT else Severity.ERROR
        for defect in _of_flow(where, flow):
            graver = min(severity, defect.severity, key=_GRAVITY.index)
            yield msgspec.structs.replace(defect, flows=(flow.name,), severity=graver)


#: A draft does nothing, so whatever it lacks is a warning; a warning stays one.
_GRAVITY = (Severity.WARNING, Severity.ERROR)


def _spelled(where: str, text: str) -> Iterator[Defect]:
    try:
        check_schedule(text)
    except ScheduleInvalid as error:
        yield Defect(where=where, problem=error.message, remedy=error.remedy)


def _of_flow(where: str, flow: FlowPart) -> Iterator[Defect]:
    if flow.sync is SyncMode.REAL_TIME:
        if flow.schedule is not None:
            yield Defect(
                where=where,
                problem=f"{flow.name} is real time and has a schedule that would do nothing.",
                remedy="Set sync to batch, or take the schedule out.",
            )
        return
    if flow.schedule is None:
        yield Defect(
            where=where,
            problem=f"{flow.name} is a batch flow, and nothing says when it is sent.",
            remedy="Add a schedule, as in 0 * * * * for every full hour.",
        )
        return
    misspelled = tuple(_spelled(where, flow.schedule))
    yield from misspelled
    if not misspelled and (gap := longest_gap(flow.schedule, after=_SOME_DAY, zone=UTC)) >= _patience(flow):
        hours = gap / timedelta(hours=1)
        yield Defect(
            where=where,
            problem=f"{flow.name} is sent at most {hours:g} hours apart, and {flow.incident_lag_s} seconds are an "
            "incident: waiting for its time would be one.",
            remedy=f"Give an incident_lag_s above {gap // timedelta(seconds=1)}, or send it more often.",
            severity=Severity.WARNING,
        )


def _patience(flow: FlowPart) -> timedelta:
    return timedelta(seconds=flow.incident_lag_s)
