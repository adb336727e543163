"""What the tests of exports share."""

import pytest

from sweep.export import main
from tests.conftest import Here


@pytest.fixture
def export(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process: exit code, output, errors."""
    monkeypatch.setenv("SFT_SWEEP_CACHE", environment["SFT_SWEEP_CACHE"])

    def export_here(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return export_here
