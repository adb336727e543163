"""sweep.cluster.privacy: a Ray of our own leaves no secrets, and nothing for neighbours; it runs nobody else's code."""

import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, SPEC_FILE, SWEEP_FILE
from basis.packages import ROOT
from sweep.cluster.privacy import PRIVATE_FOLDERS, is_needed, kept_private, own_umask, umask, without_secrets
from sweep.search_space import candidate_trials
from sweep.spec_file.load import load_spec
from tests.conftest import PATIENCE_SECONDS, Parts
from tests.test_untrusted_files import Payload

SECRETS = {
    "AWS_ACCESS_KEY_ID": "planted-aws-id",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-key",
    "AWS_SESSION_TOKEN": "planted-aws-session",
    "HF_TOKEN": "planted-hf",
    "HF_ENDPOINT": "https://me:planted-endpoint@127.0.0.1:9",
    "WANDB_API_KEY": "planted-wandb",
    "RAY_AUTH_TOKEN": "planted-ray",
    "DATABASE_URL": "postgres://me:planted-login@host/db",
    "https_proxy": "http://me:planted-proxy@127.0.0.1:9",
    "WHAT_I_HIDE": "planted-under-no-telling-name",
}


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("PATH", "/bin", True),
        ("CUDA_VISIBLE_DEVICES", "0", True),
        ("OMP_NUM_THREADS", "2", True),
        ("TOKENIZERS_PARALLELISM", "false", True),
        ("HF_HOME", "/cache", True),
        ("ATEN_CPU_CAPABILITY", "avx2", True),  # by which losses can be made again on another processor
        ("C_INCLUDE_PATH", "/opt/gcc/include", True),
        *((name, value, False) for name, value in SECRETS.items()),
        ("CONDA_SERVICE_APIKEY", "x", False),
        ("TUNE_PGPASSWORD", "x", False),
    ],
)
def test_trials_get_of_the_environment_what_they_need(name: str, value: str, needed: bool) -> None:
    assert is_needed(name, value) == needed


def test_a_command_is_kept_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "planted-key")
    monkeypatch.setenv("SOME_KEY", "on")
    told = "run --set about=planted-key/hf_abcdefghijklmnopqrst --set x=https://me:pw@host/on"
    assert without_secrets(told) == "run --set about=***/*** --set x=https://***@host/on"
    assert without_secrets("run mine.yaml --set data.train=owner/name@main") == (
        "run mine.yaml --set data.train=owner/name@main"
    )


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for those of sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as name:
        yield Path(name)


def test_a_folder_of_ones_own_ends_with_its_session_or_with_the_next(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale, foreign = short / "sft-stale000", short / "sft-foreign0"
    for folder in (stale, foreign):
        folder.mkdir()
    (stale / PRIVATE_FOLDERS.lock).touch()
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    monkeypatch.setenv("HF_TOKEN", "planted-hf")
    with kept_private(None):
        mine = Path(os.environ["RAY_TMPDIR"])
        assert mine.parent == short
        assert stat.S_IMODE(mine.stat().st_mode) == 0o700
        token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert (token.parent, stat.S_IMODE(token.stat().st_mode)) == (mine, 0o600)
        assert "HF_TOKEN" not in os.environ
        with kept_private(None):  # another session beside it
            assert mine.is_dir()
    assert os.environ["HF_TOKEN"] == "planted-hf"
    assert sorted(short.iterdir()) == [foreign]  # which is nothing that a session has left
    with pytest.raises(ValueError, match="logs"), kept_private(None):  # noqa: PT012
        kept = Path(os.environ["RAY_TMPDIR"])
        raise ValueError(f"its logs: {kept}/ray/logs")
    assert kept.is_dir()
    with kept_private(None):
        assert not kept.exists()


def test_a_cluster_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with kept_private("auto"):
        left = SECRETS.keys() & os.environ.keys()
        assert left == {"RAY_AUTH_TOKEN", "WHAT_I_HIDE"}  # Ray's own is how we are let in; none is sent along
    assert SECRETS.items() <= os.environ.items()


def test_the_umask_is_the_users_again() -> None:
    before = own_umask()
    with umask(0o077):
        assert own_umask() == 0o077
    assert own_umask() == before


# ----------------------------------------------------------------------------------------------------- the real command


@pytest.fixture
def strangers_experiment(parts: Parts, tmp_path: Path) -> Path:
    """A sweep to go on with, whose every pickle would leave a mark."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    spec = load_spec(str(parts.write_spec(tmp_path)), ["reward.model=null", "max_failures=0"])
    (folder / SPEC_FILE).write_text(yaml.safe_dump(spec.model_dump(mode="json")), encoding="utf-8")
    planted = pickle.dumps(Payload(tmp_path / "it ran"))
    trial = folder / candidate_trials(spec)[0].name
    trial.mkdir()
    time_of = "2026-01-01_00-00-00"
    names = ("tuner.pkl", "trainable.pkl", f"searcher-state-{time_of}.pkl", f"search_gen_state-{time_of}.json")
    in_trial = (CHECKPOINT_FILE, "error.pkl", "params.pkl")
    for path in (*(folder / name for name in names), *(trial / name for name in in_trial)):
        path.write_bytes(planted)
    fallback = {"_type": "CLOUDPICKLE_FALLBACK", "value": planted.hex()}
    state = {"trial_id": "1", "status": "TERMINATED", "relative_logdir": trial.name, "storage": fallback}
    state_file = {"trial_data": [[json.dumps(state), "{}"]], "runner_data": fallback}
    (folder / f"experiment_state-{time_of}.json").write_text(json.dumps(state_file))
    return folder


def as_console_script(folder: Path) -> Path:
    """The command as pip installs it: a script whose folder, and not the working directory, is on Python's path."""
    (folder / "bin").mkdir()
    script = folder / "bin" / "sft-sweep"
    script.write_text(f"import sys\nsys.path.append({str(ROOT)!r})\nfrom sweep.main import script\nscript()\n")
    return script


def a_folder_with_packages_of_those_names(folder: Path) -> Path:
    place = folder / "somebody's project"
    for name in ("model", "analysis", "sweep", "select"):
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    return place


def planted_in(folder: Path) -> set[str]:
    """What of the secrets any file there holds."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found |= {name for name, value in SECRETS.items() if value.rsplit("@")[0].encode() in path.read_bytes()}
    return found


def others_may_read(folder: Path) -> list[Path]:
    """The folders directly within, and all files of Ray's; its folders it opens to everybody, whatever the umask."""
    paths = (path for path in folder.rglob("*") if not path.is_symlink() and path.exists())
    closed = (path for path in paths if path.parent == folder or not (path.is_dir() or "artifacts" in path.parts))
    return [path for path in closed if path.stat().st_mode & 0o077]


@pytest.mark.slow
def test_a_sweep_beside_strangers(parts: Parts, strangers_experiment: Path, short: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    given = {"HOME": str(home), "RAY_TMPDIR": str(short), "SFT_SWEEP_CACHE": str(tmp_path / "cache")}
    with umask(0o027):
        sweep = subprocess.Popen(
            [sys.executable, str(as_console_script(tmp_path)), "run", "--resume", str(strangers_experiment)],
            cwd=a_folder_with_packages_of_those_names(tmp_path),
            env={**kept, **given, **SECRETS},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    held: set[str] = set()
    ray_runs = False
    while sweep.poll() is None and not any(strangers_experiment.glob("*/result.json")):
        time.sleep(0.2)
    for process in psutil.Process(sweep.pid).children(recursive=True):
        with suppress(psutil.Error):  # one that has ended
            if any("/ray/" in word or word.startswith("ray::") for word in process.cmdline()):
                ray_runs, held = True, held | (SECRETS.keys() & process.environ().keys())
    seen, readable = planted_in(short), others_may_read(short)
    logs = list(short.rglob("runtime_env_agent.log"))
    out, _ = sweep.communicate(timeout=PATIENCE_SECONDS)
    assert sweep.returncode == 0, out
    assert ray_runs
    assert logs, "Ray keeps its files elsewhere"
    assert (held, seen, readable) == (set(), set(), [])
    assert not (tmp_path / "it ran").exists()
    assert list(short.iterdir()) == []
    assert not (home / ".ray").exists()
    assert planted_in(tmp_path) == set()
    assert "the wrong package" not in out
    for path in (*strangers_experiment.glob(f"*/{FINISHED_FILE}"), strangers_experiment / SWEEP_FILE):
        assert stat.S_IMODE(path.stat().st_mode) & 0o777 in (0o600, 0o640)
        assert path.stat().st_mode & 0o040, f"{path} is not for the user's group, as the umask has it"
