"""Times in a charter: what is no schedule, a batch flow without one, and a lag that its schedule cannot keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import Charter, Phase, SchedulesPart, SyncMode
from accordant.governance.check_schedules import check_schedules
from accordant.governance.findings import Severity
from tests.integration.pipeline.kit import the_charter

HOURLY = {"sync": SyncMode.BATCH, "schedule": "0 * * * *", "incident_lag_s": 2 * 3600}


@pytest.fixture(scope="module")
def charter(tmp_path_factory: pytest.TempPathFactory) -> Charter:
    folder: Path = tmp_path_factory.mktemp("charter")
    return the_charter(folder, "controlled")


def with_flow(charter: Charter, **changes: Any) -> Charter:
    first = msgspec.structs.replace(charter.flows[0], **changes)
    return msgspec.structs.replace(charter, flows=(first, *charter.flows[1:]))


def found(charter: Charter) -> list[tuple[str, Severity]]:
    return [(defect.where, defect.severity) for defect in check_schedules(charter, {})]


def test_what_ships_is_fine(charter: Charter) -> None:
    assert found(charter) == []
    assert found(with_flow(charter, **HOURLY)) == []


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"schedule": "0 * * * *"}, Severity.ERROR),
        ({"sync": SyncMode.BATCH}, Severity.ERROR),
        ({**HOURLY, "schedule": "hourly"}, Severity.ERROR),
        ({**HOURLY, "schedule": "0 0 31 2 *"}, Severity.ERROR),
        ({**HOURLY, "incident_lag_s": 3600}, Severity.WARNING),
        ({**HOURLY, "schedule": "0 8 * * mon-fri", "incident_lag_s": 86_401}, Severity.WARNING),
        ({"sync": SyncMode.BATCH, "phase": Phase.DRAFT}, Severity.WARNING),
    ],
)
def test_a_flow_that_could_not_be_in_time_is_told(
    charter: Charter, changes: dict[str, Any], severity: Severity
) -> None:
    assert found(with_flow(charter, **changes)) == [("flows[0].schedule", severity)]


def test_the_hubs_own_times_are_checked(charter: Charter) -> None:
    wrong = msgspec.structs.replace(charter, schedules=SchedulesPart(reconcile="nightly", drift=None))
    assert found(wrong) == [("schedules.reconcile", Severity.ERROR)]
