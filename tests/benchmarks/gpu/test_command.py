"""`python -m benchmarks gpu`: it writes after each row, and on a CPU only what can't be taken for a GPU's result."""

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from basis.packages import ROOT
from benchmarks.__main__ import main
from benchmarks.gpu import command
from benchmarks.gpu.parts import PARTS
from tests.benchmarks.gpu.conftest import GPU, Tables


def rows_in(folder: Path) -> list[dict[str, object]]:
    (data,) = folder.glob("*.json")
    return [row for table in json.loads(data.read_text(encoding="utf-8"))["tables"] for row in table["rows"]]


@pytest.mark.slow
def test_a_command_that_is_killed_has_written_every_row_before(tmp_path: Path) -> None:
    words = [*GPU, "--quick", "--parts", "table", "--output", str(tmp_path)]
    running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    while not running.stdout.readline().startswith("  variant"):  # a row, which the page has by now
        assert running.poll() is None
    parts = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert rows_in(tmp_path)[0]["step ms"]
    assert len(list(tmp_path.glob("*-gpu-table-quick.md"))) == 1
    deadline = time.monotonic() + 20  # well before they would end by themselves
    while any(part.is_running() and part.status() != psutil.STATUS_ZOMBIE for part in parts):
        assert time.monotonic() < deadline, "the part outlived its command"
        time.sleep(0.1)


def test_without_a_gpu_only_a_quick_run_is_possible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "run_apart", lambda _: {"date": "2026-11-27", "CPU": "Some CPU"})
    assert main(["gpu", "--output", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no CUDA device" in line
    assert "--quick" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gpu", "--parts", "tabel"], "--parts: unknown part 'tabel'; accepted: "),
        (["step", "gpu"], "gpu is measured by itself: python -m benchmarks gpu"),
    ],
)
def test_words_that_mean_nothing_are_refused_at_once(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_every_part_runs_on_a_cpu_at_tiny_sizes_and_what_it_computes_is_right(tables: Tables) -> None:
    assert tables.machine["measured"] == "cpu, at tiny sizes that show nothing"
    assert tuple(tables.by_part) == PARTS
    assert all(table["rows"] and table["about"] for table in tables.by_part.values())
    assert tables.missed("parity") == []
