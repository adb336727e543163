"""The shares of variance as a table, how to read it, and the sentences that the largest of them make."""

import math
from collections.abc import Collection

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.factors.importance import NO_FACTORS, Importance, shares_of_variance
from analysis.factors.section_part import NAMED_FACTORS, SectionPart
from analysis.statistics.anova import SEEDS
from analysis.statistics.multiple_tests import ALPHA
from analysis.wording.numbers import MISSING, show_p, show_p_value, show_percent
from analysis.wording.phrases import holm_adjusted, join


def shares_part(arms: list[Arm], tried: list[Arm], tuned: Collection[str], guided: bool, looks: int) -> SectionPart:
    """Tell how the variance of the losses divides among the factors.

    Args:
        arms: finished arms.
        tried: finished tuning trials, as arms.
        tuned: fields that were tuned for each arm.
        guided: whether a search chose settings by earlier losses.
        looks: see `choices.looks_at`.
    """
    shares = shares_of_variance(arms, tried, tuned, guided, looks)
    notes = [*(share.note for share in shares), *_share_notes(shares, looks)]
    return SectionPart(_show_shares(shares), notes, [_sentence(share) for share in shares if share.shares])


def _show_shares(shares: list[Importance]) -> pd.DataFrame:
    rows = [
        {
            "variance of": share.what,
            "source": name,
            "share": f"{100 * value:.1f} %",
            "of noise alone": f"{100 * share.noise[name]:.1f} %" if name in share.noise else MISSING,
            "p": show_p_value(share.p_values.get(name, math.nan)),
            "test": share.test,
        }
        for share in shares
        for name, value in sorted(share.shares.items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows, columns=["variance of", "source", "share", "of noise alone", "p", "test"], dtype=str)
    return frame if (frame["p"] != MISSING).any() else frame.drop(columns="p")


def _share_notes(shares: list[Importance], looks: int) -> list[str]:
    """The family of the tests of shares."""
    tested = sum(len(share.p_values) for share in shares)
    return [f"p of shares is {holm_adjusted(tested, 'source', looks)}, all in one family."] if tested else []


def _sentence(share: Importance) -> str:
    """Which sources the tests tell from noise, largest first, and what the others look like; a claim only of those."""
    ranked = sorted(share.shares, key=lambda name: -share.shares[name])
    told = [name for name in ranked if share.p_values.get(name, 1.0) < ALPHA]
    factors = [name for name in ranked if name not in (*told, *NO_FACTORS)]
    others = join([_named_share(share, name) for name in factors[:NAMED_FACTORS]]) if factors else ""
    seeds = f"; seeds take {show_percent(share.shares[SEEDS])}" if SEEDS in share.shares else ""
    scope = "" if share.over_seeds else "In these trained models alone, "
    what = f"{scope}{'O' if share.over_seeds else 'o'}f the variance of {share.what}"
    if told:
        taken = join([_named_share(share, name) for name in told[: NAMED_FACTORS + 1]])
        rest = f"; not told from noise: {others}" if others else ""
        return f"{what}, more than noise goes to {taken}{rest}{seeds} ({share.test}, {share.method}, Holm-adjusted)."
    if share.p_values:
        return f"{what}, no share is told from noise: {others}{seeds} ({share.test}, {share.method}, Holm-adjusted)."
    return f"{what}, without a test: {others}{seeds} ({share.test}; {share.method})."


def _named_share(share: Importance, name: str) -> str:
    """A source with its share, what noise alone would give it, and its p-value."""
    asides = [f"noise alone {show_percent(share.noise[name])}"] if name in share.noise else []
    asides += [show_p(share.p_values[name])] if name in share.p_values else []
    return f"{name} {show_percent(share.shares[name])}" + (f" ({', '.join(asides)})" if asides else "")
