"""The demo's assets: real Hugging Face folders from real training, built once."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

import sweep.demo.assets
from basis.errors import UserError
from sweep.demo.assets import DemoAssets, demo_assets
from sweep.demo.corpus import make_corpus
from sweep.demo.sizes import BaseModelSizes, DemoSizes, RewardModelSizes

SMALL = DemoSizes(
    train=600,
    test=100,
    prompts=20,
    vocabulary=512,
    base=BaseModelSizes(layers=1, width=32, good_steps=20, mixed_steps=20),
    reward=RewardModelSizes(layers=1, width=32, gap_steps=20, steps=40, check_every=10, enough=0.6, required=0.55),
)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoAssets, list[str]]:
    """The cache, the small assets in it, and what their build said."""
    cache, said = tmp_path_factory.mktemp("cache"), list[str]()
    return cache, demo_assets(cache, said.append, SMALL), said


def test_second_call_builds_nothing(built: tuple[Path, DemoAssets, list[str]]) -> None:
    cache, assets, said = built
    said_again: list[str] = []
    written = assets.base_model.stat().st_mtime_ns
    assert demo_assets(cache, said_again.append, SMALL) == assets
    assert said
    assert not said_again
    assert assets.base_model.stat().st_mtime_ns == written
    assert [path.name for path in cache.iterdir()] == [assets.base_model.parent.name]


def test_base_model_loads_and_generates_as_any_gpt2(
    built: tuple[Path, DemoAssets, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = built[1].base_model
    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("\n\nHuman: What is the capital of Italy?\n\nAssistant:", return_tensors="pt")
    tokens = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert tokens.shape[1] > prompt["input_ids"].shape[1]
    assert type(model).__name__ == "GPT2LMHeadModel"
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} == {end}
    assert (model.config.eos_token_id, model.config.pad_token_id) == (end, end)
    assert capfd.readouterr().err == ""


def test_tokenizer_returns_every_text_unchanged(built: tuple[Path, DemoAssets, list[str]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(built[1].base_model)
    for text in ("\n\nHuman: Hi!\n\nAssistant: Good morning, dear friend.", "naïve 😀\ttext  with odd  spaces"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_reward_model_is_as_accurate_as_claimed_when_loaded_from_its_folder(
    built: tuple[Path, DemoAssets, list[str]],
) -> None:
    assets = built[1]
    model = AutoModelForSequenceClassification.from_pretrained(assets.reward_model).eval()
    tokenizer = AutoTokenizer.from_pretrained(assets.reward_model)

    def reward(question: str, reply: str) -> float:
        with torch.no_grad():
            return float(model(**tokenizer(question, reply, return_tensors="pt")).logits)

    pairs = make_corpus(SMALL.seed, SMALL.train, SMALL.test, SMALL.prompts).unseen
    ranked = [reward(pair.question, pair.good) > reward(pair.question, pair.bad) for pair in pairs]
    claimed = json.loads(assets.reward_accuracy_file.read_text())
    assert claimed["pairs"] == len(pairs)
    assert sum(ranked) / len(ranked) == pytest.approx(claimed["accuracy"], abs=0.021)  # one pair may tie in rounding
    assert claimed["accuracy"] >= SMALL.reward.required


def test_files_hold_what_the_sweep_reads(built: tuple[Path, DemoAssets, list[str]]) -> None:
    assets = built[1]
    train = [json.loads(line) for line in assets.train_file.read_text().splitlines()]
    assert len(train) == SMALL.train
    assert all(set(dialogue) == {"chosen", "rejected"} for dialogue in train)
    with assets.prompts_file.open(newline="") as file:
        prompts = [row["prompt"] for row in csv.DictReader(file)]
    assert len(prompts) == SMALL.prompts
    assert not any(f"Human: {prompt}\n" in dialogue["chosen"] for prompt in prompts for dialogue in train)


def test_a_reward_model_that_ranks_too_little_ends_the_build_and_leaves_nothing(tmp_path: Path) -> None:
    strict = replace(SMALL, reward=replace(SMALL.reward, required=1.0))
    with pytest.raises(UserError, match="held-out pairs"):
        demo_assets(tmp_path, lambda text: None, strict)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["train.jsonl", "base_model/model.safetensors", "reward_model/config.json"])
def test_assets_of_which_a_file_is_damaged_are_set_aside_and_built_again(
    built: tuple[Path, DemoAssets, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = built[1].base_model.parent
    folder = tmp_path / whole.name
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(b"\0" * (folder / name).stat().st_size)
    monkeypatch.setattr(
        sweep.demo.assets, "_build", lambda place, *_: shutil.copytree(whole, place, dirs_exist_ok=True)
    )
    said: list[str] = []
    demo_assets(tmp_path, said.append, SMALL)
    aside = f"set aside as {folder.name}.damaged; made again"
    assert said == [f"{folder}: {name} has other content than was written, {aside}"]
    assert (folder / name).read_bytes() == (whole / name).read_bytes()
    demo_assets(tmp_path, lambda text: pytest.fail(text), SMALL)


def test_the_slower_of_two_builds_leaves_the_faster_one_in_place(
    built: tuple[Path, DemoAssets, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built[1].base_model.parent

    def build_while_another_finishes(folder: Path, sizes: DemoSizes, say: object) -> None:
        (folder / "mine").touch()
        theirs = tmp_path / first.name
        theirs.mkdir()
        (theirs / "theirs").touch()

    monkeypatch.setattr("sweep.demo.assets._build", build_while_another_finishes)
    demo_assets(tmp_path, lambda text: None, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    assert [path.name for path in (tmp_path / first.name).iterdir()] == ["theirs"]
