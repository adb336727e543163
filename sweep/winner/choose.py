"""Which trial of a finished sweep is meant: the best arm or the one that is named, and of its seeds the middle one."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.comparison.arms import Arm
from analysis.comparison.evidence import Evidence, evidence_of
from analysis.comparison.loss_metric import by_text
from analysis.results.experiment import Results, read_experiment
from analysis.verdict.ranking import Ranking, rank_arms
from analysis.wording.phrases import join
from basis.directory import SPEC_FILE
from basis.errors import UserError, shown
from basis.metrics import METRIC
from basis.outcomes import Outcome
from basis.scripts import as_called, typed
from basis.units import show_decimals
from sweep.schema.sweep_spec import SweepSpec
from sweep.spec_file.load import parse_kept_spec
from sweep.spec_file.read_yaml import read_yaml
from sweep.storage.kept_trials import KeptTrial, finished_trials

OF_TOKENS = ("train_loss", "validation_loss", "test_loss", "test_perplexity", "general_loss")
"""Metrics that compare between models of one tokenizer alone."""
OF_TEST_WINDOWS = ("test_loss", "test_perplexity", "test_bits_per_byte")
"""Metrics that compare between arms that were tested on the same windows alone."""

MOST_LISTED = 12
"""Arms that a message lists."""


@dataclass(frozen=True)
class Winner:
    """One trial that stands for an arm.

    Attributes:
        results: the experiment that it is of.
        spec: the experiment's spec.
        arm: its arm, as the report compares it.
        trial: the trial, with what it has kept.
        why_arm: why this arm, a sentence.
        why_seed: why this one of its seeds, a sentence.
    """

    results: Results
    spec: SweepSpec
    arm: Arm
    trial: KeptTrial
    why_arm: str
    why_seed: str

    @property
    def experiment_dir(self) -> Path:
        """The experiment's directory."""
        return self.results.directory


def choose(experiment_dir: Path, label: str | None = None, best: str | None = None) -> Winner:
    """The trial that stands for an arm.

    Args:
        experiment_dir: a sweep's directory, finished or not.
        label: the arm as the report calls it, or the beginning of its name where one alone begins so.
        best: without a label, the metric by which the best arm is chosen; None: the loss that the report ranks by.

    Raises:
        UserError: no experiment, no such arm, none that finished, or arms whose losses do not compare.
    """
    results = read_experiment(experiment_dir)
    spec = parse_kept_spec(read_yaml(results.directory / SPEC_FILE))
    evidence = evidence_of(results)
    if not evidence.finished:
        raise UserError(f"{typed(experiment_dir)}: no trial in it has finished{_go_on(results.directory)}")
    arm, why_arm = choose_arm(evidence, label, best)
    kept, damaged = finished_trials(results.directory)
    of_arm = {trial.folder.name: trial for trial in kept if trial.folder.name in set(arm.used["trial"])}
    if not of_arm:
        names = set(arm.used["trial"])
        of_it = [line for line in damaged if Path(line.partition(": ")[0]).parent.name in names]
        raise UserError(of_it[0] if of_it else f"{arm.label}: none of its trials' directories is there any more")
    with_weights = [name for name, trial in of_arm.items() if trial.has_weights or trial.has_stored_weights]
    name, why_seed = middle_seed(arm, with_weights or list(of_arm))
    return Winner(results, spec, arm, of_arm[name], why_arm, why_seed)


def choose_arm(evidence: Evidence, label: str | None = None, best: str | None = None) -> tuple[Arm, str]:
    """An arm, and why it is this one; arguments and errors are those of `choose`.

    Args:
        evidence: of an experiment in which a trial has finished.
        label: the arm's, or the beginning of it.
        best: the metric that decides without a label.
    """
    if label is not None:
        return _named(label, evidence.arms), "it was named"
    rankings = [ranking for ranking in rank_arms(evidence, ()) if ranking.ranked]
    return _lowest(rankings) if best is None else _best_by(best, evidence.finished, rankings)


def middle_seed(arm: Arm, trials: Sequence[str]) -> tuple[str, str]:
    """The trial of an arm whose test loss is the median of its seeds', and a sentence that says so.

    The best seed's loss would be lower than what the arm's mean promises, by luck alone.

    Args:
        arm: a finished arm.
        trials: the directories' names of its trials, of which one at least is to be had.
    """
    used = arm.used.where([trial in trials for trial in arm.used["trial"]]).frame
    if len(used) == 1:
        row = used.iloc[0]
        alone = "the only one that finished" if len(arm.used) == 1 else f"the only one left of {len(arm.used)}"
        return str(row["trial"]), f"seed {row['seed']} is {alone}"
    ordered = used.sort_values([arm.loss_metric, "seed"]) if arm.loss_metric in used else used.sort_values("seed")
    row = ordered.iloc[(len(ordered) - 1) // 2]
    seeds = join([str(seed) for seed in sorted(used["seed"])])
    middle = "the median" if len(ordered) % 2 else "the lower of the two in the middle"
    if arm.loss_metric not in used:
        return str(row["trial"]), f"seed {row['seed']} of {seeds}; none of them has a test loss"
    loss = show_decimals(float(row[arm.loss_metric]))
    return str(row["trial"]), f"of seeds {seeds} it is seed {row['seed']}, whose test loss, {loss}, is {middle}"


def _named(label: str, arms: Sequence[Arm]) -> Arm:
    """The finished arm of that name."""
    by_label = {arm.label: arm for arm in arms}
    begun = [name for name in by_label if name == label] or [name for name in by_label if name.startswith(f"{label} ")]
    if len(begun) > 1:
        raise UserError(f"--arm: {shown(label)} begins the names of {len(begun)} arms: {_listed(begun)}")
    if not begun:
        near = difflib.get_close_matches(label, list(by_label), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"accepted: {_listed(list(by_label))}"
        raise UserError(f"--arm: {shown(label)} is no arm of this sweep; {hint}")
    arm = by_label[begun[0]]
    if arm.outcome != Outcome.FINISHED:
        others = [one.label for one in arms if one.outcome == Outcome.FINISHED]
        raise UserError(
            f"--arm: no trial of {arm.label!r} has finished ({arm.outcome}); those that have: {_listed(others)}"
        )
    return arm


def _lowest(rankings: Sequence[Ranking]) -> tuple[Arm, str]:
    """The arm that the report ranks first."""
    if not rankings:
        raise UserError("--arm: missing; no arm has a test loss to be ranked by, so name one")
    if len(rankings) > 1:
        titles = "; ".join(f"{ranking.title}: {ranking.ranked[0].label}" for ranking in rankings)
        raise UserError(
            f"--arm: missing; arms were tested on different windows, so name one; the lowest of each: {titles}"
        )
    [ranking] = rankings
    arm = ranking.ranked[0]
    why = "its mean test loss is the lowest"
    if ranking.rivals:
        why += f"; no test tells it from {join([rival.label for rival in ranking.rivals[:3]])}"
        why += f" and {len(ranking.rivals) - 3} more" if len(ranking.rivals) > 3 else ""
    return arm, why


def _best_by(metric: str, finished: Sequence[Arm], rankings: Sequence[Ranking]) -> tuple[Arm, str]:
    """The arm with the best mean of a metric. Losses of other windows, or of other tokens, do not compare."""
    better = {name: one.better for name, one in METRIC.items() if one.better != "neither"}
    if metric not in better:
        near = difflib.get_close_matches(metric, list(better), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(better)}"
        raise UserError(f"--best: {shown(metric)} is no metric that can be best; {hint}")
    if metric in OF_TEST_WINDOWS and len(rankings) > 1:
        raise UserError(f"--best {metric}: arms were tested on different windows, so name one with --arm")
    if metric in OF_TOKENS and by_text(finished):
        raise UserError(
            f"--best {metric}: is a mean over tokens, and these arms' tokenizers differ; "
            "accepted: test_bits_per_byte, or an --arm"
        )
    sign = 1 if better[metric] == "lower" else -1
    means = {arm.label: (arm.mean(metric).estimate, arm) for arm in finished if metric in arm.used}
    known = [(value, arm) for value, arm in means.values() if math.isfinite(value)]
    if not known:
        raise UserError(f"--best: no arm has a {metric}")
    value, arm = min(known, key=lambda one: sign * one[0])
    return arm, f"its mean {metric.replace('_', ' ')}, {show_decimals(value)}, is the best"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _go_on(directory: Path) -> str:
    return f"; {as_called('sweep.run', '--resume', typed(directory))} goes on with it"
