"""The dashboard, the alert rules and the page about them name figures that the product has."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from accordant.kernel.money import Money
from accordant.views.load import Load
from accordant.views.overview import FlowLag
from accordant.views.status import TroubleCounts
from accordant.web.exposition import Live, exposition
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
_EXPOSITION = (ROOT / "src/accordant/web/exposition.py").read_text(encoding="utf-8")
_FIGURE = re.compile(r"\baccordant_[a-z_]+\b")


_FLOW = FlowLag(
    flow="accounts", source="stripe", target="crm", object="Account", phase="live", expected_lag_s=60,
    incident_lag_s=900, settled=1, lag_p50_s=1.0, lag_p95_s=2.0, waiting=1, oldest_wait_s=3.0,
)  # fmt: skip
#: One of everything, so that every figure has its labels.
LOAD = Load(
    events={"received": 1}, oldest_event_s=1.0, writes={("crm", "pending"): 1}, oldest_write_s={"crm": 1.0},
    trouble=TroubleCounts(), flows=(_FLOW,), customers=1, worth=(Money(1, "EUR"),), unsent_alerts=0,
)  # fmt: skip
LIVE = Live(
    deliveries={("stripe", "new"): 1}, writes={("accounts", "crm", "Applied"): 1}, commits=1, committed=1,
    breakers={"crm": 0}, loops={"rooms": 0}, store_write_s=0.001,
)  # fmt: skip


def _known() -> set[str]:
    named = set(re.findall(r'"(accordant_[a-z_]+)"', _EXPOSITION))
    counters = set(re.findall(r'_counter\(\s*"(accordant_[a-z_]+)"', _EXPOSITION))
    assert counters <= named
    return (named - counters) | {f"{name}_total" for name in counters}


@pytest.mark.parametrize(
    "path", ["deploy/grafana/accordant.json", "deploy/prometheus/alerts.yml", "docs/howto/monitor.md"]
)
def test_every_figure_that_is_named_exists(path: str) -> None:
    named = set(_FIGURE.findall((ROOT / path).read_text(encoding="utf-8")))
    assert named
    assert named <= _known()


def _labels() -> dict[str, set[str]]:
    """The labels each figure has, by asking the exposition itself for one of each."""
    text = exposition(LOAD, LIVE).decode()
    return {
        sample.name: set(sample.labels) for family in text_string_to_metric_families(text) for sample in family.samples
    }


def _queries() -> list[str]:
    """Everything Prometheus is asked: by the panels, by what a panel's visitor may choose, and by the alerts."""
    board = json.loads((ROOT / "deploy/grafana/accordant.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return [*asked, *(rule["expr"] for rule in rules)]


def test_every_query_names_labels_that_its_figures_have() -> None:
    labels = _labels()
    assert labels.keys() == _known()
    queries = _queries()
    assert len(queries) > 20
    # Whether a process answers at all is Prometheus' own figure.
    for query in (one for one in queries if not one.startswith("up{")):
        figures = set(_FIGURE.findall(query))
        assert figures, query
        assert figures <= labels.keys(), query
        known = set().union(*(labels[name] for name in figures)) | {"job", "instance"}
        chosen = re.findall(r"[{,]\s*([a-z_]+)\s*(?:=|!)", query)
        grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]+)\)", query)
        asked = {*chosen, *(name.strip() for group in grouped for name in group.split(","))}
        assert asked <= known, query


def test_every_figure_is_explained() -> None:
    page = (ROOT / "docs/howto/monitor.md").read_text(encoding="utf-8")
    assert _known() - set(_FIGURE.findall(page)) == set()


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    panels = json.loads((ROOT / "deploy/grafana/accordant.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def judge_of_rules() -> str:
    """Prometheus's own program that reads and tries rules; without it these tests say that they were left out."""
    program = shutil.which("promtool")
    if program is None:
        missing("promtool", "Install it (Debian: apt-get install prometheus).")
    return program


def test_prometheus_takes_the_rules() -> None:
    promtool = judge_of_rules()
    command = [promtool, "check", "rules", str(ROOT / "deploy/prometheus/alerts.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


#: What Prometheus sees over twenty minutes: nothing at risk, then two customers with 250 dollars a month.
_MONEY_AT_RISK = """\
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'accordant_mrr_at_risk{currency="USD",instance="a"}', values: '250x20'}
      - {series: 'accordant_mrr_at_risk{currency="USD",instance="b"}', values: '250x20'}
      - {series: 'accordant_customers_affected{instance="a"}', values: '0x2 2x18'}
      - {series: 'accordant_customers_affected{instance="b"}', values: '0x2 2x18'}
    alert_rule_test:
      - {alertname: AccordantRevenueAtRisk, eval_time: 2m, exp_alerts: []}
      - alertname: AccordantRevenueAtRisk
        eval_time: 19m
        exp_alerts:
          - exp_labels: {severity: warning, currency: USD}
            exp_annotations:
              summary: "250 USD of monthly revenue hang on what did not go through"
              action: Open the console's Trouble page; groups are sorted by the money behind them.
"""


def test_prometheus_raises_the_alert_about_money_with_its_amount(tmp_path: Path) -> None:
    promtool = judge_of_rules()
    shutil.copy(ROOT / "deploy/prometheus/alerts.yml", tmp_path)
    (tmp_path / "money.yml").write_text(_MONEY_AT_RISK, encoding="utf-8")
    tested = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "money.yml")], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
