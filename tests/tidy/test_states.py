"""The page of states and the states in code are the same: no state undrawn, none invented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

import pytest

from accordant.canonical.charter import Phase
from accordant.canonical.intents import IntentState
from accordant.orchestration.saga import SagaPhase
from accordant.ports.books import PostingState
from accordant.ports.commissions import CashState
from accordant.ports.inbox import WorkState
from tests.tidy.source import ROOT, Finding, report

PAGE = "docs/explanation/states.md"


def state_findings(text: str, states: dict[str, type[StrEnum]]) -> Iterator[Finding]:
    for title, enum in states.items():
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        if section.count("```") != 2 or f"`{enum.__name__}`" not in section:
            yield Finding(PAGE, 1, f"no section `{title}` with a drawing and the name `{enum.__name__}`")
            continue
        for state in enum:
            if not re.search(rf"\b{state.value}\b", section.split("```")[1]):
                yield Finding(PAGE, 1, f"{title}: the state `{state.value}` is not drawn")
        known = {state.value for state in enum} | {"paused"}
        for row in re.findall(r"^\| \w \| ([^|]*) \|", section, flags=re.MULTILINE):
            for word in re.findall(r"[a-z_]+", row.replace("one phase back", "")):
                if word not in known | {"or"}:
                    yield Finding(PAGE, 1, f"{title}: `{word}` is no state of {enum.__name__}")


STATES: dict[str, type[StrEnum]] = {
    "Inbox event": WorkState,
    "Write intent": IntentState,
    "Flow": Phase,
    "Posting": PostingState,
    "Money that commissions count": CashState,
    "Saga": SagaPhase,
}


def test_the_page_draws_the_states_the_code_has() -> None:
    report(state_findings((ROOT / PAGE).read_text(encoding="utf-8"), STATES))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("quarantined     dead\n", "dead\n", "Inbox event: the state `quarantined` is not drawn"),
        ("parked → received", "parked → welcomed", "Inbox event: `welcomed` is no state of WorkState"),
        ("## Flow", "## Route", "no section `Flow` with a drawing and the name `Phase`"),
    ],
)
def test_a_page_out_of_step_is_found(old: str, new: str, rule: str) -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert old in text
    assert [finding.rule for finding in state_findings(text.replace(old, new), STATES)] == [rule]
