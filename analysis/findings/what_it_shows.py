""" "What this shows": the sentences of a report that are written from its numbers.

Every claim names the comparison that it rests on, and says whether its test takes in the choice of prompts or that of
seeds. A difference within its uncertainty is called that. So is a difference whose uncertainty nobody knows.
"""

from analysis.comparison.arms import WINDOW_FIELDS, Arm
from analysis.comparison.base_models import several_base_models
from analysis.comparison.evidence import Evidence
from analysis.comparison.fields import windows
from analysis.comparison.learning_rates import RateRange
from analysis.comparison.selection import chosen_apart, describe_selection
from analysis.findings.differences import describe_rewards, describe_test_losses, describe_wins
from analysis.findings.finding import Finding
from analysis.findings.forgetting import describe_forgetting, describe_forgetting_pairs
from analysis.findings.learning_rate_rule import TOPIC as RULE
from analysis.findings.learning_rate_rule import describe_learning_rate_rule
from analysis.findings.length_bias import describe_length_bias
from analysis.findings.overfitting import describe_rises
from analysis.results.experiment import Results
from analysis.tables.comparison_table import ComparisonTable
from analysis.tables.tuning_trials import TuningTable
from analysis.wording.numbers import show_bytes, show_number
from analysis.wording.phrases import join
from analysis.wording.values import show_field
from basis.metrics import NOT_JUDGED
from basis.outcomes import NOT_COMPARED, Outcome
from basis.scripts import as_called, typed

BASIS = "What it rests on"
"""Topic of the finding that says what all others rest on."""
AGAINST_BASE = "Against the base model"
"""Topic of the finding that sets the arms against the base model."""
FAMILIES = (
    "A false claim has a chance of at most 5 % in each family of tests: the pairs of a leaderboard by loss, those of a "
    "table by loss, by reward and by wins, its rises of test loss{forgetting}, the arms against the base model, and "
    "under “What mattered” the effects, the shares and the arms dominated by each cost."
)
"""What the adjustments of p-values cover, and what they do not: one family says nothing of the others."""


def findings_of(evidence: Evidence, tables: list[ComparisonTable], tuning: TuningTable | None) -> list[Finding]:
    """Write what the numbers of a sweep show.

    Args:
        evidence: what the sweep's report stands on.
        tables: its tables.
        tuning: the table of its tuning trials; None without any.

    Returns:
        Findings in reading order; the first says how many trials the rest stands on.
    """
    results, finished, looks = evidence.results, evidence.finished, evidence.looks
    chosen_on_test, chosen_on_validation = describe_selection(evidence.searched, evidence.arms), chosen_apart(results)
    rests_on = [*chosen_on_test, *_basis(results, evidence.arms, tuning), *chosen_on_validation]
    findings = [Finding(BASIS, [*rests_on, *([_families(tables)] if len(finished) > 1 else [])])]
    if wins := describe_wins(finished, looks):
        used = [trial for arm in finished for trial in arm.used["trial"]]
        lengths = describe_length_bias(
            results.responses[results.responses["trial"].isin(used)],
            finished[0].held_to_answers,
            several_base_models(finished),
        )
        findings.append(Finding(AGAINST_BASE, [*wins, *lengths]))
    told: list[set[str]] = []
    for table in tables:
        labels = {arm.label for arm in table.finished}
        sentences = [
            *describe_test_losses(table.finished, table.compared),
            *describe_rises(table.finished, results.curves, looks),
            *describe_forgetting(table.forgotten, looks),
            *describe_forgetting_pairs(table.compared),
            *describe_rewards(table.finished, table.compared),
            *_memory(table),
            *_learning_rates(table.rate_ranges),
        ]
        if sentences and labels not in told:  # the same arms in another order show the same
            findings.append(Finding(table.title, sentences))
            told.append(labels)
    rule = describe_learning_rate_rule(evidence)
    return [*findings, *([Finding(RULE, rule)] if rule else [])]


def _families(tables: list[ComparisonTable]) -> str:
    measured = any(table.forgotten for table in tables)
    return FAMILIES.format(forgetting=", what its arms forget, the pairs of arms by forgetting" if measured else "")


def _basis(results: Results, arms: list[Arm], tuning: TuningTable | None) -> list[str]:
    """How many trials finished, what of them is missing, and what the tests can take in."""
    if results.trials.empty and tuning:
        tried, chosen_by = len(results.tuning), int((results.tuning["outcome"] == Outcome.FINISHED).sum())
        return [f"No arm has a final trial yet: {chosen_by} of {tried} tuning trials finished."]
    if results.trials.empty:
        return ["The sweep has no trials, so it shows nothing."]
    counts = results.trials["outcome"].value_counts()
    finished = int(counts.get(Outcome.FINISHED, 0))
    others = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if outcome != Outcome.FINISHED)
    first = f"{finished} of {len(results.trials)} trials finished" + (f" ({others})." if others else ".")
    if tuning and tuning.without_choice:
        whose = "its" if len(tuning.without_choice) == 1 else "their"
        first += f" In no table, since none of {whose} tuning trials has finished: {join(tuning.without_choice)}."
    if not finished:
        return [first, "Without a finished trial there is nothing to compare."]
    done = [arm for arm in arms if arm.outcome == Outcome.FINISHED]
    first += _disagreements(arms) + _not_judged(results)
    differing = [name for name in WINDOW_FIELDS if len({repr(arm.config.get(name)) for arm in done}) > 1]
    tested = "All arms are tested on the same sample of windows."
    if differing:
        which = f"{join(differing)} {'differ' if len(differing) > 1 else 'differs'}"
        tested = f"The arms are tested on different windows ({which}), so test losses are ranked only among like arms."
    if len({windows(arm) for arm in done}) > len({arm.window_values for arm in done}):
        whose = "sweeps are tested on test sets" if results.parts else "base models are tested on rows of text"
        rows = f"The {whose} that differ, so their test losses are not paired."
        tested = f"{tested} {rows}" if differing else rows
    if any(len(arm.seeds) > 1 for arm in done):
        return [first, "Intervals of losses are over seeds; those of rewards and win rates are over prompts.", tested]
    seeds = "one finished seed" if any(arm.shortfall for arm in done) else "one seed"
    if all(arm.window_losses for arm in done):
        unknown = "another seed would move a difference in test loss is unknown: tests speak of these trained models"
    else:
        unknown = (
            "another seed or another sample would move a difference in test loss is unknown, and no such difference "
            "can be called certain"
        )
    return [first, f"Every arm has {seeds}. {tested} How far {unknown}."]


def _disagreements(arms: list[Arm]) -> str:
    """Arms whose two records of the same wins differ: the report must not rest on them unnoticed."""
    wrong = [
        arm.label
        for arm in arms
        if arm.wins
        and arm.seed_margins.shape[1] == len(arm.used)
        and arm.wins.wins != int((arm.seed_margins > 0).to_numpy().sum())
    ]
    return f" The wins in result.json and in responses.jsonl disagree for {join(wrong)}." if wrong else ""


def _not_judged(results: Results) -> str:
    """Trials whose losses stand and whose rewards are missing, and how to judge them."""
    if NOT_JUDGED not in results.trials:
        return ""
    lost = results.trials[(results.trials["outcome"] == Outcome.FINISHED) & results.trials[NOT_JUDGED].notna()]
    if lost.empty:
        return ""
    reasons = join(list(dict.fromkeys(map(str, lost[NOT_JUDGED]))))
    judge = " and ".join(
        as_called("sweep.reward_metric", typed(one.directory)) for one in results.sweeps_of(lost["trial"])
    )
    return (
        f" Trained, but not judged, and so without rewards: {join(list(dict.fromkeys(lost['arm'])))} ({reasons}); "
        f"judge with: {judge}"
    )


def _memory(table: ComparisonTable) -> list[str]:
    """How the peaks of the finished arms of a table compare, and which of its arms have run out of memory."""
    lost = [arm.label for arm in table.arms if arm.outcome == Outcome.OUT_OF_MEMORY]
    return [*_peaks(table.finished), *([f"Ran out of memory for good: {join(lost)}."] if lost else [])]


def _peaks(arms: list[Arm]) -> list[str]:
    known = sorted((arm for arm in arms if arm.values("peak_bytes")), key=lambda arm: arm.largest("peak_bytes"))
    if len(known) < 2:
        return []
    if len({source for arm in known for source in arm.peak_sources}) > 1:
        return ["Peak memory was measured in different ways, or on GPUs of several kinds, and is not compared."]
    low, high = known[0].largest("peak_bytes"), known[-1].largest("peak_bytes")
    if low == high or low <= 0:
        return [f"Peak memory is the same in all arms: {show_bytes(low)}."]
    return [
        f"Peak memory goes from {show_bytes(low)} ({known[0].label}) to {show_bytes(high)} ({known[-1].label}): "
        f"{show_number(high / low, 2 if high / low >= 1.01 else 4)} times as much, {show_bytes(high - low)} more."
    ]


def _learning_rates(ranges: list[RateRange]) -> list[str]:
    """The best learning rate of each group that tried several, and whether it lies at the edge of those tried.

    Args:
        ranges: of all arms of a table, since the range tried is that of arms that diverged or failed too.
    """
    named, edge, numbers = [], False, set()
    for tried in ranges:
        edge = edge or tried.at_edge
        numbers.add(len(tried.rates))
        asides = ["an end of the range tried"] if tried.at_edge else []
        asides += [tried.best.shortfall] if tried.best.shortfall else []
        for outcome in (Outcome.DIVERGED, *NOT_COMPARED):
            lost = [show_field(arm.config["lr"]) for arm in tried.members if arm.outcome == outcome]
            asides += [f"{join(lost)} {outcome}"] if lost else []
        aside = f" ({'; '.join(asides)})" if asides else ""
        named.append(f"{show_field(tried.best.config['lr'])}{aside} for {tried.group or 'all'}")
    if not named:
        return []
    caveat = " At an end of the range the best learning rate may lie outside it." if edge else ""
    return [
        f"Learning rate with the lowest last test loss: {'; '.join(named)}. It is the best of "
        f"{' or '.join(map(str, sorted(numbers)))}, chosen on the same windows that it is judged on.{caveat}"
    ]
