"""`from sweep import run, resume, load_results`: whatever was imported before, and as a type checker sees it."""

import subprocess
import sys
from pathlib import Path

import pytest

from basis.packages import ROOT

ORDERS = {
    "the name first": "from sweep import run, resume, load_results; import sweep.run; from sweep.run import main",
    "the module first": "import sweep.run; from sweep.run import main; from sweep import run, resume, load_results",
    "the package alone": "import sweep; run, resume, load_results = sweep.run, sweep.resume, sweep.load_results; "
    "from sweep.run import main",
}


@pytest.mark.parametrize("order", ORDERS)
def test_run_is_found_in_whatever_order(order: str) -> None:
    script = (
        f"import sys\n{ORDERS[order]}\n"
        "assert main(['--explain', 'trial.lr']) == 0\n"
        "bad = {'extends': 'demo', 'trial': {'step': 3}}\n"
        "for call in (lambda: run('demoo'), lambda: run(bad), lambda: load_results('/nowhere')):\n"
        "    try: call()\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "print(sorted({'torch', 'ray', 'pandas'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    said = ran.stdout.splitlines()
    assert any(line.startswith("UserError 'demoo' is neither a preset nor a YAML file") for line in said)
    assert any(line.startswith("SpecError trial.step: unknown key (did you mean 'steps'?)") for line in said)
    assert any(line.startswith("UserError /nowhere is not the directory of an experiment") for line in said)
    assert said[-1] == "[]"


def test_the_package_imports_nothing_of_ours_before_a_name_is_asked_for() -> None:
    script = (
        "import sys, sweep; print([name for name in sys.modules if name.split('.')[0] in ('basis', 'rich', 'torch')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"


MYPY = """[mypy]
strict = True
follow_imports = silent
[mypy-torch.*,numpy.*,pandas.*,scipy.*,matplotlib.*,bokeh.*,transformers.*,ray.*,optuna.*,sklearn.*,aiohttp.*]
follow_imports = skip
"""
"""As strict as for the project, of one file, and without the large libraries that no call has to do with."""


@pytest.mark.slow
def test_a_type_checker_accepts_calls(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(MYPY)
    (tmp_path / "mine.py").write_text(
        "from sweep import load_results, resume, run\n"
        "results = run({'extends': 'demo'}, 'out', settings={'trial.steps': 3})\n"
        "same = [results, resume('out'), load_results('out')]\n"
        "print(same[0].trials, results.best('reward_mean').arm.label, results.report().path.name)\n"
    )
    words = [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", "--cache-dir", tmp_path / "cache"]
    ran = subprocess.run([*words, tmp_path / "mine.py"], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.startswith("Success"), ran.stdout
    (tmp_path / "mine.py").write_text("from sweep import run\nrun({}, 3).best(5)\n")
    ran = subprocess.run([*words, tmp_path / "mine.py"], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.count(" error: ") == 2, ran.stdout
