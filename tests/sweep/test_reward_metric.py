"""The reward metric: what is judged is really the trial's model, against the same questions put to the base model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from basis.directory import RESPONSES_FILE
from basis.errors import UserError
from model.gpt2_lora import add_adapters, load_base
from model.lora_linear import LoRASettings
from sweep import reward_metric
from sweep.data.prompts import Question, read_questions
from sweep.data.rendered_prompts import Prompt, render
from sweep.data.template import choose_template
from sweep.data.tokenizer import load_tokenizer
from sweep.inputs import SweepInputs
from sweep.reward_metric import end_tokens, evaluate_reward, respond, score, shared_base_answers, summarise
from sweep.schema.reward import JudgePart
from tests.conftest import Parts

CPU = torch.device("cpu")


def adapted(inputs: SweepInputs, strength: float):  # type: ignore[no-untyped-def]
    model = load_base(inputs.base_model)
    add_adapters(model, LoRASettings(4, 4.0), torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 1).mul_(strength)
    return model


def test_a_planted_adapter_changes_answers_and_score_and_a_zero_one_ties_throughout(inputs: SweepInputs) -> None:
    base = shared_base_answers(inputs, inputs.reward, CPU)
    tokenizer = load_tokenizer(inputs.tokenizer)

    def judged(strength: float) -> dict[str, float | int]:
        folder = inputs.experiment_dir / f"trial-{strength}"
        folder.mkdir()
        return evaluate_reward(adapted(inputs, strength), tokenizer, inputs.prompts, inputs.reward, base, folder)

    nothing = judged(0.0)
    assert (nothing["wins"], nothing["ties"], nothing["losses"]) == (0, len(inputs.prompts), 0)
    assert nothing["reward_margin_mean"] == 0
    planted = judged(1.0)
    assert planted["ties"] < len(inputs.prompts)
    assert planted["reward_mean"] != nothing["reward_mean"]
    records = [json.loads(x) for x in (inputs.experiment_dir / "trial-1.0" / RESPONSES_FILE).read_text().splitlines()]
    assert any(r["response"] != r["base_response"] for r in records)


def test_scores_are_the_reward_models_own_logits_whatever_the_batch(parts: Parts) -> None:
    prompts = ["What colour is the apple?", "Hello?", "Is the garden green or is it rather blue?"]
    responses = ["The apple is red.", "", "The garden is white, and I am happy to help."]
    tokenizer = AutoTokenizer.from_pretrained(parts.reward_model)
    judge = AutoModelForSequenceClassification.from_pretrained(parts.reward_model).eval()
    with torch.no_grad():
        expected = [
            judge(**tokenizer(p, r, return_tensors="pt")).logits[0, 0].item()
            for p, r in zip(prompts, responses, strict=True)
        ]
    for batch_size in (1, 2, 3):
        assert score(parts.reward_model, prompts, responses, batch_size, CPU) == pytest.approx(expected, abs=1e-5)


def test_base_answers_are_made_once_and_shared(inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shared_base_answers(inputs, inputs.reward, CPU)
    monkeypatch.setattr(reward_metric, "load_base", lambda *_: pytest.fail("the base model was asked again"))
    assert shared_base_answers(inputs, inputs.reward, CPU) == first


def test_responses_do_not_depend_on_how_prompts_are_batched(inputs: SweepInputs) -> None:
    model, tokenizer = adapted(inputs, 0.5), load_tokenizer(inputs.tokenizer)
    one = respond(model, tokenizer, inputs.prompts, inputs.reward.model_copy(update={"batch_size": 1}))
    many = respond(model, tokenizer, inputs.prompts, inputs.reward.model_copy(update={"batch_size": 5}))
    assert one == many
    other = respond(model, tokenizer, inputs.prompts, inputs.reward.model_copy(update={"seed": 1}))
    assert other != one


def test_wins_ties_and_losses_are_counted_apart() -> None:
    def record(reward: float, base: float) -> dict[str, str | float | int]:
        return {"reward": reward, "base_reward": base, "response_tokens": 4}

    found = summarise([record(2, 1), record(1, 1), record(0, 1), record(3, 1)])
    assert (found["wins"], found["ties"], found["losses"]) == (2, 1, 1)
    assert found["win_rate"] == 0.5
    assert found["reward_mean"] == 1.5
    assert found["reward_margin_mean"] == 0.5


def test_right_answers_judge_in_place_of_a_reward_model(inputs: SweepInputs) -> None:
    tokenizer = load_tokenizer(inputs.tokenizer)
    responses, _ = respond(load_base(inputs.base_model), tokenizer, inputs.prompts, inputs.reward)
    words = [response.split()[-1] if response.split() else "?" for response in responses]
    last = len(words) - 1  # the base model is right but for its last answer
    prompts = [p._replace(reference="?!" if i == last else words[i]) for i, p in enumerate(inputs.prompts)]
    reward = inputs.reward.model_copy(update={"model": None, "judge": JudgePart(match="contains", reference="answer")})
    asked = replace(inputs, prompts=tuple(prompts), reward=reward)
    base = shared_base_answers(asked, reward, CPU)
    assert [answer["reward"] for answer in base] == [1.0] * last + [0.0]
    judged = evaluate_reward(adapted(inputs, 0.0), tokenizer, prompts, reward, base, inputs.experiment_dir)
    assert (judged["reward_mean"], judged["ties"]) == (last / len(words), len(words))
    planted = evaluate_reward(adapted(inputs, 1.0), tokenizer, prompts, reward, base, inputs.experiment_dir)
    records = [json.loads(line) for line in (inputs.experiment_dir / RESPONSES_FILE).read_text().splitlines()]
    right = [float(str(p.reference) in r["response"]) for p, r in zip(prompts, records, strict=True)]
    assert [r["reward"] for r in records] == right
    assert [r["reference"] for r in records] == [p.reference for p in prompts]
    lost = sum(ours < float(str(theirs["reward"])) for ours, theirs in zip(right, base, strict=True))
    assert planted["losses"] == lost > 0


def test_a_response_ends_where_the_models_own_generation_config_says(inputs: SweepInputs) -> None:
    model, tokenizer = load_base(inputs.base_model), load_tokenizer(inputs.tokenizer)
    assert end_tokens(model, tokenizer) == {tokenizer.eos_token_id}
    model.generation_config = GenerationConfig(eos_token_id=[3, 5])
    assert end_tokens(model, tokenizer) == {3, 5, tokenizer.eos_token_id}


def test_in_a_chat_template_no_words_end_a_response(inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(inputs.tokenizer)
    written = tokenizer.encode("The apple is red.\n\nHuman: And the river?")
    monkeypatch.setattr(reward_metric, "generate", lambda model, batch, *_: [written] * len(batch))
    reward = inputs.reward.model_copy(update={"template": None})
    in_chat = Prompt("What?", "user: What? assistant: ")
    [response], [length] = respond(load_base(inputs.base_model), tokenizer, [in_chat], reward)
    assert response == "The apple is red.\n\nHuman: And the river?"
    assert length == len(written)


def test_turns_in_plain_text_end_a_response_whoever_names_them(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(inputs.tokenizer)
    written = tokenizer.encode("The apple is red.\n\nHuman: And the river?")
    monkeypatch.setattr(reward_metric, "generate", lambda model, batch, *_: [written] * len(batch))
    reward = inputs.reward.model_copy(update={"template": None})
    prompts = render([Question("What?")], choose_template(tokenizer, "turns"), None)
    [response], _ = respond(load_base(inputs.base_model), tokenizer, prompts, reward)
    assert response == "The apple is red."


def test_a_response_ends_at_the_token_that_closes_a_turn_in_the_template_too(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(inputs.tokenizer)
    closing = next(token for token in ("Ġthe", "Ġis") if token in tokenizer.get_vocab())
    asked: list[set[int]] = []
    monkeypatch.setattr(reward_metric, "generate", lambda *args: asked.append(args[-1]) or [[1]])
    prompts = [Prompt("What?", "user: What? assistant: ", turn_end=closing)]
    respond(load_base(inputs.base_model), tokenizer, prompts, inputs.reward)
    assert asked == [{tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(closing)}]


def test_what_follows_the_next_human_turn_is_neither_judged_nor_counted(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(inputs.tokenizer)
    written = tokenizer.encode("The apple is red.\n\nHuman: And the river?")
    monkeypatch.setattr(reward_metric, "generate", lambda model, batch, *_: [written] * len(batch))
    responses, lengths = respond(load_base(inputs.base_model), tokenizer, inputs.prompts[:1], inputs.reward)
    assert responses == ["The apple is red."]
    assert lengths == [len(tokenizer.encode("The apple is red."))]


def test_a_judge_without_a_padding_token_and_pairs_too_long_for_it_are_scored(
    inputs: SweepInputs, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = GPT2Config.from_pretrained(inputs.base_model, num_labels=1)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(inputs.tokenizer)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    short, long = score(tmp_path, ["Hello?", "colour " * 90], ["Yes.", "The apple is red. " * 40], 2, CPU)
    assert short == pytest.approx(score(tmp_path, ["Hello?"], ["Yes."], 1, CPU)[0], abs=1e-5)
    assert long == pytest.approx(score(tmp_path, ["colour " * 90], ["The apple is red. " * 40], 1, CPU)[0], abs=1e-5)


def test_prompts_that_cannot_be_used_are_named(inputs: SweepInputs, tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("text\nhello\n", encoding="utf-8")
    with pytest.raises(UserError, match="no column 'prompt'; its columns are text"):
        read_questions(path)
    path.write_text("prompt\n", encoding="utf-8")
    with pytest.raises(UserError, match="no prompts in it"):
        read_questions(path)
    path.write_text("prompt\nhello\n", encoding="utf-8-sig")  # as spreadsheets write it
    assert read_questions(path) == [Question("hello")]
    path.write_text('prompt\n"hello\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"prompts\.csv, line 2: not CSV \(unexpected end of data\)"):
        read_questions(path)
    path.write_bytes(b"prompt\nh\xe9llo\n")
    with pytest.raises(UserError, match=r"prompts\.csv, line 2: byte 0xe9 is not UTF-8"):
        read_questions(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"prompts\.csv: is a Git LFS pointer, not the data"):
        read_questions(path)
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\)"):
        read_questions(tmp_path)
    long = replace(inputs, prompts=(Prompt("", "What colour is it? " * 40),))
    with pytest.raises(
        UserError, match=r"prompt 1 has \d+ tokens, and with reward.new_tokens 8 exceeds the model's 64"
    ):
        respond(load_base(inputs.base_model), load_tokenizer(inputs.tokenizer), long.prompts, inputs.reward)
