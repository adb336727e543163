"""What the base model and every arm answered to each prompt, side by side, to be read."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.base_models import base_model
from analysis.comparison.by_seed import rows_by_trial
from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.wording.values import show_field
from basis.outcomes import Outcome

SHOWN_ARMS = 11
"""Arms shown per prompt: with one base model three rows of four, and more nobody reads side by side."""
MOST_BYTES = 1_500_000
"""Bytes of all prompts and answers of a page, half of the 3 MB that a page may have."""
LONGEST_TEXT = 5_000
"""Characters of a prompt or an answer that are shown."""
MARKUP_BYTES = 200
"""What the page's markup takes around an answer, at most."""
PROMPT = ["index", "prompt"]
REWARD_COLUMNS = ["reward", "base_reward"]


@dataclass(frozen=True)
class Answer:
    """What one arm, or a base model, answered.

    Attributes:
        arm: label of the arm, or "base model", of several with its name.
        seed: which seed answered and of how many it is the best; empty where the arm has one.
        response: its text, which may be empty; None where it is lost.
        reward: its reward; NaN where it has none.
        outcome: "wins", "ties" or "loses" against the base model's reward; empty where one of the two is missing, and
            for the base model.
    """

    arm: str
    seed: str
    response: str | None
    reward: float
    outcome: str


@dataclass(frozen=True)
class Prompt:
    """A prompt with all that was answered.

    Attributes:
        number: its place among the prompts asked, from 1.
        text: the prompt.
        bases: the base model's answer; of several base models that of each, by what the configs call it.
        answers: one per arm shown, in the same order for every prompt.
        spread: largest minus smallest reward of `answers`; NaN with fewer than two rewards.
    """

    number: int
    text: str
    bases: dict[Any, Answer]
    answers: list[Answer]
    spread: float

    @property
    def every_answer(self) -> list[Answer]:
        """The answers of base models, then those of the arms."""
        return [*self.bases.values(), *self.answers]


@dataclass(frozen=True)
class SideBySide:
    """The prompts, the one that the arms disagree on most first, and what has to be said about them."""

    prompts: list[Prompt]
    notes: list[str]


class _Speaker(NamedTuple):
    """The trial that speaks for an arm: response and reward by index and prompt, and of how many seeds."""

    arm: Arm
    seed: object
    seeds: int
    rows: Mapping[tuple[Any, ...], tuple[str, float]]


def side_by_side(responses: pd.DataFrame, arms: list[Arm]) -> SideBySide | None:
    """Set the responses to each prompt beside each other.

    Args:
        responses: `Results.responses`.
        arms: the arms of the sweep; of those that finished with responses, the SHOWN_ARMS of lowest mean test loss
            are shown, in the order given, each through its best seed.

    Returns:
        Every prompt once, by falling spread of the rewards and then as asked; of long ones as many as MOST_BYTES hold.
        None without responses.
    """
    rows = _clean(responses)
    by_trial = rows_by_trial(rows)
    answering = [
        arm for arm in arms if arm.outcome == Outcome.FINISHED and any(trial in by_trial for trial in arm.used["trial"])
    ]
    if not answering:
        return None
    lowest = {arm.label for arm in sorted(answering, key=_test_loss)[:SHOWN_ARMS]}
    shown = [_speaker(arm, by_trial) for arm in answering if arm.label in lowest]
    prompts = [_prompt(key, bases, shown) for key, bases in _base_answers(rows, answering).items()]
    prompts.sort(key=lambda prompt: (-prompt.spread if math.isfinite(prompt.spread) else math.inf, prompt.number))
    fitting = _fitting(prompts)
    return SideBySide(fitting, [*_notes(shown, len(answering), len(arms)), *_excerpt_notes(fitting, len(prompts))])


def _fitting(prompts: list[Prompt]) -> list[Prompt]:
    """The first prompts that together take no more of a page than MOST_BYTES, one at least."""
    taken = 0
    for place, prompt in enumerate(prompts):
        taken += _page_bytes(prompt.text)
        taken += sum(_page_bytes(f"{answer.arm}{answer.seed}{answer.response}") for answer in prompt.every_answer)
        if taken > MOST_BYTES and place:
            return prompts[:place]
    return prompts


def _page_bytes(text: str) -> int:
    return len(html.escape(text).encode("utf-8", "surrogatepass")) + MARKUP_BYTES


def _excerpt_notes(shown: list[Prompt], asked: int) -> list[str]:
    """What of the prompts and answers is left to the files."""
    notes = []
    if len(shown) < asked:
        notes.append(
            f"Of {asked:,} prompts the first {len(shown):,} are here, as many as {MOST_BYTES / 1e6} MB hold; the "
            "responses.jsonl of the trials have all."
        )
    texts = [text for prompt in shown for text in (prompt.text, *(a.response or "" for a in prompt.every_answer))]
    if any(len(text) > LONGEST_TEXT for text in texts):
        notes.append(f"Of longer texts the first {LONGEST_TEXT:,} characters are shown.")
    return notes


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … [{len(text):,} characters]"


def _clean(responses: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold a prompt and a response, with rewards as finite numbers or NaN."""
    rows = responses.reindex(columns=["trial", *PROMPT, "response", "base_response", *REWARD_COLUMNS])
    whole = rows[["prompt", "response"]].map(lambda value: isinstance(value, str)).all(axis=1)
    rewards = rows[REWARD_COLUMNS].apply(pd.to_numeric, errors="coerce")
    return rows.assign(**rewards.where(rewards.abs() < math.inf))[whole]


def _speaker(arm: Arm, by_trial: Mapping[str, pd.DataFrame]) -> _Speaker:
    """The seed of highest mean reward over the prompts that all seeds of the arm share; of equal ones the lowest."""
    used = arm.used.where([trial in by_trial for trial in arm.used["trial"]]).frame
    rows = pd.concat([by_trial[trial] for trial in used["trial"]])
    used = used.sort_values(REPLICATE_FIELD) if REPLICATE_FIELD in used else used
    rewards = rows.set_index([*PROMPT, "trial"])["reward"].unstack()[list(used["trial"])]
    means = (rewards if rewards.dropna().empty else rewards.dropna()).mean()
    best = used.iloc[int(means.fillna(-math.inf).argmax())]
    return _Speaker(arm, best.get(REPLICATE_FIELD), len(used), _by_prompt(by_trial[best["trial"]]))


def _by_prompt(rows: pd.DataFrame) -> dict[tuple[Any, ...], tuple[str, float]]:
    keys, values = (rows[names].itertuples(index=False, name=None) for names in (PROMPT, ["response", "reward"]))
    return dict(zip(keys, values, strict=True))


def _test_loss(arm: Arm) -> float:
    loss = arm.test_loss.estimate
    return loss if math.isfinite(loss) else math.inf


def _base_answers(rows: pd.DataFrame, answering: list[Arm]) -> dict[Any, dict[Any, Answer]]:
    """By index and prompt the answer of each base model, by what the configs call it: None of a sweep of one."""
    models = {trial: arm.model for arm in answering for trial in arm.used["trial"]}
    several = len(set(models.values())) > 1
    answered = rows[rows["trial"].isin(models)]
    # first() passes over missing values, so one trial that kept the base model's response is enough.
    asked = answered.groupby([*PROMPT, answered["trial"].map(lambda trial: models[trial] or "")])
    bases: dict[Any, dict[Any, Answer]] = {}
    kept = asked[["base_response", "base_reward"]].first().reset_index()
    for index, text, model, response, reward in kept.itertuples(index=False, name=None):
        said = _shortened(response) if isinstance(response, str) else None
        name = f"base model {model}" if several else "base model"
        answer = Answer(name, "", said, float(reward), "")
        bases.setdefault((index, text), {})[model or None] = answer
    return bases


def _prompt(key: Any, bases: dict[Any, Answer], shown: list[_Speaker]) -> Prompt:
    index, text = key
    answers = [_answer(speaker, key, bases) for speaker in shown]
    rewards = [answer.reward for answer in answers if math.isfinite(answer.reward)]
    return Prompt(
        number=int(index) + 1,
        text=_shortened(text),
        bases=bases,
        answers=answers,
        spread=max(rewards) - min(rewards) if len(rewards) > 1 else math.nan,
    )


def _answer(speaker: _Speaker, key: Any, bases: Mapping[Any, Answer]) -> Answer:
    seed = f"seed {show_field(speaker.seed)}, best of {speaker.seeds}" if speaker.seeds > 1 else ""
    if key not in speaker.rows:
        return Answer(speaker.arm.label, seed, None, math.nan, "")
    response, reward = speaker.rows[key]
    base_reward = bases[speaker.arm.model].reward
    outcome = "wins" if reward > base_reward else "loses" if reward < base_reward else "ties"
    known = math.isfinite(reward) and math.isfinite(base_reward)
    return Answer(speaker.arm.label, seed, _shortened(response), reward, outcome if known else "")


def _notes(shown: list[_Speaker], answering: int, arms: int) -> list[str]:
    """How to read the responses, one sentence or two each."""
    if len(shown) > 1:
        notes = [
            "The prompts on which the arms disagree most come first: spread is the largest minus the smallest reward "
            "among the arms shown, without the base model's."
        ]
    else:
        notes = ["The prompts come as they were asked, since one arm alone cannot disagree."]
    base = base_model([speaker.arm for speaker in shown])
    notes.append(f"An arm wins, ties or loses by its reward against {base}'s.")
    if any(speaker.arm.held_to_answers for speaker in shown):
        notes.append("A reward is 1 for a right answer and 0 for a wrong one.")
    if any(speaker.seeds > 1 for speaker in shown):
        notes.append(
            "An arm of several seeds is shown by the seed of highest mean reward over the prompts that all its seeds "
            "answered, of equal ones the lowest. That choice flatters arms with more seeds: it is for reading, and "
            "arms are to be compared by the tables, which count every seed."
        )
    if len(shown) < answering:
        notes.append(
            f"Of {answering:,} arms with responses the {len(shown)} of lowest mean test loss are shown; the others "
            "are in the responses.jsonl of their trials."
        )
    if silent := arms - answering:
        notes.append(f"{silent} of {arms} arms have no finished trial with responses and are not shown.")
    return notes
