"""No weight is ever made up: what a model's folder may hold, and what is said of one that holds something else."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2LMHeadModel

from model.gpt2_lora import load_base
from model.weight_files import WeightsError
from model.weights import load_weights
from sweep.provenance.hashes import hash_model
from tests.conftest import Here, Parts

State = dict[str, Tensor]


@pytest.fixture
def weights(parts: Parts) -> State:
    return load_file(parts.model / "model.safetensors")


def folder_of(parts: Parts, place: Path, state: State, bin_file: bool = False) -> Path:
    """The model's folder with other weights in it."""
    shutil.copytree(parts.model, place)
    (place / "model.safetensors").unlink()
    if bin_file:
        torch.save(state, place / "pytorch_model.bin")
    else:
        copies = {name: value.clone().contiguous() for name, value in state.items()}
        save_file(copies, place / "model.safetensors", metadata={"format": "pt"})
    return place


def as_on_the_hub(state: State) -> State:
    """Names and constants of OpenAI's checkpoints on the hub: no prefix, a mask in each block."""
    short = {name.removeprefix("transformer."): value for name, value in state.items()}
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 64, 64).tril() for i in range(2)}
    return {**short, **masks, **{f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}}


RIGHT: dict[str, Callable[[State], State]] = {
    "as on the hub": as_on_the_hub,
    "the head beside an equal embedding": lambda s: {**s, "lm_head.weight": s["transformer.wte.weight"]},
    "half precision": lambda s: {name: value.bfloat16() for name, value in s.items()},
    "the head alone": lambda s: {k.replace("transformer.wte", "lm_head"): v for k, v in s.items()},
}


@pytest.mark.parametrize("bin_file", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("layout", RIGHT)
def test_the_layouts_that_people_have_load_to_the_same_weights_in_fp32(
    layout: str, bin_file: bool, parts: Parts, weights: State, tmp_path: Path
) -> None:
    state = RIGHT[layout](weights)
    loaded = load_base(folder_of(parts, tmp_path / "model", state, bin_file)).state_dict()
    rounded = weights if layout != "half precision" else {k: v.bfloat16().float() for k, v in weights.items()}
    for name, value in rounded.items():
        assert torch.equal(loaded[name], value), name
    assert torch.equal(loaded["lm_head.weight"], rounded["transformer.wte.weight"])


def nan_at(name: str) -> Callable[[State], State]:
    def changed(state: State) -> State:
        broken = state[name].clone()
        broken.view(-1)[3] = torch.nan
        return {**state, name: broken}

    return changed


WRONG: dict[str, tuple[Callable[[State], State], str]] = {
    "compiled": (
        lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
        r"'_orig_mod.' too much \(torch.compile puts it there\): save it anew without",
    ),
    "compiled, with the hub's names": (
        lambda s: {f"_orig_mod.{k.removeprefix('transformer.')}": v for k, v in s.items()},
        r"'_orig_mod.' too much \(torch.compile puts it there\)",
    ),
    "blocks compiled, with the hub's names": (
        lambda s: {k.removeprefix("transformer.").replace(".attn.", "._orig_mod.attn."): v for k, v in s.items()},
        r"'_orig_mod.' too much",
    ),
    "parallel": (lambda s: {f"module.{k}": v for k, v in s.items()}, r"'module.' too much \(DataParallel"),
    "wrapped": (lambda s: {f"model.{k}": v for k, v in s.items()}, r"'model.' too much"),
    "of nobody's prefix": (lambda s: {f"policy.{k}": v for k, v in s.items()}, r"'policy.' too much: save"),
    "compiled inside": (
        lambda s: {k.replace("transformer.", "transformer._orig_mod."): v for k, v in s.items()},
        r"'_orig_mod.' too much",
    ),
    "an adapter not merged": (
        lambda s: {
            **{f"base_model.model.{k}": v for k, v in s.items()},
            "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight": torch.ones(1, 32),
        },
        "adapter that is not merged; merge it into its model",
    ),
    "a layer missing": (
        lambda s: {k: v for k, v in s.items() if ".h.1." not in k},
        r"^12 weights are missing from the file \(first: transformer\.h\.1\.attn\.c_attn\.bias\)$",
    ),
    "a layer too many": (
        lambda s: {**s, **{k.replace(".h.1.", ".h.2."): v for k, v in s.items() if ".h.1." in k}},
        r"1\d weights are in the file not part of the model \(first: transformer\.h\.2\.",
    ),
    "another vocabulary": (
        lambda s: {**s, "transformer.wte.weight": s["transformer.wte.weight"][:-1]},
        r"transformer\.wte\.weight is \(\d+, 32\) in the file and \(\d+, 32\) by its config.json",
    ),
    "a head of its own": (
        lambda s: {**s, "lm_head.weight": s["transformer.wte.weight"] + 1},
        r'differ in the file, .* set "tie_word_embeddings": false',
    ),
    "the same weight twice": (
        lambda s: {**s, "wte.weight": s["transformer.wte.weight"] + 1},
        "has wte.weight and transformer.wte.weight, which are the same",
    ),
    "integers": (lambda s: {k: v.to(torch.int8) for k, v in s.items()}, "holds integers or 8-bit numbers in the file"),
    "not a number": (nan_at("transformer.ln_f.weight"), r"1 of 32 values of transformer\.ln_f\.weight are NaN"),
    "not a number in a tied weight": (nan_at("transformer.wte.weight"), r"1 of \d+ values of transformer\.wte"),
}


@pytest.mark.parametrize("bin_file", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("fault", WRONG)
def test_weights_that_are_not_the_models_are_refused_in_one_line(
    fault: str, bin_file: bool, parts: Parts, weights: State, tmp_path: Path
) -> None:
    change, expected = WRONG[fault]
    with pytest.raises(WeightsError, match=expected) as refused:
        load_base(folder_of(parts, tmp_path / "model", change(weights), bin_file))
    assert "\n" not in str(refused.value)


def pointer(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 548105171\n")


def shard(folder: Path) -> None:
    """The model in two shards; the second is missing."""
    GPT2LMHeadModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="40KB")
    (folder / "model.safetensors").unlink()
    sorted(folder.glob("model-*.safetensors"))[-1].unlink()


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def only(folder: Path, *names: str) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def adapter(folder: Path, alone: bool) -> None:
    """An adapter as PEFT leaves it, beside the weights or without them."""
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["c_attn"], "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": str(folder)}))
    tensors = {}
    for i in range(2):
        name = f"base_model.model.transformer.h.{i}.attn.c_attn"
        tensors |= {f"{name}.lora_A.weight": torch.ones(2, 32), f"{name}.lora_B.weight": torch.ones(96, 2)}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    if alone:
        only(folder, "adapter_config.json", "adapter_model.safetensors")


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pointer": (lambda f: pointer(f, "model.safetensors"), "model.safetensors is a pointer of Git LFS.*git lfs pull"),
    "pointer for a tokenizer": (lambda f: pointer(f, "tokenizer.json"), "tokenizer.json is a pointer of Git LFS"),
    "pointer for a configuration": (lambda f: pointer(f, "config.json"), "config.json is a pointer of Git LFS"),
    "shards missing": (shard, r"1 of \d+ shards that model.safetensors.index.json names are missing \(first: model-0"),
    "truncated": (truncate, "model.name: .*model' can't be loaded: "),
    "no configuration": (lambda f: (f / "config.json").unlink(), "no config.json in it, which says what model it is"),
    "an error page": (
        lambda f: [(f / "model.safetensors").unlink(), (f / "pytorch_model.bin").write_text("<html>")],
        r"pytorch_model.bin is damaged, or holds other things than tensors \(Weights only load failed\)",
    ),
    "a training state": (
        lambda f: [(f / "model.safetensors").unlink(), torch.save({"state_dict": {}}, f / "pytorch_model.bin")],
        "pytorch_model.bin holds 'state_dict', which is no tensor; save the model.s state dict alone",
    ),
    "nothing": (lambda f: (f / "model.safetensors").unlink(), "no weights in it; accepted: model.safetensors, "),
    "another format": (
        lambda f: (f / "model.safetensors").rename(f / "tf_model.h5"),
        r"no weights in it \(tf_model.h5 is not read\)",
    ),
    "an adapter's folder": (lambda f: adapter(f, True), "it is an adapter's folder"),
    "an adapter beside weights": (lambda f: adapter(f, False), "adapter_config.json lies beside whole weights"),
}


@pytest.mark.parametrize("fault", FOLDERS)
def test_folders_that_are_not_whole_models_are_refused_before_anything_else(
    fault: str, parts: Parts, tmp_path: Path, here: Here
) -> None:
    spoil, expected = FOLDERS[fault]
    place = tmp_path / "model"
    shutil.copytree(parts.model, place)
    spoil(place)
    code, _, errors = here(parts.write_spec(tmp_path, model={"name": str(place)}), "--output", tmp_path / "out")
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert re.search(expected, errors), errors
    assert not (tmp_path / "out").exists()


def test_an_adapter_beside_whole_weights_is_refused_before_transformers_asks_whether_peft_is_installed(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "model"
    shutil.copytree(parts.model, place)
    adapter(place, alone=False)
    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", lambda *_, **__: pytest.fail("Transformers was asked"))
    with pytest.raises(WeightsError, match=r"adapter_config.json lies beside whole weights"):
        load_base(place)


def test_the_hash_of_a_model_is_of_the_files_that_are_loaded_and_of_no_others(parts: Parts, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(parts.model, place)
    whole = hash_model(str(place))
    (place / "onnx").mkdir()
    for name in ("onnx/model.onnx", "pytorch_model.bin", "training_args.bin", "optimizer.safetensors"):
        (place / name).write_bytes(b"something else")
    assert hash_model(str(place)) == whole
    GPT2LMHeadModel.from_pretrained(place).save_pretrained(place, max_shard_size="40KB")
    (place / "model.safetensors").unlink(missing_ok=True)
    sharded = hash_model(str(place))
    assert sharded != whole
    index = place / "model.safetensors.index.json"
    index.write_text(index.read_text() + " ")
    assert hash_model(str(place)) != sharded


def test_a_judge_without_its_head_and_a_language_model_are_no_judges(parts: Parts, tmp_path: Path) -> None:
    place = tmp_path / "judge"
    shutil.copytree(parts.reward_model, place)
    state = load_file(place / "model.safetensors")
    save_file({k: v for k, v in state.items() if not k.startswith("classifier")}, place / "model.safetensors")
    with pytest.raises(WeightsError, match=r"2 weights are missing from the file \(first: classifier.bias\)"):
        load_weights(AutoModelForSequenceClassification, place)
    with pytest.raises(WeightsError, match=r"1 weight is missing from the file \(first: score.weight\)"):
        load_weights(AutoModelForSequenceClassification, parts.model)


def test_a_head_of_its_own_loads_where_the_configuration_says_so_and_is_missed_where_it_is_not_there(
    parts: Parts, weights: State, tmp_path: Path
) -> None:
    head = weights["transformer.wte.weight"] + 1
    place = folder_of(parts, tmp_path / "model", {**weights, "lm_head.weight": head})
    GPT2Config.from_pretrained(place, tie_word_embeddings=False).save_pretrained(place)
    model = load_base(place)
    assert torch.equal(model.lm_head.weight, head)
    assert torch.equal(model.transformer.wte.weight, weights["transformer.wte.weight"])
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r'first: lm_head.weight\); .* set "tie_word_embeddings": true'):
        load_base(place)
