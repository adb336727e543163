"""What a user is told of Ray's dashboard: its address, and what its box takes."""

from pathlib import Path

import pytest

from sweep.cluster.dashboard import described_dashboard
from sweep.cluster.privacy import TOKEN_PATH

URL = "http://127.0.0.1:8265"


@pytest.fixture(autouse=True)
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text("secret")
    monkeypatch.setenv(TOKEN_PATH, str(path))
    return path


def test_a_terminal_is_told_the_token_on_a_line_of_its_own() -> None:
    where, secret = described_dashboard(URL, is_own=True, is_terminal=True)
    assert URL in where
    assert secret == "secret"


def test_a_log_is_told_how_to_have_it(token: Path) -> None:
    [line] = described_dashboard(URL, is_own=True, is_terminal=False)
    assert f"`cat {token}`" in line
    assert "secret" not in line


def test_a_cluster_keeps_its_own_token() -> None:
    [line] = described_dashboard(URL, is_own=False, is_terminal=True)
    assert "`ray get-auth-token`" in line
    assert described_dashboard(None, is_own=False, is_terminal=True) == ["Ray's dashboard: the cluster has none"]
