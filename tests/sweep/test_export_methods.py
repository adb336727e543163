"""A real sweep over methods that loralib has not, and what of it goes out."""

from pathlib import Path

import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from basis.directory import FINISHED_FILE
from model.peft_export import logits_on, probe_tokens
from sweep.storage.finished import read_finished
from tests.conftest import Here, Parts, Swept, made_once, run
from tests.sweep.test_export import trained_logits

pytestmark = pytest.mark.slow

SPACE = [
    {"method": ["dora", "pissa"], "rank": 2, "optimizer": "adamw", "lr": 1e-2},
    {"method": "ia3", "optimizer": "schedulefreeadamw", "lr": 1e-1, "also_train": ["biases"]},
    {"method": "qlora", "rank": 2, "optimizer": "lion", "lr": 1e-3},
    {"method": "qlora", "rank": 2, "optimizer": "lion", "lr": 1e-3, "also_train": ["layernorms"]},
]


@pytest.fixture(scope="module")
def methods(parts: Parts, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Swept:
    pytest.importorskip("bitsandbytes")
    folder = made_once(tmp_path_factory, "methods", lambda _: None)
    spec = folder / "methods.yaml"
    spec.write_text(yaml.safe_dump({**parts.spec(space=SPACE), "reward": {"model": None}}), encoding="utf-8")
    ran = run(environment, spec, "--output", folder / "experiment")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Swept(folder / "experiment", ran)


def plain(folder: Path, **options: object) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    return model


@pytest.mark.parametrize("method", ["dora", "pissa"])
def test_pefts_methods_load_in_plain_peft_and_merged_in_plain_transformers(
    export: Here, methods: Swept, parts: Parts, tmp_path: Path, method: str
) -> None:
    arm = f"{method} r2 adamw"
    wanted = trained_logits(methods.trial(f"{method}-r2-adamw"), parts)
    assert export(methods.experiment, "--arm", arm, "--to", tmp_path / "out")[0] == 0
    loaded = PeftModel.from_pretrained(plain(parts.model), tmp_path / "out")
    assert torch.allclose(logits_on(loaded, probe_tokens(plain(parts.model))), wanted, atol=1e-5)
    assert export(methods.experiment, "--arm", arm, "--merged", "--to", tmp_path / "whole")[0] == 0
    whole = plain(tmp_path / "whole")
    assert torch.allclose(logits_on(whole, probe_tokens(whole)), wanted, atol=1e-5)


def test_what_trained_beside_an_adapter_of_pefts_goes_out_merged_alone(
    export: Here, methods: Swept, parts: Parts, tmp_path: Path
) -> None:
    code, _, errors = export(methods.experiment, "--arm", "ia3", "--to", tmp_path / "out")
    assert (code, errors.count("\n")) == (2, 1)
    assert "PEFT's files of ia3 have no place for also_train (biases); merged, with --merged, it can" in errors
    assert not (tmp_path / "out").exists()
    assert export(methods.experiment, "--arm", "ia3", "--merged", "--to", tmp_path / "out")[0] == 0
    whole = plain(tmp_path / "out")
    wanted = trained_logits(methods.trial("ia3-schedulefreeadamw"), parts)
    assert torch.allclose(logits_on(whole, probe_tokens(whole)), wanted, atol=1e-5)


def test_an_adapter_of_quantised_weights_goes_out_beside_them(
    export: Here, methods: Swept, parts: Parts, tmp_path: Path
) -> None:
    labels = sorted(arm for arm in _labels(methods) if arm.startswith("qlora"))
    alone, beside = sorted(labels, key=lambda label: "layernorms" in label)
    assert export(methods.experiment, "--arm", alone, "--to", tmp_path / "out")[0] == 0
    assert "load_in_4bit=True" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    loaded = PeftModel.from_pretrained(plain(parts.model, quantization_config=four_bits), tmp_path / "out")
    trial = next(path for path in methods.experiment.glob("qlora-*/") if not _also_trained(path))
    wanted = trained_logits(trial, parts)
    assert torch.allclose(logits_on(loaded, probe_tokens(plain(parts.model))), wanted, atol=1e-5)
    code, _, errors = export(methods.experiment, "--arm", beside, "--to", tmp_path / "other")
    assert (code, "PEFT's files of qlora have no place for also_train (layernorms)" in errors) == (2, True)
    assert errors.rstrip().endswith("it can't be merged either")
    code, _, errors = export(methods.experiment, "--arm", alone, "--merged", "--to", tmp_path / "other")
    assert (code, "an adapter of method 'qlora' can't be merged" in errors) == (2, True)


def _labels(methods: Swept) -> set[str]:
    from analysis.results.experiment import read_experiment

    return set(read_experiment(methods.experiment).trials["arm"])


def _also_trained(trial: Path) -> bool:
    return bool(read_finished(trial / FINISHED_FILE).config.also_train)
