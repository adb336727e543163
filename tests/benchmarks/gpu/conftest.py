"""The GPU benchmark's command, run once in small on the CPU: its tables are what the tests of its parts look at."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from basis.packages import ROOT
from tests.conftest import made_once

GPU = [sys.executable, "-m", "benchmarks", "gpu"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """What the command has written: of the machine, and of each part."""

    machine: dict[str, Any]
    by_part: dict[str, dict[str, Any]]

    def rows(self, part: str) -> list[Row]:
        """The rows of a part's table."""
        rows: list[Row] = self.by_part[part]["rows"]
        return rows

    def missed(self, part: str) -> list[str]:
        """The names of a part's targets that are not met."""
        return [target["name"] for target in self.by_part[part]["targets"] if not target["met"]]


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """All parts as the command runs them, each in a process of its own."""
    (data,) = made_once(tmp_path_factory, "benchmark-of-gpu", _measure).glob("*-gpu-quick.json")
    written = json.loads(data.read_text(encoding="utf-8"))
    return Tables(written["machine"], {table["name"]: table for table in written["tables"]})


def _measure(folder: Path) -> None:
    without_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    words = [*GPU, "--quick", "--output", str(folder)]
    ran = subprocess.run(words, cwd=ROOT, env=without_gpu, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
