"""The effects as a table, how to read it, and the sentences that the largest of them make."""

from collections.abc import Collection

import pandas as pd

from analysis.comparison.arms import WINDOW_FIELDS, Arm
from analysis.comparison.fields import varying_fields
from analysis.comparison.loss_metric import by_text, metric_of
from analysis.factors.effects import Effect, matched_effects
from analysis.factors.section_part import NAMED_FACTORS, SectionPart
from analysis.wording.numbers import MISSING, show_interval, show_p, show_p_value
from analysis.wording.phrases import holm_adjusted
from basis.metrics import METRIC


def effects_part(arms: list[Arm], tuned: Collection[str], looks: int) -> SectionPart:
    """Tell the effect of each factor over matched pairs.

    Args:
        arms: finished arms.
        tuned: fields that were tuned for each arm, which are no factors.
        looks: see `choices.looks_at`.
    """
    effects = matched_effects(arms, tuned, looks)
    notes = describe_effects(effects, arms, tuned, looks)
    unit = METRIC[metric_of(arms)].unit
    return SectionPart(show_effects(effects, unit), notes, _largest_effects(effects, unit))


def show_effects(effects: list[Effect], unit: str) -> pd.DataFrame:
    """The effects as printable strings, one row each; of tests and rewards only columns that say something.

    Args:
        effects: what `matched_effects` returned.
        unit: of the test losses.
    """
    frame = pd.DataFrame(
        [
            {
                "factor": effect.factor,
                "from": effect.low,
                "to": effect.high,
                "contexts": str(effect.contexts),
                "pairs of trials": str(effect.trial_pairs),
                f"test loss, {unit}": show_interval(effect.test_loss, 4, signed=True),
                "interval over": effect.over if effect.test_loss.known else MISSING,
                "p": show_p_value(effect.p_value),
                "win rate": show_interval(effect.win_rate, 2, signed=True),
                "reward margin": show_interval(effect.reward_margin, 2, signed=True),
            }
            for effect in effects
        ],
        dtype=str,
    )
    return frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]


def describe_effects(
    effects: list[Effect], arms: list[Arm], ignored: Collection[str] = (), looks: int = 1
) -> list[str]:
    """What the table of effects means, and which factors it cannot speak of.

    Args:
        effects: what `matched_effects` returned.
        arms: the finished arms that it was given.
        ignored: as it was given.
        looks: as it was given.

    Returns:
        Sentences.
    """
    notes = []
    if effects:
        notes.append(
            "Each row compares pairs of trials that differ in the factor alone and share the seed; a minus means that "
            "the level under 'to' has the lower value. A context is one setting of all other fields; what "
            "belongs to a method or an optimizer, such as a rank or betas, may differ where these do, and several such "
            "pairs are averaged within their context."
        )
    if tested := [effect for effect in effects if effect.tested]:
        tests = " or ".join(sorted({effect.method for effect in tested}))
        notes.append(
            "Contexts share their seeds and their test windows, so they are no independent samples: they are averaged "
            "within every seed and window, and a row speaks of these contexts, averaged, and of no others. Brackets "
            f"hold plain 95 % intervals; p is of the same test ({tests}), "
            f"{holm_adjusted(len(tested), 'row', looks)}, all in one family."
        )
    if any(not effect.over_seeds for effect in tested):
        notes.append("A row over windows alone has one seed: it speaks of these trained models and not of the factor.")
    if any(effect.over_seeds and not effect.windows for effect in tested):
        notes.append(
            "A row over seeds alone speaks of these test windows: its losses by window are not known or differ."
        )
    if len(tested) < len(effects):
        notes.append(
            "Rows without p rest on one seed without losses by window, or on differences that show no spread to judge "
            f"by{', or on rows of text that differ between tokenizers' if by_text(arms) else ''}."
        )
    if any(effect.factor == "model" for effect in effects) and any(arm.wins for arm in arms):
        notes.append("Win rates and margins are against each arm's own base model, so rows of model have none.")
    if ignored:
        notes.append(f"Pairs need not agree in what was tuned for each arm: {', '.join(ignored)}.")
    matched = {effect.factor for effect in effects}
    lacking = [name for name in varying_fields(arms) if name not in (*matched, *ignored, *WINDOW_FIELDS)]
    if lacking:
        notes.append(
            f"No matched pairs exist for {', '.join(lacking)}: no two finished arms differ in one of these alone and "
            "share a seed."
        )
    return notes


def _largest_effects(effects: list[Effect], unit: str) -> list[str]:
    """The largest effect of each factor, the factors with the largest ones first."""
    largest: dict[str, Effect] = {}
    for effect in sorted(effects, key=lambda effect: -abs(effect.test_loss.estimate)):
        largest.setdefault(effect.factor, effect)
    return [_sentence(effect, unit) for effect in list(largest.values())[:NAMED_FACTORS]]


def _sentence(effect: Effect, unit: str) -> str:
    """One effect with what its test takes in; with one seed it is one of these trained models alone."""
    size = show_interval(effect.test_loss, 4, signed=True)
    lead = f"From {effect.factor} {effect.low} to {effect.high} test loss changes by {size} {unit}"
    over = f"averaged over {'this context' if effect.contexts == 1 else f'these {effect.contexts} contexts'}"
    if not effect.tested:
        if effect.trial_pairs == 1:
            return f"{lead} (one pair of trials, so without an interval or a test)."
        why = "differences without any spread" if effect.method else "one seed, without losses by window"
        if not effect.same_rows:
            why = "rows of text that differ between tokenizers"
        return f"{lead} ({over}; {why}, so without a test)."
    told = "" if effect.differs else ", not distinguishable from none"
    if not effect.over_seeds:
        lead = f"In these trained models alone, f{lead[1:]}"
    return f"{lead}{told} ({over}; {effect.method}: {effect.over}; Holm-adjusted {show_p(effect.p_value)})."
