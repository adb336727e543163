"""What a trial keeps of where its numbers come from."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import __version__ as tokenizers_version

from basis.directory import FINISHED_FILE, RECORD_FILE
from sweep.data.digests import SourceDigest
from sweep.inputs import SweepInputs
from sweep.provenance.code_version import code_version
from sweep.provenance.hashes import input_hashes, name_sources
from sweep.provenance.trial_record import PARTS
from sweep.schema.reward import RewardPart
from sweep.worker.opening import open_trial
from tests.conftest import Parts, Swept
from tests.sweep.worker.test_trial_run import config, finish


def read(trial: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((trial / RECORD_FILE).read_text(encoding="utf-8"))
    return record


def test_every_trial_of_a_sweep_keeps_a_record_of_all_that_it_was(swept: Swept, parts: Parts) -> None:
    for trial in (swept.trial("full-adamw"), swept.trial("lora-r2-sgd")):
        record = read(trial)
        assert record.keys() == {*PARTS, "test_rows"}
        assert record["config"] == json.loads((trial / FINISHED_FILE).read_text())["config"]
        assert record["config_hash"].startswith(trial.name.rsplit("-", 1)[1])
        assert record["code"] == asdict(code_version())
        assert record["versions"]["torch"] == torch.__version__
        assert record["versions"]["tokenizers"] == tokenizers_version
        assert {"python", "transformers", "ray", "loralib", "peft", "pytorch-optimizer"} <= record["versions"].keys()
        hardware = record["hardware"]
        assert (hardware["device"], hardware["device_type"], hardware["threads"]) == (hardware["cpu"], "cpu", 1)
        hashes = record["hashes"]
        names = {"base_weights", "tokenizer", "train_tokens", "test_tokens", "prompts", "reward_model", "data_files"}
        assert names <= hashes.keys()
        assert all(len(value) == 64 for name, value in hashes.items() if name != "data_files")
        files = {"train:train.jsonl": parts.train, "test:test.jsonl": parts.test}
        assert hashes["data_files"] == {k: hashlib.sha256(v.read_bytes()).hexdigest() for k, v in files.items()}
        assert record["execution"] == {"micro_batch": 4, "activation_checkpointing": False}
        assert record["judged_as_trained"] is True
    assert read(swept.trial("full-sgd"))["judged_as_trained"] is None  # it diverged


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("base_weights", lambda folder, prompts: (folder / "config.json").write_text("{}")),
        ("tokenizer", lambda folder, prompts: (folder / "tokenizer.json").write_text("{}")),
        ("train_tokens", lambda folder, prompts: (folder / "train.npy").write_bytes(b"1")),
        ("prompts", lambda folder, prompts: prompts.append("And why?")),
    ],
)
def test_a_hash_follows_the_content_of_its_input_alone(
    parts: Parts, tmp_path: Path, part: str, change: Callable[[Path, list[str]], object]
) -> None:
    folder, prompts = tmp_path / "model", ["What colour is it?"]
    shutil.copytree(parts.model, folder)
    (folder / "train.npy").write_bytes(b"0")

    def hashes() -> dict[str, str]:
        tokens = {"train": folder / "train.npy"}
        return input_hashes(str(folder), str(folder), tokens, prompts, RewardPart(model=None), {})

    before = hashes()
    change(folder, prompts)
    assert [name for name, value in hashes().items() if value != before[name]] == [part]


def test_files_of_one_name_are_told_apart() -> None:
    sources = [SourceDigest("train", "a.jsonl", ".jsonl", digest) for digest in ("1", "2")]
    sources.append(SourceDigest("test", "a.jsonl", ".jsonl", "3"))
    assert name_sources(sources) == {"train:a.jsonl": "1", "train:a.jsonl (2)": "2", "test:a.jsonl": "3"}


def test_a_trial_that_goes_on_elsewhere_keeps_what_it_was_before(inputs: SweepInputs) -> None:
    stopped = open_trial(config(), inputs)
    for _ in range(3):
        stopped.advance()
    stopped.close()
    assert "earlier" not in read(stopped.folder)
    again = open_trial(config(), replace(inputs, cpus=2))
    finish(again)
    record = read(again.folder)
    assert record["hardware"]["threads"] == 2
    assert [earlier["hardware"]["threads"] for earlier in record["earlier"]] == [1]
