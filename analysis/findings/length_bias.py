"""Whether rewards go with the length of responses: reward models tend to like long answers, whatever they say."""

import math
from typing import NamedTuple

import pandas as pd
from scipy import stats

from analysis.statistics.intervals import LEVEL, Interval
from analysis.statistics.multiple_tests import ALPHA
from analysis.wording.numbers import show_p
from analysis.wording.phrases import count

ROUNDED_TO = 9
"""Decimals of mean margins: what is equal but for rounding has to share a rank."""
FEWEST_PROMPTS = 10
"""Fewer prompts than this say nothing about an association."""


class Words(NamedTuple):
    """What the sentence calls what responses are compared by, its margin, more of it, and what lengths may do to it."""

    what: str
    margin: str
    more: str
    cause: str


REWARDS = Words("rewards", "reward margin", "get higher rewards", "be the reward model's taste in length")
RIGHT_ANSWERS = Words("right answers", "right answers", "are right more often", "come of their length alone")


class LengthBias(NamedTuple):
    """How rewards go with lengths over the prompts of a sweep.

    Attributes:
        rho: Spearman's rank correlation of reward margin and length margin, with its 95 % interval.
        p_value: of "no association".
        prompts: prompts that it stands on.
        words: mean words of a response by arm.
        base_words: mean words of the base model's responses; of several base models' together.
    """

    rho: Interval
    p_value: float
    prompts: int
    words: dict[str, float]
    base_words: float


def measure_length_bias(responses: pd.DataFrame) -> LengthBias | None:
    """Correlate, over prompts, how much longer and how much better the responses are than the base model's.

    Win rates compare a response with the base model's to the same prompt, so both margins are taken against that one;
    this also takes out what a prompt itself does to lengths and rewards. Lengths are in words, which both responses
    have (tokens are counted for one alone). All trials answer the same prompts, so their margins of a prompt are
    averaged first: what remains are independent prompts. Each trial counts by how far its margins lie from their own
    mean, or else a prompt that some trial could not score would differ from others by which trials it has.

    Args:
        responses: rows of `Results.responses` of finished trials.

    Returns:
        The association; None where there are too few prompts or where lengths or rewards do not vary.

    Source: Spearman's test as in SciPy; interval by Fisher's z with the standard error of Bonett and Wright, "Sample
    size requirements for estimating Pearson, Kendall and Spearman correlations", Psychometrika 65 (2000).
    """
    needed = ["trial", "arm", "index", "prompt", "response", "base_response", "reward", "base_reward"]
    if not set(needed) <= set(responses.columns):
        return None
    rows = responses[needed].dropna()
    words, base_words = (rows[name].map(lambda text: len(str(text).split())) for name in ("response", "base_response"))
    margins = pd.DataFrame(
        {
            "reward": pd.to_numeric(rows["reward"], errors="coerce")
            - pd.to_numeric(rows["base_reward"], errors="coerce"),
            "words": words - base_words,
        }
    ).dropna()
    margins -= margins.groupby(rows["trial"]).transform("mean")
    by_prompt = margins.groupby([rows["index"], rows["prompt"]]).mean().round(ROUNDED_TO)
    n = len(by_prompt)
    if n < FEWEST_PROMPTS or by_prompt["words"].nunique() < 2 or by_prompt["reward"].nunique() < 2:
        return None
    result = stats.spearmanr(by_prompt["words"], by_prompt["reward"])
    rho = float(result.statistic)
    z = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return LengthBias(
        rho=Interval(rho, math.tanh(z - half), math.tanh(z + half)),
        p_value=float(result.pvalue),
        prompts=n,
        words={str(arm): float(mean) for arm, mean in words.groupby(rows["arm"], sort=False).mean().items()},
        base_words=float(base_words.mean()),
    )


def describe_length_bias(
    responses: pd.DataFrame, held_to_answers: bool = False, several_bases: bool = False
) -> list[str]:
    """The sentence about lengths that stands beside win rates.

    Args:
        responses: rows of `Results.responses` of finished trials.
        held_to_answers: whether a reward is that of a right answer, and no reward model's score.
        several_bases: whether the trials start from several base models, which have no length in common.

    Returns:
        One sentence, or none where nothing can be told.
    """
    bias = measure_length_bias(responses)
    if bias is None:
        return []
    words = RIGHT_ANSWERS if held_to_answers else REWARDS
    rho = "Spearman's rho {:.2f} [{:.2f}, {:.2f}]".format(*bias.rho)
    how = f"{rho}, {show_p(bias.p_value)}, of {words.margin} and margin in words, over {count(bias.prompts, 'prompt')}"
    if bias.p_value >= ALPHA:
        return [f"No association of {words.what} with the length of responses can be told ({how})."]
    longest, shortest = (pick(bias.words, key=bias.words.__getitem__) for pick in (max, min))
    arms = f"on average {bias.words[longest]:.0f} words in {longest}"
    if longest != shortest:
        arms += f", {bias.words[shortest]:.0f} in {shortest}"
    base = "" if several_bases else f", {bias.base_words:.0f} in the base model's"
    longer, more = ("Longer", "longer") if bias.rho.estimate > 0 else ("Shorter", "shorter")
    return [
        f"{longer} responses {words.more} ({how}), so a win rate of an arm with {more} responses may {words.cause}: "
        f"{arms}{base}."
    ]
