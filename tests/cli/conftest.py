"""A terminal for each test."""

from pathlib import Path

import pytest

from tests.cli.kit import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    """See `kit.py`. Its installation is in a folder of the test's own."""
    made = Terminal(capsys, monkeypatch)
    monkeypatch.setenv("ACCORDANT_HOME", str(tmp_path / "installation"))
    return made
