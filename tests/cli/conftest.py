"""A terminal for each test."""

import pytest

from tests.cli.kit import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """See `kit.py`."""
    return Terminal(capsys, monkeypatch)
