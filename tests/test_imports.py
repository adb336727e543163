"""Which way imports point, who may know Ray or torch, and what a plain question to the command line may load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from analysis.consequences import OPTIMIZERS_OWN_MOMENTUM
from model.gpt2_lora import PROJECTIONS, SHAPES
from model.optimizers import OptimizerName
from sweep.spec import GPT2_NAMES
from sweep.trial import MOMENTUM_DEFAULTS, Optimizer, Target

ROOT = Path(__file__).parent.parent
RAY_ALLOWED = {
    "sweep/hang.py",
    "sweep/live.py",
    "sweep/ray_session.py",
    "sweep/searchers.py",
    "sweep/trainable.py",
    "sweep/tuning.py",
    "analysis/results.py",
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_model_knows_nothing_of_ours_but_itself() -> None:
    for path in sources("model"):
        assert not {name.split(".")[0] for name in imported(path)} & {"sweep", "analysis", "ray"}, path


def test_analysis_needs_no_weights_and_from_the_sweep_only_names_errors_and_the_terminal() -> None:
    for path in sources("analysis"):
        names = list(imported(path))
        assert not {name.split(".")[0] for name in names} & {"torch", "transformers", "loralib", "model"}, path
        allowed = {
            "sweep.names",
            "sweep.errors",
            "sweep.terminal",
            "sweep.units",
            "sweep.checksums",
            "sweep.scripts",
        }
        assert {name for name in names if name.startswith("sweep")} <= allowed, path


def test_sweep_knows_of_analysis_the_report_that_it_builds_and_what_both_decide_alike() -> None:
    choices = {"analysis.choices"}
    allowed = {"ending.py": {"analysis.report"}, "rounds.py": {"analysis.told_apart"}, "search_space.py": choices}
    for path in sources("sweep"):
        assert {n for n in imported(path) if n.startswith("analysis")} <= allowed.get(path.name, set()), path


def test_ray_is_imported_in_few_files() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in ("model", "sweep", "analysis")
        for path in sources(package)
        if any(name.split(".")[0] == "ray" for name in imported(path))
    }
    assert found == RAY_ALLOWED


def test_names_that_are_written_twice_to_keep_torch_out_agree() -> None:
    assert get_args(Optimizer) == get_args(OptimizerName)
    assert get_args(Target) == (*PROJECTIONS, "head")
    assert set(GPT2_NAMES) == set(SHAPES)
    assert OPTIMIZERS_OWN_MOMENTUM == MOMENTUM_DEFAULTS


def test_package_files_stay_empty() -> None:
    for package in ("model", "sweep", "analysis"):
        assert all(not path.read_text() for path in (ROOT / package).rglob("__init__.py"))


@pytest.mark.parametrize(
    "arguments",
    [["--list"], ["--help"], ["nothing", "--dry-run"], ["demo", "--set", "trial.steps=x"], ["--reproduce", "nothing"]],
)
def test_plain_questions_are_answered_without_torch_or_ray(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from sweep.run import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('LOADED', sorted({'torch', 'ray', 'transformers', 'pandas'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.splitlines()[-1] == "LOADED []"


def test_the_report_is_built_without_torch(tmp_path: Path) -> None:
    script = "import sys, analysis.report\nprint('torch' in sys.modules or 'transformers' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "False"


def test_the_gpu_benchmark_needs_of_a_gpu_machine_torch_transformers_and_loralib_alone() -> None:
    script = (
        "import sys, benchmarks.gpu, benchmarks.__main__\n"
        "print(sorted({'ray', 'pydantic', 'datasets', 'optuna', 'rich'} & sys.modules.keys()))\n"
        "print(sorted(name for name in sys.modules if name.startswith('sweep.')))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.splitlines() == ["[]", "['sweep.disks', 'sweep.files', 'sweep.hardware', 'sweep.units']"]
