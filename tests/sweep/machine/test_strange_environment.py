"""The real command in a stranger's environment, all of it hostile at once; and a report that can't be built."""

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest

import analysis.report
import sweep.driver.execute
import sweep.driver.launch
from basis.directory import FINISHED_FILE
from basis.errors import UserError
from basis.packages import ROOT
from sweep.tune.counts import SweepCounts
from tests.conftest import Here, Parts, command

RC = "backend: TkAgg\ntext.usetex: true\nfont.family: Comic Sans MS\n"
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.slow
def test_a_sweep_ends_well_in_an_environment_where_everything_is_set_against_it(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    temporary = tmp_path / ("a temporary folder " + "x" * 80)
    temporary.mkdir()
    (tmp_path / "matplotlibrc").write_text(RC, encoding="utf-8")
    text = parts.write_spec(tmp_path, about="Größer ≤ 3").read_text(encoding="utf-8").replace("name: tiny\n", "")
    (tmp_path / "sweep (1) ü.yaml").write_text(text, encoding="utf-8")
    hostile = {
        **environment,
        "PYTHONPATH": str(ROOT),
        "HOME": "/proc/nowhere",
        "TMPDIR": str(temporary),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(tmp_path),
        "RAY_ADDRESS": "10.9.9.9:6379",
        **dict.fromkeys(("http_proxy", "HTTPS_PROXY", "all_proxy", "grpc_proxy"), NOWHERE),
        **{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    }
    hostile.pop("RAY_TMPDIR", None)

    def few_files_and_one_cpu() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    ran = subprocess.run(
        command("sweep (1) ü.yaml", "--set", "resources.cpu=auto"),
        capture_output=True,
        cwd=tmp_path,
        env=hostile,
        preexec_fn=few_files_and_one_cpu,
    )
    output, errors = ran.stdout.decode("ascii"), ran.stderr.decode("ascii")
    assert (ran.returncode, errors) == (0, ""), output
    lines = output.splitlines()
    assert "ignored by a Ray of our own: RAY_ADDRESS; --address auto attaches to the Ray that runs here" in lines
    assert "TMPDIR can't hold Ray's sockets: its files lie in /tmp" in lines
    assert any(line.startswith("Hugging Face's cache is ") for line in lines)
    assert "sweep (1) u: Gro?er <= 3" in lines
    assert "2 finished, 0 failed, 0 interrupted" in lines
    told = [line.split()[2] for line in lines if line.endswith(" starts") or " finished, test loss" in line]
    assert told == ["starts", "finished,"] * 2  # one CPU runs one trial at a time
    [experiment] = (tmp_path / "experiments").iterdir()
    assert experiment.name.startswith("sweep-1-u-")
    assert (experiment / "report" / "report.html").stat().st_size > 10_000
    assert len(list(experiment.glob(f"*/{FINISHED_FILE}"))) == 2
    record = json.loads((experiment / "sweep.json").read_text(encoding="utf-8"))
    assert (record["name"], record["hardware"]["cpus"]) == ("sweep (1) ü", 1)


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (RuntimeError("latex was not found\nsee above"), 1, "RuntimeError: latex was not found"),
        (OSError(28, "No space left on device", "/x/report.md"), 1, "/x/report.md: No space left on device"),
        (UserError("/x is not an experiment"), 1, "/x is not an experiment"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_report_that_cant_be_built_hides_no_trial_that_succeeded(
    failure: BaseException,
    code: int,
    reason: str,
    parts: Parts,
    here: Here,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(experiment_dir: Path) -> None:
        raise failure

    monkeypatch.setattr(sweep.driver.launch, "make_ready", lambda *_: None)
    monkeypatch.setattr(sweep.driver.execute, "execute", lambda *_: SweepCounts(finished=7, failed=0, interrupted=0))
    monkeypatch.setattr(analysis.report, "build", build)
    experiment = tmp_path / "my sweep"
    found, output, errors = here(parts.write_spec(tmp_path), "--output", experiment)
    assert found == code
    assert output.splitlines()[-1] == "7 finished, 0 failed, 0 interrupted"
    assert errors == (
        f"error: the report could not be built ({reason}); the trials' results are kept; "
        f"build it with: python -m analysis.report '{experiment}'\n"
    )
