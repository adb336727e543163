"""Which way imports point, who may know Ray or torch, and what a plain question to the command line may load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from basis.fields import PROJECTION_TARGETS, Target
from basis.packages import PACKAGES, ROOT
from model.gpt2_lora import SHAPES
from sweep.schema.model import GPT2_NAMES

FLOORS = (
    "basis",
    "model",
    "analysis/statistics",
    "analysis/wording",
    "analysis/results",
    "analysis/comparison",
    "analysis/tables",
    "analysis/fairness",
    "analysis/findings",
    "analysis/factors",
    "analysis/published",
    "analysis/curves",
    "analysis/verdict",
    "analysis/figures",
    "analysis/drawings",
    "analysis/page",
    "analysis/screen",
    "analysis/report.py",
    "sweep/machine",
    "sweep/trial",
    "sweep/progress",
    "sweep/schema",
    "sweep/mistakes",
    "sweep/space",
    "sweep/search_space.py",
    "sweep/spec_file",
    "sweep/hub",
    "sweep/data",
    "sweep/demo",
    "sweep/memory",
    "sweep/proposal.py",
    "sweep/provenance",
    "sweep/storage",
    "sweep/steering",
    "sweep/judge",
    "sweep/inputs.py",
    "sweep/reward_metric.py",
    "sweep/preparation",
    "sweep/worker",
    "sweep/winner",
    "sweep/cluster",
    "sweep/tracking",
    "sweep/storing",
    "sweep/trainable.py",
    "sweep/tune",
    "sweep/requests.py",
    "sweep/command.py",
    "sweep/control.py",
    "sweep/driver",
    "sweep/submission",
    "sweep/submit.py",
    "sweep/jobs.py",
    "sweep/live",
    "sweep/watch.py",
    "sweep/exporting",
    "sweep/export.py",
    "sweep/chatting",
    "sweep/chat.py",
    "sweep/api",
    "sweep/track.py",
    "sweep/run.py",
    "sweep/main.py",
)
"""The rooms from the ground up. A room imports of ours what stands on a lower floor, and nothing else."""

KNOWS_NOTHING_OF = {"model": set[str](), "analysis": {"model", "torch", "transformers", "loralib"}, "sweep": set[str]()}
"""What a package may not import although it stands lower, and libraries that it does without."""

OF_ANALYSIS = {
    "sweep/space": {"analysis/comparison"},
    "sweep/search_space.py": {"analysis/comparison"},
    "sweep/steering": {"analysis/results"},
    "sweep/tune": {"analysis/comparison", "analysis/results"},
    "sweep/winner": {"analysis/comparison", "analysis/results", "analysis/verdict", "analysis/wording"},
    "sweep/driver": {"analysis/report.py", "analysis/screen"},
    "sweep/exporting": {"analysis/comparison", "analysis/page", "analysis/tables", "analysis/wording"},
    "sweep/api": {"analysis/report.py", "analysis/results"},
    "sweep/live": {
        "analysis/curves",
        "analysis/figures",
        "analysis/drawings",
        "analysis/page",
        "analysis/results",
        "analysis/verdict",
        "analysis/wording",
    },
}
"""What a sweep knows of analysis: the report that it builds, and what both decide alike."""

RAY_ALLOWED = {
    "sweep/cluster/cluster_claim.py",
    "sweep/cluster/gpu_nodes.py",
    "sweep/cluster/nodes_store.py",
    "sweep/cluster/session.py",
    "sweep/submission/cluster.py",
    "sweep/submission/documents.py",
    "sweep/submission/jobs.py",
    "sweep/submission/submit.py",
    "sweep/trainable.py",
    "sweep/tune/brought.py",
    "sweep/tune/control.py",
    "sweep/tune/endings.py",
    "sweep/tune/event_log.py",
    "sweep/tune/hang.py",
    "sweep/tune/limited.py",
    "sweep/tune/live.py",
    "sweep/tune/searchers.py",
    "sweep/tune/shares.py",
    "sweep/tune/tuning.py",
    "analysis/results/experiment.py",
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


def room_of(path: Path) -> str:
    """The floor of FLOORS that a file of ours stands on."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] in FLOORS else "/".join(parts[:2])


def file_of(name: str) -> Path | None:
    """The file or folder of a module of ours; None for a library."""
    place = ROOT.joinpath(*name.split("."))
    if name.split(".")[0] not in PACKAGES:
        return None
    return place if place.is_dir() else place.with_suffix(".py")


def test_every_room_has_its_floor() -> None:
    found = {room_of(path) for package in PACKAGES for path in sources(package) if path.name != "__init__.py"}
    assert found == set(FLOORS)


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_from_lower_floors_alone(room: str) -> None:
    package = room.split("/")[0]
    place = ROOT / room
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        for name in imported(path):
            assert name.split(".")[0] not in KNOWS_NOTHING_OF.get(package, ()), (path, name)
            file = file_of(name)
            if file is None or room_of(file) == room or is_command_line(path, name):
                continue
            below = room_of(file)
            assert FLOORS.index(below) < FLOORS.index(room), (path, name)
            if package == "sweep" and below.startswith("analysis"):
                assert below in OF_ANALYSIS.get(room, ()), (path, name)


def is_command_line(path: Path, name: str) -> bool:
    """`python -m sweep.reward_metric` is a name that users know; the command itself stands on a higher floor."""
    return (path, name) == (ROOT / "sweep" / "reward_metric.py", "sweep.driver.rejudge")


def test_ray_is_imported_in_few_files() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sources(package)
        if any(name.split(".")[0] == "ray" for name in imported(path))
    }
    assert found == RAY_ALLOWED


def test_names_that_are_written_twice_to_keep_torch_out_agree() -> None:
    assert (*PROJECTION_TARGETS, "head") == get_args(Target)
    assert set(GPT2_NAMES) == set(SHAPES)


def test_package_files_stay_empty() -> None:
    """All but the one that says what `from sweep import` finds."""
    for package in PACKAGES:
        files = (ROOT / package).rglob("__init__.py")
        assert all(not path.read_text() for path in files if path != ROOT / "sweep" / "__init__.py")


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
        "import sys, benchmarks.gpu.parity, benchmarks.gpu.memory, benchmarks.gpu.table, benchmarks.__main__\n"
        "print(sorted({'ray', 'pydantic', 'datasets', 'optuna', 'rich'} & sys.modules.keys()))\n"
        "print(sorted(name for name in sys.modules if name.startswith(('basis.', 'sweep.'))))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.splitlines() == [
        "[]",
        "['basis.disks', 'basis.fields', 'basis.files', 'basis.methods', 'basis.metrics', 'basis.optimizers', "
        "'basis.peft_options', 'basis.units', 'sweep.machine', "
        "'sweep.machine.allocator', 'sweep.machine.gpu_facts', 'sweep.machine.gpu_peaks', 'sweep.machine.hardware']",
    ]
