"""Files that somebody else has made are read, and never run: each holds code that would leave a mark."""

import ast
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray.tune
import torch
from pyarrow import parquet

from analysis.results import experiment as results
from basis.directory import CHECKPOINT_FILE
from basis.errors import UserError
from basis.outcomes import Outcome
from basis.packages import ROOT
from model.gpt2_lora import load_base
from model.weight_files import WeightsError
from sweep.data.dialogues import DataSources, load_sft
from sweep.data.windows import open_tokens
from sweep.inputs import SweepInputs
from sweep.judge.reading import check_judge
from sweep.trial.config import TrialConfig
from sweep.worker.opening import open_trial
from tests.conftest import Here, Parts


class Payload:
    """Runs a shell command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self._mark}'",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What the code in a planted file would make."""
    return tmp_path / "it ran"


@pytest.fixture
def payload(mark: Path) -> bytes:
    """Such code, pickled; it works."""
    planted = pickle.dumps(Payload(mark))
    pickle.loads(planted)
    mark.unlink()
    return planted


# ----------------------------------------------------------------------------------------------------- an experiment


def write_state(folder: Path, trials: list[tuple[dict[str, Any], dict[str, Any]]], **more: Any) -> None:
    listed = [[json.dumps(trial), json.dumps(run)] for trial, run in trials]
    (folder / "experiment_state-2026-01-01_00-00-00.json").write_text(json.dumps({"trial_data": listed, **more}))


def a_trial(name: str, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    config = {"method": "full", "rank": None, "optimizer": "adamw", "lr": 0.1, "seed": 0}
    state = {"trial_id": name, "relative_logdir": name, "status": "TERMINATED", "config": config, "stub": False}
    return {**state, **changes}, {"error_filename": None}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """One trial that has finished, as far as a report reads it."""
    folder = tmp_path / "experiment"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "result.json").write_text('{"step": 1, "test_loss": 2.5, "finished": true}\n')
    write_state(folder, [a_trial("one")])
    return folder


def in_place_of(where: str, pickled: Any, hexed: str) -> tuple[list[Any], dict[str, Any]]:
    """Trials and further keys of a state with a pickle at one place."""
    trial, run = a_trial("one")
    match where:
        case "a value of the config":
            trial["config"]["lr"] = pickled
        case "what Ray pickles of a trial":
            trial |= {"storage": pickled, "trial_name_creator": pickled, "results": hexed, "extra_arg": hexed}
        case "what Ray pickles of a run":
            run |= {"checkpoint_manager": pickled, "metric_n_steps": {"step": {"5": pickled}}, "last_result": pickled}
        case "the runner, without trials":
            return [], {"runner_data": {"search": pickled}, "stats": pickled}
        case key:
            trial[key] = pickled
    return [(trial, run)], {}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("what Ray pickles of a trial", None),
        ("what Ray pickles of a run", None),
        ("the runner, without trials", None),
        ("a value of the config", "'lr' of a config is a pickle"),
        ("config", "config is a pickle"),
        ("status", "status is a pickle"),
        ("relative_logdir", "relative_logdir is a pickle"),
    ],
)
def test_a_pickle_in_rays_state_is_passed_over_or_named(
    experiment: Path, payload: bytes, mark: Path, where: str, said: str | None
) -> None:
    hexed = payload.hex()
    trials, more = in_place_of(where, {"_type": "CLOUDPICKLE_FALLBACK", "value": hexed}, hexed)
    write_state(experiment, trials, **more)
    if said:
        with pytest.raises(UserError, match=said):
            results.read_experiment(experiment)
    else:
        assert results.read_experiment(experiment).trials["outcome"].tolist() == [Outcome.FINISHED] * len(trials)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "..", "a\0b", "\ud800", "é" * 128])
def test_a_trial_lies_within_its_experiment(experiment: Path, name: str) -> None:
    write_state(experiment, [a_trial("one", relative_logdir=name)])
    with pytest.raises(UserError, match="is no name within the experiment's directory"):
        results.read_experiment(experiment)


def test_a_state_that_is_cut_gives_way_to_the_one_before_and_what_only_that_one_knows_is_kept(experiment: Path) -> None:
    newer = experiment / "experiment_state-2026-01-02_00-00-00.json"
    two = a_trial("two", status="PENDING", relative_logdir=None, custom_dirname="two")
    two[0]["config"]["seed"] = 1
    newer.write_text(json.dumps({"trial_data": [[json.dumps(part) for part in two]]}))
    found = results.read_experiment(experiment).trials.set_index("trial")["outcome"]
    assert found.to_dict() == {"one": Outcome.FINISHED, "two": Outcome.NOT_STARTED}
    newer.write_text(newer.read_text()[:100])
    assert results.read_experiment(experiment).trials["trial"].tolist() == ["one"]
    next(experiment.glob("*2026-01-01*")).write_text("")
    with pytest.raises(UserError, match=r"experiment_state-2026-01-02_00-00-00.json is not as Ray Tune leaves it"):
        results.read_experiment(experiment)


def test_the_newest_word_on_a_trial_counts(experiment: Path) -> None:
    (experiment / "one" / "result.json").write_text('{"step": 1, "test_loss": 2.5}\n')
    (experiment / "experiment_state-2026-01-02_00-00-00.json").write_text(
        json.dumps({"trial_data": [[json.dumps(part) for part in a_trial("one", status="RUNNING")]]})
    )
    assert results.read_experiment(experiment).trials["outcome"].tolist() == [Outcome.INTERRUPTED]


# -------------------------------------------------------------------------------------------------------- other files


def test_a_checkpoint_that_is_a_pickle_is_set_aside(
    parts: Parts, inputs: SweepInputs, payload: bytes, mark: Path
) -> None:
    config = TrialConfig.model_validate({**parts.spec()["trial"], **parts.spec()["space"][1], "seed": 0})
    folder = inputs.experiment_dir / config.name
    folder.mkdir()
    (folder / CHECKPOINT_FILE).write_bytes(payload)
    trial = open_trial(config, inputs)
    assert trial.advance()["step"] == 0
    trial.close()
    assert (folder / "checkpoint.pt.damaged").read_bytes() == payload
    assert not mark.exists()


def as_torch_saves(mark: Path) -> bytes:
    kept = io.BytesIO()
    torch.save({"transformer.wte.weight": Payload(mark)}, kept)
    return kept.getvalue()


@pytest.mark.parametrize("kind", ["a pickle", "as torch saves one"])
def test_weights_that_are_a_pickle_are_refused(
    parts: Parts, tmp_path: Path, payload: bytes, mark: Path, kind: str
) -> None:
    content = payload if kind == "a pickle" else as_torch_saves(mark)
    for whole, read in (
        (parts.model, load_base),
        (parts.reward_model, lambda folder: check_judge(folder, ["Hello?"], 4, 2)),
    ):
        folder = Path(shutil.copytree(whole, tmp_path / whole.name))
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(WeightsError, match=r"pytorch_model\.bin is damaged, or holds other things than tensors"):
            read(str(folder))
    assert not mark.exists()


def test_tokens_that_are_pickled_objects_are_refused(tmp_path: Path, mark: Path) -> None:
    np.save(tmp_path / "train.npy", np.array([Payload(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        open_tokens(tmp_path / "train.npy")
    assert not mark.exists()


def test_data_whose_column_is_pickled_objects_are_refused(tmp_path: Path, payload: bytes, mark: Path) -> None:
    assert ray.tune  # it is what registers the type whose values are unpickled when they are read
    extension = {"ARROW:extension:name": "ray.data.arrow_pickled_object", "ARROW:extension:metadata": ""}
    pickled = pa.array([payload], pa.large_binary())
    turns = pa.StructArray.from_arrays([pickled], fields=[pa.field("content", pa.large_binary(), metadata=extension)])
    for field, column in (
        (pa.field("chosen", pa.large_binary(), metadata=extension), pickled),
        (pa.field("chosen", turns.type), turns),
    ):
        path = tmp_path / "train.parquet"
        parquet.write_table(pa.Table.from_arrays([column], schema=pa.schema([field])), path)
        with pytest.raises(UserError, match=r"column 'chosen' is a ray\.data.arrow_pickled_object; accepted: text"):
            load_sft(DataSources(train=(str(path),), test=(str(path),), exclude=()))
    assert not mark.exists()


def test_tags_of_a_spec_that_name_python_are_refused(here: Here, tmp_path: Path, mark: Path) -> None:
    spec = tmp_path / "planted.yaml"
    spec.write_text(f"about: !!python/object/apply:os.system ['touch \"{mark}\"']\n")
    code, _, said = here(spec)
    assert (code, len(said.splitlines())) == (2, 1)
    assert not mark.exists()


# ------------------------------------------------------------------------------------------- models with code of theirs


def with_code(folder: Path, place: Path, mark: Path) -> Path:
    """A copy of a model that says it is run by its own code."""
    shutil.copytree(folder, place)
    classes = dict.fromkeys(("AutoConfig", "AutoModelForSequenceClassification"), "theirs.Theirs")
    for name, change in (
        ("config.json", {"model_type": "theirs", "auto_map": classes}),
        ("tokenizer_config.json", {"tokenizer_class": "Theirs", "auto_map": {"AutoTokenizer": ["theirs.Theirs"] * 2}}),
    ):
        (place / name).write_text(json.dumps({**json.loads((place / name).read_text()), **change}))
    (place / "theirs.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    return place


def test_a_model_that_needs_code_of_its_own_is_refused_without_a_question(
    parts: Parts, here: Here, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    base = with_code(parts.model, tmp_path / "base", mark)
    judge = with_code(parts.reward_model, tmp_path / "judge", mark)
    whole = {"name": str(parts.model), "tokenizer": str(base)}
    for change, what in (
        ({"model": {"name": str(base)}}, f"model.name: {str(base)!r} can't be read as a model"),
        ({"model": whole}, f"tokenizer {str(base)!r} can't be loaded"),
        ({"reward": {**parts.spec()["reward"], "model": str(judge)}}, f"reward.model: {str(judge)!r} can't judge"),
    ):
        output = tmp_path / "out"
        code, out, said = here(parts.write_spec(tmp_path, **change), "--output", output)
        assert code == 2
        assert "[y/N]" not in out
        assert said == (
            f"error: {what}: it needs code of its own, which is never run; accepted: an architecture that Transformers "
            "itself has\n"
        )
    assert not mark.exists()


# --------------------------------------------------------------------------------------------------------- all readers

SAYS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
RUNS_CODE = (
    *("pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "pd.read_pickle", "joblib.load"),
    *("yaml.unsafe_load", "yaml.full_load", "eval", "exec"),
)
HAS_NO_CODE = ("GPT2Tokenizer", "GPT2Config", "GPT2LMHeadModel", "PeftModel")
"""Classes of Transformers and PEFT that are what they are, whatever a folder says."""


def test_every_reader_says_that_it_runs_no_code() -> None:
    read = 0
    for path in (path for package in ("model", "sweep", "analysis") for path in (ROOT / package).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name, said = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert name not in RUNS_CODE, f"{path}:{call.lineno}"
            whose, _, method = name.rpartition(".")
            word, value = SAYS.get(name, ("trust_remote_code", False))
            if name in SAYS or (method == "from_pretrained" and whose.split(".")[-1] not in HAS_NO_CODE):
                read += 1
                assert said.get(word) == str(value), f"{path}:{call.lineno}: {name} without {word}={value}"
    assert read >= 6
