"""The reward metric: how a trial answers the evaluation prompts, judged against the base model's answers.

    python -m sweep.reward_metric DIR       judges what a sweep has kept, see `sweep.driver.rejudge`

Trial and base model get the same prompts, the same template and the same random draws. Their responses are scored by
the same reward model, or held to the same right answers: 1 where a response is right, else 0. The base model's answers
are made once per sweep, by whichever trial needs them first, and shared.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

import torch
from filelock import FileLock
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from basis.directory import RESPONSES_FILE
from basis.errors import UserError
from model.generate import SamplingSettings, generate, uniform_draws
from model.gpt2_lora import load_base
from model.precision import products_of_fp32
from sweep.data.openings import HH_ANSWER, HH_HUMAN
from sweep.data.rendered_prompts import Prompt
from sweep.data.tokenizer import load_tokenizer
from sweep.inputs import SweepInputs
from sweep.judge.answer_match import is_right
from sweep.judge.reading import load_judge
from sweep.judge.reward_model import Reading
from sweep.schema.reward import RewardPart
from sweep.storage.responses import Answer, read_answers, set_answers_aside, write_answers, write_sealed_answers


class JudgingError(Exception):
    """A judge that has no finite score for any prompt: there is nothing to compare."""


NEXT_TURN = HH_HUMAN
"""Where a response ends if the model goes on to write the human's next turn. In a chat template a token ends it."""


def encode_prompts(
    prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, new_tokens: int, positions: int
) -> list[list[int]]:
    """Token ids of each prompt as rendered.

    Raises:
        UserError: a prompt and its response of `new_tokens` do not fit into the model's `positions`.
    """
    encoded = [tokenizer.encode(prompt.rendered, add_special_tokens=False) for prompt in prompts]
    for number, ids in enumerate(encoded, 1):
        if len(ids) + new_tokens > positions:
            raise UserError(
                f"reward.prompts: prompt {number} has {len(ids)} tokens, and with reward.new_tokens "
                f"{new_tokens} exceeds the model's {positions} positions"
            )
    return encoded


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids that end a response: the tokenizer's end of text, and what the model's generation_config.json names.

    Without such a file of its author's, Transformers copies the ids of the model's configuration, which know nothing of
    the tokenizer.
    """
    settings = model.generation_config.to_dict()
    named = None if settings.get("_from_model_config") else settings["eos_token_id"]
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [] if named is None else [named])}


@products_of_fp32("fp32")  # whatever the environment allows: base and trained model are answered for alike
def respond(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], reward: RewardPart
) -> tuple[list[str], list[int]]:
    """The model's response to each prompt, up to an end token or the next turn, and its length in tokens.

    Prompts of similar length share a batch, so little is padded; a response does not depend on its batch.
    """
    encoded = encode_prompts(prompts, tokenizer, reward.new_tokens, model.config.max_position_embeddings)
    draws = uniform_draws(reward.seed, len(encoded), reward.new_tokens)
    settings = SamplingSettings(reward.new_tokens, reward.temperature, reward.top_k)
    ends = end_tokens(model, tokenizer)
    ends |= {tokenizer.convert_tokens_to_ids(end) for end in {prompt.turn_end for prompt in prompts} - {""}}
    responses, lengths = [""] * len(encoded), [0] * len(encoded)
    by_length = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    for start in range(0, len(by_length), reward.batch_size):
        batch = by_length[start : start + reward.batch_size]
        generated = generate(model, [encoded[i] for i in batch], draws[batch], settings, ends)
        for i, ids in zip(batch, generated, strict=True):
            text = tokenizer.decode(ids)
            plain = reward.template is not None or prompts[i].rendered.endswith(HH_ANSWER)
            cut = plain and NEXT_TURN in text
            responses[i] = (text.split(NEXT_TURN)[0] if cut else text).strip()
            lengths[i] = len(tokenizer.encode(responses[i], add_special_tokens=False)) if cut else len(ids)
    return responses, lengths


@products_of_fp32("fp32")
def score(
    reward_model: str | Path,
    prompts: Sequence[str],
    responses: Sequence[str],
    batch_size: int,
    device: torch.device,
    reading: Reading | None = None,
) -> list[float]:
    """The reward model's single logit for each (prompt, response) pair. The model is loaded for this call alone.

    Pairs that exceed what it can read (see `sweep.judge.reward_model.Reading`) lose the end of the longer part.
    """
    judge = load_judge(reward_model, device, reading)
    return judge.score(list(zip(prompts, responses, strict=True)), batch_size)


def shared_base_answers(inputs: SweepInputs, reward: RewardPart, device: torch.device) -> list[Answer]:
    """The base model's response and reward for each prompt, which all trials of a sweep share.

    They are read from the experiment. The first trial that needs them makes and writes them; a lock makes the others
    wait. Damaged answers are set aside and made again.

    Args:
        inputs: what the sweep's trials share.
        reward: the sweep's own, but for the size of its batches.
        device: where they are made, if they have to be.
    """
    path = inputs.base_answers
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if remark := set_answers_aside(path, [prompt.text for prompt in inputs.prompts]):
            print(remark, file=sys.stderr)
        if not path.exists():
            answer_as_base(path, inputs.base_model, inputs.tokenizer, inputs.prompts, reward, inputs.reading, device)
        return read_answers(path)


def answer_as_base(
    path: Path,
    base_model: str,
    tokenizer: str,
    prompts: Sequence[Prompt],
    reward: RewardPart,
    reading: Reading | None,
    device: torch.device,
) -> None:
    """Write the base model's response and reward for each prompt to `path`."""
    model = load_base(base_model).to(device)
    answers = _answer(model, load_tokenizer(tokenizer), prompts, reward, {}, reading)
    write_sealed_answers(path, answers)


def evaluate_reward(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    reward: RewardPart,
    base: Sequence[Answer],
    folder: Path,
    reading: Reading | None = None,
) -> dict[str, float | int]:
    """Answer, score and compare; every prompt, response and score is kept in `folder`.

    Returns:
        The reward metrics of `basis.metrics.METRICS`.

    Raises:
        JudgingError: no prompt has two rewards to compare; the responses are kept all the same.
    """
    known = {(str(r["prompt"]), str(r["response"])): _score_of(r["reward"]) for r in base}
    answers = _answer(model, tokenizer, prompts, reward, known, reading)
    for answer, reference in zip(answers, base, strict=True):
        answer |= {"base_response": reference["response"], "base_reward": reference["reward"]}
    write_answers(folder / RESPONSES_FILE, answers)
    return summarise(answers)


def summarise(answers: Sequence[Answer]) -> dict[str, float | int]:
    """Means over prompts, and how often the response's reward is above, equal to or below the base model's.

    A prompt for which one of the two rewards is no finite number is neither won nor lost: it is counted as unscored,
    and left out of everything else but the length of responses.

    Raises:
        JudgingError: that is so for every prompt.
    """
    pairs = [(_score_of(r["reward"]), _score_of(r["base_reward"])) for r in answers]
    compared = [(ours, theirs) for ours, theirs in pairs if math.isfinite(ours) and math.isfinite(theirs)]
    count = len(compared)
    if not compared:
        raise JudgingError(f"for none of {len(answers)} prompts both rewards are finite numbers")
    ours, theirs = (sum(rewards) for rewards in zip(*compared, strict=True))
    wins = sum(reward > reference for reward, reference in compared)
    ties = sum(reward == reference for reward, reference in compared)
    return {
        "reward_mean": ours / count,
        "reward_base_mean": theirs / count,
        "reward_margin_mean": (ours - theirs) / count,
        "wins": wins,
        "ties": ties,
        "losses": count - wins - ties,
        "unscored": len(answers) - count,
        "win_rate": wins / count,
        "response_tokens_mean": sum(int(r["response_tokens"] or 0) for r in answers) / len(answers),
    }


def _score_of(value: str | float | int | None) -> float:
    """A reward as a number; NaN where it is none, as a file has it."""
    return math.nan if value is None else float(value)


def _answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    reward: RewardPart,
    known: Mapping[tuple[str, str], float],
    reading: Reading | None,
) -> list[Answer]:
    """Responses with their rewards, and the references that they were held to.

    A response that is `known` keeps its reward. A batch's padding moves a score in its last digits, so the same text
    scored twice would seldom tie with itself.
    """
    responses, lengths = respond(model, tokenizer, prompts, reward)
    if reward.judge is not None:
        match = reward.judge.match
        rights = [is_right(match, r, p.reference or "") for p, r in zip(prompts, responses, strict=True)]
        return [
            {"prompt": p.text, "response": r, "reward": float(right), "response_tokens": n, "reference": p.reference}
            for p, r, right, n in zip(prompts, responses, rights, lengths, strict=True)
        ]
    assert reward.model is not None  # callers ask only where the spec names a judge
    rewards = dict(known)
    pairs = [(prompt.text, response) for prompt, response in zip(prompts, responses, strict=True)]
    new = [pair for pair in dict.fromkeys(pairs) if pair not in rewards]
    scores = score(reward.model, [p for p, _ in new], [r for _, r in new], reward.batch_size, model.device, reading)
    rewards |= dict(zip(new, scores, strict=True))
    return [
        {"prompt": prompt, "response": response, "reward": rewards[prompt, response], "response_tokens": length}
        for (prompt, response), length in zip(pairs, lengths, strict=True)
    ]


if __name__ == "__main__":
    from sweep.driver.rejudge import script  # the command stands above the metric

    script()
