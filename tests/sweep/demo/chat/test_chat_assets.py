"""The assets of the preset `chat`: conversations, and a Llama whose tokenizer has a template, built once."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

import sweep.demo.chat.assets
from model.architectures import refuse_unknown
from sweep.demo.chat.assets import ChatAssets, chat_assets
from sweep.demo.chat.messages import messages_of
from sweep.demo.chat.sizes import ChatModelSizes, ChatSizes
from sweep.demo.chat.tokenizer import MARKS
from sweep.demo.corpus import make_corpus
from sweep.demo.sizes import DemoSizes
from sweep.memory.device import Device
from sweep.preparation import sources
from sweep.preparation.prepare import prepare
from sweep.search_space import candidate_trials, plan_sweep
from sweep.spec_file.load import load_spec
from sweep.worker.opening import open_trial
from tests.conftest import Parts

SMALL = ChatSizes(
    demo=DemoSizes(train=200, test=40, prompts=10, vocabulary=400),
    base=ChatModelSizes(layers=1, width=32, mlp_width=32, good_steps=20, mixed_steps=20),
)
CORPUS = make_corpus(SMALL.demo.seed, SMALL.demo.train, SMALL.demo.test, SMALL.demo.prompts)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ChatAssets:
    """The small assets in a cache of their own."""
    return chat_assets(tmp_path_factory.mktemp("cache"), lambda _: None, SMALL)


def test_second_call_builds_nothing(built: ChatAssets) -> None:
    cache = built.base_model.parent.parent
    assert chat_assets(cache, lambda text: pytest.fail(text), SMALL) == built
    assert [path.name for path in cache.iterdir()] == [built.base_model.parent.name]


def test_files_hold_the_demos_dialogues_as_messages_and_its_prompts(built: ChatAssets) -> None:
    for path, dialogues in ((built.train_file, CORPUS.train), (built.test_file, CORPUS.test)):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [set(record) for record in records] == [{"messages"}] * len(dialogues)
        for record, dialogue in zip(records, dialogues, strict=True):
            turns = record["messages"]
            assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
            assert (turns[-2]["content"], turns[-1]["content"]) == (dialogue.question, dialogue.good)
            spoken = zip(["\n\nHuman: ", "\n\nAssistant: "] * len(turns), turns, strict=False)
            assert "".join(speaker + turn["content"] for speaker, turn in spoken) == dialogue.chosen
    with built.prompts_file.open(newline="") as file:
        assert [row["prompt"] for row in csv.DictReader(file)] == CORPUS.prompts


def test_base_model_is_an_accepted_llama_with_grouped_queries_and_a_tied_head(
    built: ChatAssets, capfd: pytest.CaptureFixture[str]
) -> None:
    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(built.base_model)
    refuse_unknown(model.config)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.num_attention_heads == 2 * model.config.num_key_value_heads
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    tokenizer = AutoTokenizer.from_pretrained(built.base_model)
    assert len(tokenizer) == model.config.vocab_size == SMALL.demo.vocabulary + len(MARKS)
    asked = [{"role": "user", "content": "What is the capital of Italy?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert tokens.shape[1] > prompt["input_ids"].shape[1]
    assert capfd.readouterr().err == ""


def test_tokenizer_writes_chatml_whose_end_of_turn_is_its_end_token(built: ChatAssets) -> None:
    tokenizer = AutoTokenizer.from_pretrained(built.base_model)
    messages = messages_of(CORPUS.test[0], "naïve 😀\ttext  with odd  spaces")
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids.count(tokenizer.eos_token_id) == len(messages)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token_id not in (tokenizer.eos_token_id, tokenizer.bos_token_id, *ids)


@pytest.mark.parametrize("name", ["train.jsonl", "base_model/model.safetensors", "base_model/tokenizer.json"])
def test_assets_of_which_a_file_is_damaged_are_set_aside_and_built_again(
    built: ChatAssets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = built.base_model.parent
    folder = tmp_path / whole.name
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(b"\0" * (folder / name).stat().st_size)
    monkeypatch.setattr(
        sweep.demo.chat.assets, "_build", lambda place, *_: shutil.copytree(whole, place, dirs_exist_ok=True)
    )
    said: list[str] = []
    chat_assets(tmp_path, said.append, SMALL)
    aside = f"set aside as {folder.name}.damaged; made again"
    assert said == [f"{folder}: {name} has other content than was written, {aside}"]
    assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_the_preset_scores_the_assistants_turns_or_all_on_the_same_test_and_is_judged(
    built: ChatAssets, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "chat_assets", lambda *_: built)
    short = ["trial.steps=4", "trial.test_every=4", "trial.test_windows=10"]
    judged = [f"reward.model={parts.reward_model}", "reward.max_prompts=3", "reward.new_tokens=4"]
    plan = plan_sweep(load_spec("chat", [*short, *judged]))
    prepared = prepare(plan, tmp_path / "cache", lambda _: None)
    inputs = prepared.inputs(tmp_path, Device("cpu"), cpus=1)[None]
    first, last = {}, {}
    for trial in candidate_trials(plan.spec):
        if trial.method == "full":
            run = open_trial(trial, inputs)
            rows = [run.advance()]
            while not rows[-1].get("finished"):
                rows.append(run.advance())
            run.close()
            first[trial.loss_on], last[trial.loss_on] = rows[0], rows[-1]
    assert set(last) == {"assistant", "all"}
    assert first["assistant"]["test_loss"] == first["all"]["test_loss"]
    assert last["assistant"]["scored_tokens_seen"] < last["all"]["scored_tokens_seen"]
    assert all(math.isfinite(row["reward_mean"]) for row in last.values())
