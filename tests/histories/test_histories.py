"""RE5: recorded histories have the effects somebody agreed to; a change of mapping or folding shows as a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.canonical.refs import ExternalRef
from tests.histories.recorded import NotRecorded, read
from tests.histories.replay import as_kept, play, read_effects
from tests.integration.pipeline.kit import differences, new_store

HISTORIES_MIN = 100


def test_recorded_histories_have_the_effects_that_were_agreed(tmp_path: Path) -> None:
    agreed = read_effects()
    found = play(read(), tmp_path, store=new_store(tmp_path, "histories"))
    differing = differences({"histories": agreed}, {"histories": as_kept(found)})
    assert differing == [], "look at it with python -m tests.histories; if it is meant, add --update and say why"
    assert len(agreed) >= HISTORIES_MIN
    assert sum(len(one["records"]) for one in agreed.values()) > len(agreed)
    assert sum(sum(one["events"].values()) for one in agreed.values()) > 5 * len(agreed)


def test_a_question_that_was_never_recorded_is_named_with_its_remedy() -> None:
    with pytest.raises(NotRecorded, match="--record"):
        read().answer(ExternalRef.parse("stripe:customer/cus_never"))
