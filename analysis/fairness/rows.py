"""The rows of a comparison table as the fairness ledger sees them: plain values, whichever study they come from."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.by_request import ByRequest
from analysis.comparison.choices import branch_of
from analysis.comparison.evidence import Evidence
from analysis.comparison.learning_rates import RateRange
from analysis.results.experiment import Results
from analysis.results.outcomes import finite
from analysis.wording.values import show_field
from basis.control_record import Decision, clock_time
from basis.fields import LORA_DEFAULTS, SCALINGS, adapter_scaling
from basis.input_hashes import INPUT_HASHES
from basis.metrics import DEVICE, EXECUTION_METRICS
from basis.outcomes import NOT_COMPARED, Outcome
from basis.row_counts import RowCounts

ONCE, ANEW = "once", "anew at each evaluation"
"""How test windows were drawn: ours are fixed before the first trial."""
APART = "apart"
"""How ties were counted: ours are neither wins nor losses."""
EXECUTED = {name: f"executed_{name}" for name in EXECUTION_METRICS}
"""Facts of how the steps were carried out, by their columns: a row's config has what was asked for."""
SWEEPS, DATA_FILES = "sweeps", "data_files"
"""Facts of several sweeps that are reported as one: which an arm comes from, and from which files its data."""
LOSSES = ("train_loss", "test_loss", "test_loss_best", "test_loss_last10_mean")
LARGEST = ("step", "retained_delta_bytes", "peak_bytes", "trainable_parameters", "skipped_steps")
DIALOGUES = (
    *("overlap_exact", "overlap_opening", "test_dialogues", "test_openings_unknown", "train_openings_unknown"),
    *("validation_openings_in_test", "validation_dialogues", "skipped_records"),
    *("general_in_train", "general_examples"),
)


class Tried(NamedTuple):
    """What was tried of a field before a row's value was chosen as the best.

    Attributes:
        values: the values tried, ascending, each once; those of trials that diverged or failed too.
        trials: number of trials among which the row's value was chosen.
        on_validation: whether they were judged on windows that the table's losses are not about.
    """

    values: tuple[Any, ...]
    trials: int
    on_validation: bool


@dataclass(frozen=True)
class LedgerRow:
    """A row of a comparison table.

    Attributes:
        label: unique short name.
        config: fields of TrialConfig; None where a field does not apply, absent where its value is not known.
        facts: what else was the same or not, such as digests: the distinct values over the row's replicates; empty
            where a fact does not apply, absent where it is not known.
        numbers: metrics, means over the replicates; absent where not known.
        tried: what was tried of a field before this row's value was chosen, for the fields of a row that was chosen.
        ranges: the range from which a random or an Optuna search drew a field, as text.
    """

    label: str
    config: Mapping[str, Any]
    facts: Mapping[str, tuple[Any, ...]]
    numbers: Mapping[str, float]
    tried: Mapping[str, Tried] = field(default_factory=dict)
    ranges: Mapping[str, str] = field(default_factory=dict)

    def fact(self, name: str) -> Any:
        """The first value of a fact; None where it is not known or does not apply."""
        values = self.facts.get(name)
        return values[0] if values else None

    @property
    def adapter_scaling(self) -> float | None:
        """What an adapter's product B A x is multiplied by; None without adapters or where it is not known.

        alpha / r is that of LoRA (Hu et al., 2021), alpha / sqrt(r) that of rsLoRA (Kalajdzievski, 2023).
        """
        rank, alpha = self.config.get("rank"), self.config.get("alpha")
        given = self.config.get("scaling") or LORA_DEFAULTS["scaling"]
        rule = next((one for one in SCALINGS if one == given), None)
        return adapter_scaling(rule, float(alpha), rank) if rank and alpha and rule else None

    @property
    def tuned(self) -> dict[str, Tried]:
        """The fields that tuning trials of the row's own chose."""
        return {name: tried for name, tried in self.tried.items() if tried.on_validation}


LedgerRows = Sequence[LedgerRow]


def rows_of(evidence: Evidence, arms: Sequence[Arm], rate_ranges: Sequence[RateRange]) -> list[LedgerRow]:
    """Describe arms that are compared for the ledger.

    Args:
        evidence: what the sweep knows.
        arms: those of one of its tables, or all.
        rate_ranges: those among them that differ in their learning rate alone.

    Returns:
        One row per arm, in their order.
    """
    best = {group.best.label: group for group in rate_ranges}
    counts = ["tokens_seen", *(["scored_tokens_seen"] if _scores_a_part(evidence.results.trials) else [])]
    return [_row(evidence, arm, best.get(arm.label), counts) for arm in arms]


def _row(evidence: Evidence, arm: Arm, rates: RateRange | None, counts: Sequence[str]) -> LedgerRow:
    """The row of an arm; `rates` are those that it is the best of, if it is, and `counts` the metrics of its tokens."""
    tried: dict[str, Tried] = {}
    if arm.tested_once:
        tried = _tuning(evidence, arm)
    elif rates:
        tried = {"lr": Tried(tuple(rates.rates), len(rates.members), on_validation=False)}
    searched = None if arm.tested_once else evidence.searches.get(arm.trials["trial"][0])
    facts = _facts(evidence, arm, counts) | ({"searched_on_test": (searched,)} if searched else {})
    ranges = _ranges(evidence.results.sweep_of(arm.trials["trial"][0]).spec, arm.config) if searched else {}
    return LedgerRow(arm.label, arm.config, facts, _numbers(arm), tried, ranges)


def _scores_a_part(trials: pd.DataFrame) -> bool:
    """Whether the loss of any trial scores not all tokens that it sees; where all do, nobody needs to be told."""
    if "scored_tokens_seen" not in trials:
        return False
    return bool((trials["scored_tokens_seen"] < trials["tokens_seen"]).any())


def _facts(evidence: Evidence, arm: Arm, counts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    results = evidence.results
    facts: dict[str, tuple[Any, ...]] = {
        "outcome": (arm.outcome,),
        "seeds": distinct(arm.seeds),
        "replicates": (len(arm.used),),
        "test_windows_drawn": (ONCE,),
        "ties": (APART,) if arm.wins else (),
    }
    facts |= {name: () for name in ("prompts", "reward_model", "judged_as_trained") if arm.asked == 0}
    facts |= {"reward_model": ()} if arm.held_to_answers else {}
    facts |= {"rows_tested": rows} if (rows := distinct(len(losses) for losses in arm.window_losses.values())) else {}
    reached = arm.outcome not in (Outcome.DIVERGED, Outcome.NOT_STARTED, Outcome.REPEATED, *NOT_COMPARED)
    facts |= _answered(evidence.answers, arm)
    for name, kind in (*((name, int) for name in counts), ("micro_batch", int), ("activation_checkpointing", bool)):
        values = distinct(kind(value) for value in arm.values(name))
        facts |= {EXECUTED.get(name, name): values if reached else ()} if values or not reached else {}
    facts |= {name: values for name, values in _recorded(results, arm).items() if name not in facts}
    if devices := arm.used.known(DEVICE):
        facts["device"] = distinct(devices)
    for sweep in (sweeps := results.sweeps_of(arm.used["trial"])):
        facts |= {name: values for name, values in _of_sweep(sweep, arm).items() if name not in facts}
    facts |= _requested(evidence.requested, arm.label)
    facts |= _put_together(results, arm)
    adaptive = distinct(
        (seeds["min"], seeds["max"]) for one in sweeps if isinstance(seeds := one.spec.get("seeds"), dict)
    )
    return facts | ({"adaptive_seeds": adaptive} if adaptive else {})


def _of_sweep(sweep: Results, arm: Arm) -> dict[str, tuple[Any, ...]]:
    """The facts of an arm that a sweep has on record as a whole."""
    facts: dict[str, tuple[Any, ...]] = {}
    if not any(sweep.records.values()):
        identity = _mapping(sweep.sweep.get("identity"))
        covered = {name: one.identity for name, one in INPUT_HASHES.items() if one.identity in identity}
        facts |= {name: (identity[key],) for name, key in covered.items()}
    data = _mapping(sweep.sweep.get("data"))
    facts |= {name: (data[name],) for name in DIALOGUES if finite(data.get(name))}
    models = (arm.model, None) if isinstance(sweep.spec.get("model"), (str, Mapping)) else (arm.model,)
    facts["cut_rows"] = tuple(counts for counts in _row_counts(data.get("rows")) if counts.model in models)
    return facts


def _put_together(results: Results, arm: Arm) -> dict[str, tuple[Any, ...]]:
    """Of several sweeps the ones that an arm comes from, and the files that its data came from."""
    if not results.parts:
        return {}
    records = (results.records.get(trial) or {} for trial in arm.used["trial"])
    files = distinct(
        json.dumps(sorted([str(key).partition(":")[0], str(digest)] for key, digest in named.items()))
        for record in records
        if (named := _mapping(_mapping(record.get("hashes")).get("data_files")))
    )
    sweeps = distinct(results.origins[trial] for trial in arm.used["trial"])
    return {SWEEPS: sweeps, **({DATA_FILES: files} if files else {})}


def _requested(requested: ByRequest, label: str) -> dict[str, tuple[Any, ...]]:
    """The facts of what was asked of the sweep for an arm, none of which an arm has that nobody touched."""
    added, reseeded = requested.added.get(label), requested.reseeded.get(label, ())
    asked = {decision.id: decision for decision in reseeded}
    seeds = Counter(decision.id for decision in reseeded)
    return {
        **({"added_by_request": (_at(added),)} if added else {}),
        **({"seeds_by_request": tuple(f"{seeds[i]} {_at(asked[i])}" for i in seeds)} if seeds else {}),
        **({"stopped_by_request": tuple(stopped)} if (stopped := requested.stopped.get(label)) else {}),
    }


def _at(decision: Decision) -> str:
    """When something was decided, and what could be seen by then."""
    trials = "trial" if decision.finished == 1 else "trials"
    seen = f"after {decision.finished:,} {trials} had finished" if decision.finished else "with curves in view"
    return f"at {clock_time(decision.decided)} {seen}"


def _row_counts(entries: Any) -> list[RowCounts]:
    """The counts under "rows" of a sweep's data; entries that are not as written are passed over."""
    written = [entry for entry in entries if _is_row_counts(entry)] if isinstance(entries, list) else []
    return [RowCounts(**entry) for entry in written]


def _is_row_counts(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or set(entry) != set(RowCounts._fields):
        return False
    model, side, *numbers = (entry[name] for name in RowCounts._fields)
    return isinstance(model, str | None) and isinstance(side, str) and all(type(number) is int for number in numbers)


def _answered(answered: Mapping[str, pd.DataFrame], arm: Arm) -> dict[str, tuple[Any, ...]]:
    """Digests of the prompts that the trials of an arm answered, and of the base model's responses beside theirs."""
    trials = [answered[trial] for trial in arm.used["trial"] if trial in answered]
    return {
        fact: distinct(
            hashlib.sha256(json.dumps([list(trial["index"]), list(trial[column])]).encode()).hexdigest()
            for trial in trials
        )
        for fact, column in (("prompts_answered", "prompt"), ("base_responses", "base_response"))
        if any(column in trial for trial in trials) or not trials
    }


def _recorded(results: Results, arm: Arm) -> dict[str, tuple[Any, ...]]:
    """The facts that the records of all trials of an arm know."""
    records = [results.records.get(trial) or {} for trial in arm.used["trial"]]
    known = [_flat(record) for record in records]
    # A trial that went on in another process keeps what was otherwise before, such as the device.
    earlier = [_flat(before) for record in records for before in record.get("earlier", [])]
    names = [name for name in known[0] if all(name in facts for facts in known)] if known else []
    return {name: distinct(facts[name] for facts in (*known, *earlier) if name in facts) for name in names}


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a trial's record."""
    code, hardware = _mapping(record.get("code")), _mapping(record.get("hardware"))
    flat = {name: value for name, value in _mapping(record.get("hashes")).items() if name in INPUT_HASHES}
    flat |= {f"version of {package}": value for package, value in _mapping(record.get("versions")).items()}
    flat |= {name: hardware[name] for name in ("device", "cpu", "threads") if name in hardware}
    flat |= {"code_files": code.get("files")} if code.get("files") else {}
    flat |= {"code_commit": code.get("commit"), "code_dirty": code.get("dirty")}
    flat["judged_as_trained"] = record.get("judged_as_trained")
    return {name: value for name, value in flat.items() if value is not None}


def _numbers(arm: Arm) -> dict[str, float]:
    numbers = {name: arm.mean(name).estimate for name in LOSSES}
    numbers |= {name: arm.largest(name) for name in LARGEST}
    if counts := arm.wins:
        numbers |= {"wins": counts.wins, "asked": counts.wins + counts.ties + counts.losses}
        numbers |= {"win_rate": arm.mean("win_rate").estimate, "win_rate_low": counts.rate.low}
    return {name: value for name, value in numbers.items() if finite(value)}


def _ranges(spec: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """The ranges of the branch of the spec's space that a config comes from, as text by field."""
    index = branch_of(spec, config)
    branch = spec["space"][index] if index >= 0 else {}
    return {name: _range(choice) for name, choice in branch.items() if isinstance(choice, Mapping)}


def _range(choice: Mapping[str, Any]) -> str:
    scale = "logarithmic" if choice.get("log") else "linear"
    return f"drawn between {show_field(choice.get('low'))} and {show_field(choice.get('high'))} ({scale})"


def _tuning(evidence: Evidence, arm: Arm) -> dict[str, Tried]:
    """What was tried of the fields of an arm on validation windows before it was chosen."""
    trial, configs = arm.trials["trial"][0], evidence.results.configs
    competed = evidence.competing.get(evidence.groups[trial], ())
    tried = {}
    for name in evidence.chosen[trial]:
        values = distinct(value for other in competed if (value := configs.get(other, {}).get(name)) is not None)
        if values:
            tried[name] = Tried(tuple(sorted(values, key=_size)), len(competed), on_validation=True)
    return tried


def _size(value: Any) -> tuple[int, Any]:
    """Order of tried values: numbers by size, then others as text."""
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value once, in the order of its first appearance; lists as tuples."""
    plain = [tuple(value) if isinstance(value, list) else value for value in values]
    return tuple({_known_by(value): value for value in plain}.values()) if len(plain) > 1 else tuple(plain)


def _known_by(value: Any) -> str:
    """A text that values share which are the same: 1 and True are not. Plain values need no JSON, which is slow."""
    return repr(value) if isinstance(value, str | int | float | None) else json.dumps(value, default=str)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
