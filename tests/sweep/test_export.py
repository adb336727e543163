"""The winner of a real sweep as other programs load it, and what is refused."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import HfApi, constants
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from basis.directory import FINISHED_FILE, SPEC_FILE, TRAINED_FILE
from model.peft_export import logits_on, probe_tokens
from sweep.exporting import push
from sweep.exporting.card import _portable
from sweep.storage.finished import read_finished
from sweep.worker.judging import kept_model
from tests.conftest import Here, Parts, Swept
from tests.hub.server import TOKEN, StandInHub


@pytest.fixture
def experiment(swept: Swept, tmp_path: Path) -> Path:
    """The experiment, to be changed."""
    return Path(shutil.copytree(swept.experiment, tmp_path / "experiment"))


def trained_logits(trial: Path, parts: Parts) -> torch.Tensor:
    model = kept_model(read_finished(trial / FINISHED_FILE).config, str(parts.model), trial)
    return logits_on(model, probe_tokens(model))


def test_an_adapter_loads_in_plain_peft_with_the_trials_logits(
    export: Here, swept: Swept, parts: Parts, tmp_path: Path
) -> None:
    code, output, errors = export(swept.experiment, "--arm", "lora r2 sgd", "--to", tmp_path / "out")
    assert (code, errors) == (0, "")
    assert "lora r2 sgd: it was named; seed 0 is the only one that finished" in output
    base = AutoModelForCausalLM.from_pretrained(parts.model, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, tmp_path / "out")
    wanted = trained_logits(swept.trial("lora-r2-sgd"), parts)
    assert torch.allclose(logits_on(loaded, probe_tokens(base)), wanted, atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("Human")["input_ids"]
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"]) == (2, 32.0, True)
    assert sorted(config["target_modules"]) == ["c_attn", "c_fc", "c_proj"]
    assert config["base_model_name_or_path"] == parts.model.name
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1, "a file that others can't read"


@pytest.mark.parametrize(("arm", "trial"), [("full adamw", "full-adamw"), ("lora r2 sgd", "lora-r2-sgd")])
def test_merged_weights_load_in_plain_transformers_with_the_trials_logits(
    export: Here, swept: Swept, parts: Parts, tmp_path: Path, arm: str, trial: str
) -> None:
    assert export(swept.experiment, "--arm", arm, "--merged", "--to", tmp_path / "out")[0] == 0
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    wanted = trained_logits(swept.trial(trial), parts)
    assert torch.allclose(logits_on(loaded, probe_tokens(loaded)), wanted, atol=1e-5)
    assert (tmp_path / "out" / "generation_config.json").is_file()


def test_the_card_says_what_the_report_says_and_nothing_of_the_machine(
    export: Here, swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretOfThisUser")
    assert export(swept.experiment, "--arm", "lora r2 sgd", "--to", tmp_path / "out")[0] == 0
    files = [path for path in (tmp_path / "out").iterdir() if path.suffix != ".safetensors"]
    for text in (path.read_text(encoding="utf-8") for path in files):
        assert not any(
            word in text for word in ("hf_secret", str(Path.home()) + "/", socket.gethostname(), str(swept.experiment))
        )
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["library_name"] == "peft"
    [result] = head["model-index"][0]["results"]
    row = read_finished(swept.trial("lora-r2-sgd") / FINISHED_FILE).rows[-1]
    assert result["metrics"][0]["value"] == pytest.approx(row["test_loss"], abs=1e-6)
    assert f"{row['test_loss']:.4f}" in card
    assert "Trust in the comparison: **low**" in card
    record = json.loads((swept.trial("lora-r2-sgd") / "record.json").read_text())
    assert record["hashes"]["train_tokens"] in card
    assert "rank: 2" in card


def test_what_cant_be_exported_is_said_in_one_line_and_nothing_is_left(
    export: Here, experiment: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    [trained] = experiment.glob(f"lora-*/{TRAINED_FILE}")
    cases = [
        ((experiment, "--arm", "lora r3 sgd"), "'lora r3 sgd' is no arm of this sweep; did you mean 'lora r2 sgd'?"),
        (
            (experiment, "--arm", "full sgd"),
            "no trial of 'full sgd' has finished (diverged); those that have: full",
        ),
        (
            (experiment, "--best", "tset_loss"),
            "'tset_loss' is no metric that can be best; did you mean",
        ),
        ((tmp_path, "--arm", "x"), "is not an experiment"),
        (
            (experiment, "--arm", "x", "--push", "no-owner"),
            "--push no-owner: is no name of a repository;",
        ),
        ((experiment, "--push", "me/a--b"), "--push me/a--b: is no name of a repository;"),
    ]
    trained.unlink()
    cases.append(((experiment, "--arm", "lora r2 sgd"), "the weights of lora r2 sgd are not there; "))
    for words, message in cases:
        code, _, errors = export(*words, "--to", out)
        assert code == 2
        [line] = errors.splitlines()
        assert message in line
    assert not out.exists()
    (out / "mine").mkdir(parents=True)
    code, _, errors = export(experiment, "--to", out)
    assert (code, "is there already; accepted: a folder that is new or empty" in errors) == (2, True)


def test_an_empty_folder_is_filled_where_it_stands(
    export: Here, swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / ".unfinished-of-a-run-that-was-killed").mkdir(parents=True)
    (tmp_path / "link").symlink_to(here)
    monkeypatch.chdir(here)
    inode = here.stat().st_ino
    assert export(swept.experiment, "--arm", "lora r2 sgd", "--to", ".")[0] == 0
    assert here.stat().st_ino == inode
    assert (tmp_path / "link" / "adapter_model.safetensors").is_file()
    code, _, errors = export(swept.experiment, "--arm", "lora r2 sgd", "--to", tmp_path / "link")
    assert (code, "is there already" in errors) == (2, True)


def test_a_judge_that_is_gone_hinders_nobody(export: Here, experiment: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load((experiment / SPEC_FILE).read_text(encoding="utf-8"))
    spec["reward"]["model"] = "somebody/reward-model@" + "0" * 40
    (experiment / SPEC_FILE).write_text(yaml.safe_dump(spec), encoding="utf-8")
    code, _, errors = export(experiment, "--arm", "full adamw", "--to", tmp_path / "out")
    assert (code, errors) == (0, "")


def test_damaged_weights_are_no_winner(export: Here, experiment: Path, tmp_path: Path) -> None:
    [trained] = experiment.glob(f"full-adamw-*/{TRAINED_FILE}")
    content = bytearray(trained.read_bytes())
    content[-1] ^= 1
    trained.write_bytes(content)
    code, _, errors = export(experiment, "--arm", "full adamw", "--to", tmp_path / "out")
    assert code == 2
    assert "can't be loaded: it " in errors
    assert "--resume" in errors


def test_a_disk_that_fills_up_leaves_nothing_behind(
    export: Here, swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sweep.exporting.export.card_of", full)
    code, _, errors = export(swept.experiment, "--arm", "full adamw", "--to", tmp_path / "at" / "out")
    assert code == 2
    [line] = errors.splitlines()
    assert "full" in line
    assert not [path for path in (tmp_path / "at").iterdir() if not path.name.endswith(".lock")]


def test_ctrl_c_leaves_nothing_behind(
    export: Here, swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweep.exporting.export.card_of", interrupted)
    code, output, _ = export(swept.experiment, "--arm", "full adamw", "--to", tmp_path / "at" / "out")
    assert (code, "interrupted; nothing unfinished is left" in output) == (130, True)
    assert not [path for path in (tmp_path / "at").iterdir() if not path.name.endswith(".lock")]


def test_a_disk_without_room_is_told_before_a_byte_is_written(
    export: Here, swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.preparation.disk_room.free_bytes", lambda _: 1000)
    code, _, errors = export(swept.experiment, "--arm", "full adamw", "--to", tmp_path / "at" / "out")
    assert code == 2
    [line] = errors.splitlines()
    assert line.startswith(f"error: {tmp_path / 'at'}: the export of full adamw takes ")
    assert line.endswith("make room, or name a folder on another disk")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("sft-sweep run /srv/a/my.yaml --output=/data/b/out", "sft-sweep run my.yaml --output=out"),
        ("x --set data.train=[/a/b/c.jsonl,~/d.jsonl]", "x --set 'data.train=[c.jsonl,d.jsonl]'"),
        ("x '/srv/my data/a.yaml'", "x a.yaml"),
        ("x --set 'data.train=[/a/b, /c d/e]'", "x --set 'data.train=[b, e]'"),
        ("x specs/my.yaml --set lr=1e-3", "x specs/my.yaml --set lr=1e-3"),
        ("x --set model.name=me/base", "x --set model.name=me/base"),
    ],
)
def test_a_command_on_the_card_has_the_last_part_of_each_path(command: str, shown: str) -> None:
    assert _portable(command) == shown


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    with StandInHub([]) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # whose protocol the stand-in does not speak
        monkeypatch.setattr(push, "HfApi", lambda: HfApi(endpoint=hub.endpoint))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def test_a_push_makes_a_private_repository_with_every_file(
    export: Here, swept: Swept, tmp_path: Path, hub: StandInHub
) -> None:
    out = tmp_path / "out"
    code, output, errors = export(swept.experiment, "--arm", "lora r2 sgd", "--to", out, "--push", "me/winner")
    assert (code, errors) == (0, "")
    assert f"pushed: {hub.endpoint}/me/winner" in output
    assert hub.uploads.private == {"me/winner": True}
    assert hub.uploads.files["me/winner"] == {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_push_that_cant_succeed_is_refused_before_anything_is_written(
    export: Here, swept: Swept, tmp_path: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (swept.experiment, "--arm", "full adamw", "--to", tmp_path / "out", "--push", "me/winner")
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    assert "does not know your token" in export(*words)[2]
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(push, "get_token", lambda: None)
    code, _, errors = export(*words)
    assert (code, errors.count("\n")) == (2, 1)
    assert "--push me/winner: no token; log in with `hf auth login`, or set HF_TOKEN" in errors
    assert not (tmp_path / "out").exists()
    assert not hub.uploads.files


def test_a_push_that_is_forbidden_leaves_the_export(
    export: Here, swept: Swept, tmp_path: Path, hub: StandInHub
) -> None:
    hub.uploads.forbidden = 403
    out = tmp_path / "out"
    code, _, errors = export(swept.experiment, "--arm", "full adamw", "--to", out, "--push", "them/winner")
    assert code == 2
    assert "your token may not write to them/winner" in errors
    assert f"the export stays in {out}" in errors
    assert (out / "model.safetensors").is_file()
