"""analysis.findings.length_bias: a planted taste for long answers is found, and none is claimed without one."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.findings.length_bias import describe_length_bias, measure_length_bias


def responses(taste: float, prompts: int = 60, noise: float = 1.0) -> pd.DataFrame:
    """Two arms' responses to the same prompts; each word beyond the base model's adds `taste` to the reward."""
    rng = np.random.default_rng(1)
    rows = []
    for arm, mean in (("short", 20), ("long", 40)):
        for index in range(prompts):
            base, words = rng.integers(5, 30), rng.integers(mean - 10, mean + 10)
            reward = taste * (words - base) + noise * rng.normal()
            rows.append({
                "trial": arm, "arm": arm, "index": index, "prompt": f"Question {index}?", "response": "word " * words,
                "base_response": "word " * base, "reward": reward, "base_reward": 0.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_planted_taste_is_found_and_told_with_its_numbers() -> None:
    frame = responses(taste=0.2)
    words = frame["response"].str.count("word") - frame["base_response"].str.count("word")
    by_prompt = (
        pd.DataFrame({"index": frame["index"], "words": words, "reward": frame["reward"]}).groupby("index").mean()
    )
    expected = stats.spearmanr(by_prompt["words"], by_prompt["reward"])
    found = measure_length_bias(frame)
    assert found is not None
    assert (found.rho.estimate, found.p_value, found.prompts) == (*map(pytest.approx, expected), 60)
    assert found.rho.low < found.rho.estimate < found.rho.high < 1
    (sentence,) = describe_length_bias(frame)
    assert f"Longer responses get higher rewards (Spearman's rho {expected.statistic:.2f} [" in sentence
    assert "p < 0.001, of reward margin and margin in words, over 60 prompts" in sentence
    assert f"{found.words['long']:.0f} words in long, {found.words['short']:.0f} in short" in sentence


def test_dislike_of_length_is_told_as_such() -> None:
    (sentence,) = describe_length_bias(responses(taste=-0.2))
    assert "Shorter responses get higher rewards (Spearman's rho -" in sentence


def test_without_a_taste_none_is_claimed() -> None:
    (sentence,) = describe_length_bias(responses(taste=0.0))
    assert sentence.startswith("No association of rewards with the length of responses can be told (Spearman's rho")


def test_more_trials_do_not_make_more_prompts() -> None:
    frame = responses(taste=0.2)
    copies = pd.concat([frame.assign(trial=f"copy {i}") for i in range(5)])
    assert measure_length_bias(copies) == measure_length_bias(frame)


def test_nothing_is_said_where_nothing_varies_or_prompts_are_few() -> None:
    assert describe_length_bias(responses(taste=0.2, prompts=5)) == []
    assert describe_length_bias(responses(taste=0.2).assign(response="one two", base_response="one")) == []
    assert describe_length_bias(responses(taste=0.2).drop(columns="base_response")) == []


def test_scores_that_are_lost_make_no_taste() -> None:
    """The long arm is better at everything; where its score is lost, what remains is shorter and worse."""
    frame = responses(taste=0.0)
    long = frame["arm"] == "long"
    frame.loc[long, "reward"] += 10.0
    assert measure_length_bias(frame[~(long & (frame["index"] % 2 == 0))]).p_value > 0.05  # type: ignore[union-attr]


def test_answers_of_several_base_models_have_no_length_in_common() -> None:
    (of_one,) = describe_length_bias(responses(taste=0.2))
    (of_several,) = describe_length_bias(responses(taste=0.2), several_bases=True)
    assert of_one.endswith(" in the base model's.")
    assert of_one.startswith(of_several.removesuffix("."))
    assert "base model" not in of_several
