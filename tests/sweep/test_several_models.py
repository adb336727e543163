"""A sweep of two base models with tokenizers and templates of their own: the command, and what is done afterwards."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from basis.directory import FINISHED_FILE, RECORD_FILE, SWEEP_FILE, base_responses_file
from sweep.driver.rejudge import main as judge
from tests.conftest import Here, Parts, run
from tests.sweep.data.chat_templates import CHATML, chat_tokenizer

pytestmark = pytest.mark.slow

LLAMA = {
    **{"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"num_key_value_heads": 1, "vocab_size": 320, "max_position_embeddings": 128},
}
MODELS = ("tiny-gpt2", "tiny-llama")


@dataclass(frozen=True)
class TwoModels:
    """A sweep of two models that has ended, and its prompts."""

    experiment: Path
    prompts: Path

    def records(self) -> dict[str, dict[str, Any]]:
        """The record of each trial, by the trial's name."""
        paths = self.experiment.glob(f"*/{RECORD_FILE}")
        return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}

    def answers(self, model: str) -> list[dict[str, Any]]:
        """What a base model answered."""
        path = self.experiment / base_responses_file(model)
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def two(parts: Parts, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> TwoModels:
    folder = tmp_path_factory.mktemp("two")
    chat_tokenizer(CHATML).save_pretrained(folder / "tokenizer")
    pairs = [{"question": f"What is {n} plus one?", "answer": f"  It is {n + 1}.\n"} for n in range(60)]
    for name, some in (("train", pairs[:40]), ("test", pairs[40:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in some), encoding="utf-8")
    spec = parts.write_spec(
        folder,
        model=[
            {"name": str(parts.model), "label": MODELS[0]},
            {"name": "llama", "label": MODELS[1], "init": "random", "tokenizer": "./tokenizer", "shape": LLAMA},
        ],
        data={"train": ["train.jsonl"], "test": ["test.jsonl"]},
        trial={"steps": 4, "batch_size": 4, "block_size": 63, "test_every": 2, "test_windows": 10},
        space=[{"method": "full", "optimizer": "adamw", "lr": 1e-3}],
    )
    ran = run(environment, spec, "--output", folder / "experiment")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "2 finished, 0 failed, 0 interrupted" in ran.stdout
    return TwoModels(folder / "experiment", parts.prompts)


def test_each_trial_has_its_own_models_inputs_and_both_are_tested_on_the_same_text(two: TwoModels) -> None:
    first, second = (record for _, record in sorted(two.records().items()))
    assert (first["config"]["model"], second["config"]["model"]) == MODELS
    differing = {name for name, value in first["hashes"].items() if second["hashes"][name] != value}
    assert differing == {"base_weights", "tokenizer", "train_tokens", "test_tokens", "prompts"}
    assert first["test_rows"] == second["test_rows"]
    gpt2, llama = (two.answers(model) for model in MODELS)
    assert [answer["prompt"] for answer in gpt2] == [answer["prompt"] for answer in llama]
    assert [answer["response"] for answer in gpt2] != [answer["response"] for answer in llama]
    for name, record in two.records().items():
        responses = (two.experiment / name / "responses.jsonl").read_text(encoding="utf-8").splitlines()
        base = two.answers(record["config"]["model"])
        assert [json.loads(line)["base_response"] for line in responses] == [answer["response"] for answer in base]


def test_what_sweep_json_says_of_the_data_is_told_apart_where_models_differ(two: TwoModels) -> None:
    sweep = json.loads((two.experiment / SWEEP_FILE).read_text(encoding="utf-8"))
    assert (sweep["data"]["train_dialogues"], sweep["data"]["test_dialogues"]) == (40, 20)
    assert {f"train_tokens of {model}" for model in MODELS} <= set(sweep["data"])
    assert {f"{part} of {model}" for part in ("data", "base model", "reward") for model in MODELS} == set(
        sweep["identity"]
    )


def test_a_trial_of_either_model_is_reproduced_to_the_bit(two: TwoModels, here: Here) -> None:
    for name in two.records():
        code, out, _ = here("--reproduce", two.experiment / name)
        assert (code, "losses match to the bit" in out) == (0, True), out


def test_a_model_without_a_finished_trial_is_asked_anew_as_well_so_that_the_sweep_can_go_on(
    two: TwoModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Path(shutil.copytree(two.experiment, tmp_path / "experiment"))
    before = {model: two.answers(model) for model in MODELS}
    [unfinished] = experiment.glob(f"{MODELS[1]}-*/")
    shutil.rmtree(unfinished)
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("prompt\nHello?\n", encoding="utf-8")
    assert judge([str(experiment), "--prompts", str(fewer)]) == 0
    capsys.readouterr()
    answers = TwoModels(experiment, two.prompts).answers
    assert [len(answers(model)) for model in MODELS] == [1, 1] < [len(before[model]) for model in MODELS]
    changed, kept = (
        json.loads((folder / SWEEP_FILE).read_text(encoding="utf-8"))["identity"]
        for folder in (experiment, two.experiment)
    )
    assert {part for part in kept if kept[part] != changed[part]} == {f"reward of {model}" for model in MODELS}


def test_all_are_judged_anew_each_against_its_own_base_model_and_the_sweep_goes_on_with_it(
    two: TwoModels, environment: dict[str, str], here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "questions.jsonl"
    asked = [{"prompt": f"What is {n} plus one?", "answer": str(n + 1)} for n in range(3)]
    questions.write_text("".join(json.dumps(one) + "\n" for one in asked), encoding="utf-8")
    said = ["--match", "number", "--reference", "answer", "--prompts", str(questions)]
    assert judge([str(two.experiment), *said]) == 0
    capsys.readouterr()
    for model in MODELS:
        assert [answer["reference"] for answer in two.answers(model)] == ["1", "2", "3"]
    assert judge([str(two.experiment)]) == 0
    assert "nothing to judge" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in two.experiment.glob(f"*/{FINISHED_FILE}")}
    ran = run(environment, "--resume", two.experiment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert {path: path.read_bytes() for path in before} == before
