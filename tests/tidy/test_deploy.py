"""The dashboard, the alert rules and the page about them name figures that the product has."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
_EXPOSITION = (ROOT / "src/accordant/web/exposition.py").read_text(encoding="utf-8")
_FIGURE = re.compile(r"\baccordant_[a-z_]+\b")


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


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    command = [promtool, "check", "rules", str(ROOT / "deploy/prometheus/alerts.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
