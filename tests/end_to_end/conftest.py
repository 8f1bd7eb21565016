"""Fixtures of the tests of whole programs."""

import pytest

from tests.end_to_end.program import FEW_CALLS


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides this machine's settings from commands that run in this process."""
    for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY", "API_SECRET", "BASE_URL"):
        monkeypatch.delenv(f"TWILIO_{name}", raising=False)
    for name, value in FEW_CALLS.items():
        monkeypatch.setenv(name, value)
