"""Doubts about how a sweep was laid out: rates that nobody tuned, choices by what is reported, confounds, flags."""

from collections.abc import Iterable, Iterator, Mapping

from analysis.comparison.arms import Arm
from analysis.comparison.evidence import Evidence
from analysis.fairness.ledger import Ledger
from analysis.fairness.reasons import Reason
from analysis.results.experiment import Results
from analysis.verdict.remedies import again_with, tuned_again
from analysis.verdict.summary import Doubt, Level
from analysis.wording.phrases import join
from basis.fields import COST_FIELDS
from basis.metrics import REWARD_METRICS
from basis.outcomes import Outcome

NAMED_FIELDS = 2
"""Confounds that a reason names before it only counts them."""

FLAGGED: dict[Reason, Level] = {
    Reason.OTHER_MODEL_JUDGED: "low",
    Reason.ROWS_ALIKE: "low",
    Reason.UNLIKE_REPLICATES: "low",
    Reason.MISCOUNTED_WINS: "low",
    Reason.OTHER_INPUTS: "low",
    Reason.OTHER_CODE: "medium",
    Reason.PUT_TOGETHER: "medium",
    Reason.CHOSEN_ON_TEST: "medium",
    Reason.ADDED_AFTER_A_LOOK: "medium",
    Reason.SEEDS_AFTER_A_LOOK: "medium",
    Reason.STOPPED_BY_REQUEST: "medium",
    Reason.VALIDATION_LEAK: "medium",
    Reason.OPENINGS_UNKNOWN: "medium",
    Reason.RANK_AND_SCALING: "medium",
    Reason.MORE_THAN_ADAPTERS: "medium",
    Reason.UNEQUAL_STEPS: "medium",
    Reason.FEWER_TEST_ROWS: "medium",
    Reason.SKIPPED_STEPS: "medium",
    Reason.EDGE_OF_RANGE: "medium",
    Reason.UNEQUAL_TUNING: "medium",
    Reason.WINDOWS_ANEW: "medium",
}
"""What a flag of a table allows at most. Seeds, rates and leaks have doubts of their own, taken from the whole sweep;
the other flags touch no verdict (see `HARMLESS_TO_LOSSES`)."""


def doubts_of_design(evidence: Evidence, ledgers: Mapping[str, Ledger], beyond: Ledger | None) -> Iterator[Doubt]:
    """The doubts about how the arms of a sweep came to differ.

    Args:
        evidence: what the sweep's report stands on.
        ledgers: those of its tables.
        beyond: that of all arms, where some stand in no table.
    """
    rates = list(_rates(evidence, ledgers))
    yield from rates
    yield from _confounds(ledgers, told={"lr"} if rates else set())
    for reason, level in FLAGGED.items():
        of_all = _sentences([beyond] if beyond else [], reason)
        if sentences := of_all or _sentences(ledgers.values(), reason):
            remedy = _on_validation(evidence.results) if reason == Reason.CHOSEN_ON_TEST else ""
            yield Doubt(reason.value, " ".join(sentences), remedy, level)


def _sentences(ledgers: Iterable[Ledger], reason: Reason) -> list[str]:
    """What ledgers flag for this reason, each sentence once."""
    flags = (flag for ledger in ledgers for flag in ledger.flagged)
    return list(dict.fromkeys(flag.sentence for flag in flags if flag.reason == reason))


def _on_validation(results: Results) -> str:
    """The command of a search that chooses on validation windows, which no reward can be chosen on."""
    by_loss = {"metric": "test_loss"} if results.spec.get("metric") in REWARD_METRICS else {}
    return again_with(results, choose_on="validation", **by_loss)


def _rates(evidence: Evidence, ledgers: Mapping[str, Ledger]) -> Iterator[Doubt]:
    """Learning rates that were given and not chosen, or chosen on the windows that losses are told of."""
    if evidence.searched and not all(arm.tested_once for arm in evidence.arms):
        return  # a search on test windows has a flag of its own
    settings: dict[str, list[Arm]] = {}
    for arm in evidence.arms:
        begun = arm.outcome not in (Outcome.NOT_STARTED, Outcome.REPEATED)
        if begun and isinstance(arm.config.get("lr"), (int, float)):
            settings.setdefault(_setting(arm), []).append(arm)
    untuned = [arms for arms in settings.values() if not any(_tuned(evidence, arm) for arm in arms)]
    given = [arms[0] for arms in untuned if len(arms) == 1]
    remedy = tuned_again(evidence.results)
    if given and len(settings) > 1:
        shared = _sentences(ledgers.values(), Reason.SHARED_RATE)
        some = "some " if len(given) < len(settings) else ""
        detail = (
            f"The learning rate of {join([arm.label for arm in given])} was given and not tuned, so an arm may lose by "
            "its rate alone."
        )
        level: Level = "low" if shared else "medium"
        yield Doubt(f"{some}rates not tuned", " ".join([detail, *shared]), remedy, level)
    if any(len(arms) > 1 for arms in untuned):
        detail = (
            "The best of several learning rates was chosen on the test windows that it is judged on, which flatters it."
        )
        yield Doubt("rates chosen on test windows", detail, remedy, "medium")


def _setting(arm: Arm) -> str:
    """What arms share that differ in their learning rate, and in what it costs, alone."""
    return repr(sorted((name, value) for name, value in arm.config.items() if name not in ("lr", *COST_FIELDS)))


def _tuned(evidence: Evidence, arm: Arm) -> bool:
    """Whether its learning rate was chosen on validation windows."""
    return any("lr" in evidence.chosen.get(trial, ()) for trial in arm.trials["trial"])


def _confounds(ledgers: Mapping[str, Ledger], told: set[str]) -> Iterator[Doubt]:
    """Fields that differ between the levels of a table's factor, besides those that another doubt tells."""
    names = list(dict.fromkeys(name for ledger in ledgers.values() for name in ledger.confounded if name not in told))
    if not names:
        return
    which = " and ".join(names) if len(names) <= NAMED_FIELDS else f"{len(names)} settings"
    entries = dict.fromkeys(
        entry
        for ledger in ledgers.values()
        for entry in ledger.confounds
        if any(entry.startswith(f"{name}:") for name in names) or entry.startswith("combinations of")
    )
    yield Doubt(
        f"{which} {'differs' if len(names) == 1 else 'differ'} too",
        f"Not the same at every level: {'; '.join(entries)}.",
        "",
        "medium",
    )
