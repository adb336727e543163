"""What a fairness ledger flags of the rows of a table besides confounds: one function per way to go wrong.

Each takes the rows and returns sentences, none where there is nothing to say. A check says nothing of rows that do not
know what it needs.
"""

from collections import Counter
from collections.abc import Callable

from analysis.comparison.selection import chosen_by_what_is_reported
from analysis.fairness.data_flags import (
    examples_cut,
    general_text_trained_on,
    leaked_dialogues,
    records_left_out,
    shared_with_validation,
    untold_openings,
    windows_drawn_anew,
)
from analysis.fairness.reasons import Flag, Reason
from analysis.fairness.request_flags import added_after_a_look, seeds_after_a_look, stopped_by_request
from analysis.fairness.rows import APART, LedgerRows
from analysis.fairness.rows_alike import same_in_every_digit
from analysis.fairness.sweep_flags import of_other_code, of_other_hardware, of_other_inputs, put_together
from analysis.fairness.tuning_flags import edge_of_range, unequal_tuning
from analysis.fairness.words import by_value, named, which
from analysis.wording.values import show_fact
from basis.fields import has_adapters, is_lora
from basis.input_hashes import INPUT_HASHES
from basis.outcomes import NOT_COMPARED, Outcome

RATE_RATIO = (
    "LoRA's best learning rate is about ten times that of full fine-tuning (“LoRA Without Regret”, 2025), so the rate "
    "favours one of the two"
)
STATED_TO = 0.005
"""Rates are stated to two digits, so that a count may lie half a unit of the second away."""


def flags_of(rows: LedgerRows, factor: str | None) -> list[Flag]:
    """All flags of a table.

    Args:
        rows: its rows.
        factor: the field that it compares, if any.

    Returns:
        The flags, the gravest first.
    """
    flags = [Flag(reason, sentence) for reason, check in CHECKS.items() for sentence in check(rows)]
    return [*flags, *(Flag(Reason.UNEQUAL_TUNING, sentence) for sentence in unequal_tuning(rows, factor))]


def remarks_of(rows: LedgerRows) -> list[str]:
    """What a reader should know of a table without it being a fault: how values were tuned, and adaptive seeds."""
    remarks = []
    numbers = {(name, tried.trials) for row in rows for name, tried in row.tuned.items()}
    for name in dict.fromkeys(name for name, _ in sorted(numbers)):
        counts = {trials for field, trials in numbers if field == name}
        if len(counts) == 1 and all(name in row.tuned for row in rows):
            values = by_value({row.label: (row.config.get(name),) for row in rows})
            best = f"the best of {counts.pop()} tuning trials on validation windows"
            remarks.append(f"Each row has its own {name}, {best}: {values}.")
    if limits := next((row.fact("adaptive_seeds") for row in rows if row.fact("adaptive_seeds")), None):
        sets = by_value({row.label: row.facts.get("seeds", ()) for row in rows})
        remarks.append(
            f"Seeds were added by the results, from {limits[0]} up to {limits[1]} per row: {sets}. Comparisons stand "
            "on common seeds."
        )
    return remarks


def shared_rate(rows: LedgerRows) -> list[str]:
    """One learning rate for full fine-tuning and for LoRA under the same optimizer, tuned for neither."""
    sentences = []
    untuned = [row for row in rows if "lr" not in row.tuned]
    for optimizer in dict.fromkeys(row.config.get("optimizer") for row in untuned):
        mine = [row for row in untuned if row.config.get("optimizer") == optimizer]
        full = [row for row in mine if row.config.get("method") == "full"]
        lora = [row for row in mine if is_lora(row.config.get("method"))]
        rates = {row.config.get("lr") for row in (*full, *lora)}
        if full and lora and len(rates) == 1 and None not in rates:
            first, second = (named(row.label for row in members) for members in (full, lora))
            sentences.append(
                f"Full fine-tuning ({first}) and LoRA ({second}) share one learning rate, {show_fact(rates.pop())}. "
                f"{RATE_RATIO}."
            )
    return sentences


def rank_and_scaling(rows: LedgerRows) -> list[str]:
    """A scaling of the adapters that changes with their rank."""
    scalings: dict[int, set[float]] = {}
    for row in rows:
        if row.adapter_scaling is not None:
            scalings.setdefault(row.config["rank"], set()).add(row.adapter_scaling)
    rules = {str(row.config.get("scaling") or "alpha/r") for row in rows if row.adapter_scaling is not None}
    if len({frozenset(values) for values in scalings.values()}) < 2:
        return []
    each = ", ".join(
        f"{' and '.join(map(show_fact, sorted(values)))} at rank {rank}" for rank, values in sorted(scalings.items())
    )
    tuned = all("lr" in row.tuned for row in rows if row.adapter_scaling is not None)
    eased = " That each row has its own tuned learning rate makes up for part of it." if tuned else ""
    return [
        f"Rank and scaling change together: the adapters' scaling {' or '.join(sorted(rules))} is {each}, so a "
        f"difference between ranks may be one of scaling.{eased}"
    ]


def more_than_adapters(rows: LedgerRows) -> list[str]:
    """LoRA rows in which other weights train too, or in which the head is a weight of its own."""
    sentences = []
    also = {row.label: tuple(groups) for row in rows if (groups := row.config.get("also_train"))}
    if also:
        parameters = {
            row.label: (f"{show_fact(int(trainable))}, of which {show_fact(int(adapters))} in adapters",)
            for row in rows
            if row.label in also
            and (trainable := row.numbers.get("trainable_parameters"))
            and (adapters := row.numbers.get("adapter_parameters"))
        }
        counted = f" Parameters that train: {by_value(parameters)}." if parameters else ""
        what = by_value({label: (groups,) for label, groups in also.items()})
        sentences.append(f"More trains than the adapters, so that these rows are not plain LoRA: {what}.{counted}")
    untied = [row.label for row in rows if row.config.get("tie_head") is False]
    if untied:
        adapted = [row.label for row in rows if row.label in untied and "head" in (row.config.get("targets") or ())]
        adapter = f"; it has an adapter too in {which(adapted, rows)}" if adapted else ""
        sentences.append(f"The head is untied from the embedding in {which(untied, rows)}{adapter}; GPT-2's is tied.")
    return sentences


def not_judged_as_trained(rows: LedgerRows) -> list[str]:
    """Responses of another model than the one that was trained."""
    other = [row.label for row in rows if False in row.facts.get("judged_as_trained", ())]
    if not other:
        return []
    lora = [row.label for row in rows if row.label in other and has_adapters(row.config.get("method"))]
    what = "model without the adapters that were trained" if lora == other else "model other than the trained one"
    return [f"Responses came from a {what} in {which(other, rows)}: their win rates say nothing of the training."]


def fewer_test_rows(rows: LedgerRows) -> list[str]:
    """Test sets that hold fewer rows than were asked for."""
    fewer = {
        row.label: (f"{tested:,} of {asked:,}",)
        for row in rows
        if (tested := row.fact("rows_tested"))
        and isinstance(asked := row.config.get("test_windows"), int)
        and tested < asked
    }
    if not fewer:
        return []
    return [
        f"The test set holds fewer rows than test_windows asks for: {by_value(fewer)}. So test losses are less certain "
        "than was planned."
    ]


def miscounted_wins(rows: LedgerRows) -> list[str]:
    """Stated win rates that are not those of the counts, and ties that were not counted apart."""
    wrong = []
    for row in rows:
        numbers = row.numbers
        if {"wins", "asked", "win_rate"} <= numbers.keys() and numbers["asked"]:
            counted = numbers["wins"] / numbers["asked"]
            if abs(counted - numbers["win_rate"]) > STATED_TO:
                of = f"{numbers['wins']:,.0f} of {numbers['asked']:,.0f}"
                wrong.append(f"{row.label} {of} is {100 * counted:.0f} %, stated {100 * numbers['win_rate']:.0f} %")
    sentences = [f"Stated win rates are not those of the counts: {'; '.join(wrong)}."] if wrong else []
    ties = {row.label: row.facts["ties"] for row in rows if row.facts.get("ties") and row.fact("ties") != APART}
    if ties:
        sentences.append(f"Ties are not counted apart: {by_value(ties)}.")
    return sentences


def too_few_observations(rows: LedgerRows) -> list[str]:
    """One seed per row, and win rates without an interval."""
    sentences = []
    single = [row.label for row in rows if row.fact("replicates") == 1]
    if single:
        sentences.append(
            f"One seed stands behind {which(single, rows)}: such losses carry no interval, and another seed may change "
            "their order."
        )
    bare = [row.label for row in rows if "win_rate" in row.numbers and "win_rate_low" not in row.numbers]
    if bare:
        sentences.append(f"Win rates are stated without an interval in {which(bare, rows)}.")
    return sentences


def delta_for_peak(rows: LedgerRows) -> list[str]:
    """Memory given as what was retained after training."""
    deltas = {row.label: (int(row.numbers["retained_delta_bytes"]),) for row in rows
              if "retained_delta_bytes" in row.numbers and "peak_bytes" not in row.numbers}  # fmt: skip
    if not deltas:
        return []
    return [
        "Memory is given as a retained delta (bytes allocated after training minus before it) without a peak, which "
        f"is what training needs: {by_value(deltas)}."
    ]


def skipped_steps(rows: LedgerRows) -> list[str]:
    """Steps that changed nothing, since gradients overflowed fp16."""
    skipped = {
        row.label: (f"{number:,.0f} of {row.numbers.get('step', 0):,.0f}",)
        for row in rows
        if (number := row.numbers.get("skipped_steps", 0))
    }
    if not skipped:
        return []
    return [f"Steps that changed nothing, since gradients overflowed fp16, at most: {by_value(skipped)}."]


def unequal_steps(rows: LedgerRows) -> list[str]:
    """Rows that ended before their last step, other than by diverging or failing."""
    counted = [
        row
        for row in rows
        if row.fact("outcome") not in (Outcome.DIVERGED, *NOT_COMPARED) and row.numbers.get("step", 0) > 0
    ]
    short = [row for row in counted if row.numbers["step"] < (row.config.get("steps") or 0)]
    if not short:
        return []
    steps = Counter(int(row.numbers["step"]) for row in counted)
    equal = "unequal" if len(steps) > 1 else "equal"
    each = by_value({row.label: (int(row.numbers["step"]),) for row in counted})
    planned = " or ".join(dict.fromkeys(show_fact(row.config["steps"]) for row in short))
    return [f"Stopped early, at {equal} steps: {each}; planned were {planned}."]


def chosen_on_test(rows: LedgerRows) -> list[str]:
    """A best that was searched for by what the table reports."""
    searches = dict.fromkeys(searched for row in rows if (searched := row.fact("searched_on_test")))
    return [chosen_by_what_is_reported(searched) for searched in searches if searched.tried > 1]


def unlike_replicates(rows: LedgerRows) -> list[str]:
    """Replicates of one row that differ in more than their seed.

    Rows of whole examples hold more or fewer tokens by which examples a seed draws. Their targets do not all count.
    Two commits may hold the same code.
    """
    sentences = []
    for name in (*INPUT_HASHES, "prompts_answered", "base_responses", "tokens_seen", "code_commit"):
        mixed = {
            row.label: row.facts[name]
            for row in rows
            if len(row.facts.get(name, ())) > 1
            and not (name == "tokens_seen" and "scored_tokens_seen" in row.facts)
            and not (name == "code_commit" and len(row.facts.get("code_files", ())) == 1)
        }
        if mixed:
            sentences.append(f"Replicates of one row differ in {name}: {by_value(mixed)}.")
    return sentences


CHECKS: dict[Reason, Callable[[LedgerRows], list[str]]] = {
    Reason.OTHER_MODEL_JUDGED: not_judged_as_trained,
    Reason.CHOSEN_ON_TEST: chosen_on_test,
    Reason.ADDED_AFTER_A_LOOK: added_after_a_look,
    Reason.SEEDS_AFTER_A_LOOK: seeds_after_a_look,
    Reason.LEAK: leaked_dialogues,
    Reason.RECORDS_LEFT_OUT: records_left_out,
    Reason.EXAMPLES_CUT: examples_cut,
    Reason.VALIDATION_LEAK: shared_with_validation,
    Reason.GENERAL_LEAK: general_text_trained_on,
    Reason.OPENINGS_UNKNOWN: untold_openings,
    Reason.SHARED_RATE: shared_rate,
    Reason.RANK_AND_SCALING: rank_and_scaling,
    Reason.MORE_THAN_ADAPTERS: more_than_adapters,
    Reason.ROWS_ALIKE: same_in_every_digit,
    Reason.OTHER_INPUTS: of_other_inputs,
    Reason.OTHER_CODE: of_other_code,
    Reason.OTHER_HARDWARE: of_other_hardware,
    Reason.PUT_TOGETHER: put_together,
    Reason.UNLIKE_REPLICATES: unlike_replicates,
    Reason.UNEQUAL_STEPS: unequal_steps,
    Reason.STOPPED_BY_REQUEST: stopped_by_request,
    Reason.FEWER_TEST_ROWS: fewer_test_rows,
    Reason.SKIPPED_STEPS: skipped_steps,
    Reason.EDGE_OF_RANGE: edge_of_range,
    Reason.MISCOUNTED_WINS: miscounted_wins,
    Reason.FEW_OBSERVATIONS: too_few_observations,
    Reason.WINDOWS_ANEW: windows_drawn_anew,
    Reason.DELTA_FOR_PEAK: delta_for_peak,
}
