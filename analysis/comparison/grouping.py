"""The trials of a sweep grouped into arms."""

import math
from collections.abc import Mapping
from typing import Any

from analysis.comparison.arms import Arm
from analysis.comparison.by_seed import rows_by_trial, seed_rewards, window_losses_by_seed
from analysis.comparison.frame_rows import FrameRows, rows_by
from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.results.experiment import Results
from basis.metrics import GENERAL_LOSS_BASE
from basis.outcomes import NOT_COMPARED, Outcome


def group_arms(results: Results) -> list[Arm]:
    """Group the trials of a sweep into arms.

    Args:
        results: the directory's content.

    Returns:
        The arms in the order in which their trials come.
    """
    arms = []
    responses = rows_by_trial(results.responses)
    losses, of_general = rows_by(results.window_losses, "trial"), rows_by(results.general_losses, "trial")
    for label, trials in rows_by(results.trials, "arm").items():
        used = _used(trials)
        first = trials["trial"][0]
        config = dict(results.configs.get(first, {}))
        config.pop(REPLICATE_FIELD, None)
        rewards, margins = seed_rewards(responses, used)
        tested = window_losses_by_seed(losses, used, "test_loss")
        general, base = (window_losses_by_seed(of_general, used, name) for name in ("general_loss", GENERAL_LOSS_BASE))
        record = next((kept for trial in used["trial"] if (kept := results.records.get(trial))), {})
        sweep = results.sweep_of(first)
        reward, apart = sweep.spec.get("reward"), results.origins.get(first, "")
        arms.append(
            Arm(
                label=label,
                config=config,
                trials=trials,
                used=used,
                seed_margins=margins,
                seed_rewards=rewards,
                window_losses=tested,
                held_to_answers=isinstance(reward, dict) and bool(reward.get("judge")),
                general_losses=general,
                base_general_losses=base,
                tokenizer=_hash(record, "tokenizer"),
                test_tokens=(test_tokens := _hash(record, "test_tokens")),
                test_rows=str(record.get("test_rows") or test_tokens),
                test_set=(test_tokens or apart) if apart else "",
                general_set=(_hash(record, "general_tokens") or apart) if apart else "",
            )
        )
    return arms


def _hash(record: Mapping[str, Any], name: str) -> str:
    hashes = record.get("hashes")
    return str(hashes.get(name) or "") if isinstance(hashes, Mapping) else ""


def _used(trials: FrameRows) -> FrameRows:
    outcomes = trials["outcome"]
    for outcome in (
        Outcome.FINISHED,
        Outcome.DIVERGED,
        Outcome.STOPPED,
        Outcome.INTERRUPTED,
        *NOT_COMPARED,
        Outcome.NOT_STARTED,
    ):
        alike = trials.where([one == outcome for one in outcomes])
        if len(alike) and outcome in (Outcome.STOPPED, Outcome.INTERRUPTED) and "step" in alike:
            furthest = max(alike.known("step"), default=math.nan)
            alike = alike.where([step == furthest for step in alike["step"]])  # means of one length alone mean anything
        if len(alike):
            return alike
    return trials
