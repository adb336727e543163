"""Each name is stated in one place: no list of ours repeats a vocabulary, and what must know all of its names does."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from analysis.drawings.memory import COLOURS
from analysis.fairness.consequences import BY_MEMORY, FOLLOWS, ORDER_FIELDS
from analysis.fairness.ledger import ALWAYS_ASKED, COST_FACTS, FACTS, FACTS_IF_KNOWN
from basis import fields
from basis.input_hashes import INPUT_HASHES
from basis.metrics import MEMORY_PARTS, METRIC, METRICS, REWARD_METRICS, Objective
from basis.optimizers import OWN
from basis.outcomes import Outcome
from basis.packages import PACKAGES, ROOT
from basis.stages import Stage
from model.ledger import MemoryParts
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from sweep.data.words import SIDES
from sweep.trial.config import TrialConfig
from sweep.trial.metrics import part_columns

VOCABULARIES = {
    "optimizers": (OWN, 3),
    "schedules": (get_args(fields.Schedule), 2),
    "scalings": (fields.SCALINGS, 2),
    "targets": (get_args(fields.Target), 3),
    "groups of weights": (fields.TRAINED_GROUPS, 3),
    "LoRA's fields": (fields.LORA_FIELDS, 3),
    "optimizers' fields": (fields.OPTIMIZER_FIELDS, 2),
    "fields of lists": (fields.LIST_FIELDS, 2),
    "tokens that count": (get_args(fields.LossOn), 3),
    "packings of rows": (get_args(fields.PackingChoice), 3),
    "objectives": (get_args(Objective), 3),
    "rewards": (REWARD_METRICS, 5),
    "memory parts": (MEMORY_PARTS, 3),
    "input hashes": (INPUT_HASHES, 3),
    "stages": ((Stage.FINAL.value,), 1),
    "outcomes": ([outcome.value for outcome in Outcome], 2),
}
"""Names of a kind, and how many of them in one list make it a copy."""

ELSEWHERE = {
    "basis/optimizers.py": "states the optimizers",
    "basis/learning_rates.py": "ranges by optimizer, held by test_learning_rates.py",
    "model/library_signatures.py": "arguments of libraries that are fields of ours",
    "basis/fields.py": "states names of fields, and LoRA's default targets",
    "basis/methods.py": "states which method has which of LoRA's fields",
    "basis/metrics.py": "states the metrics",
    "basis/documents/progress.py": "states of a trial as a document has them, held by sweep/progress/documents.py",
    "basis/stages.py": "states the stages",
    "sweep/tracking/notice.py": "counts of a sweep by the words of a notice, held by test_notice.py",
    "analysis/fairness/sweep_flags.py": "the inputs of which a difference between sweeps moves losses",
    "basis/input_hashes.py": "states the inputs",
    "analysis/published/gpu_memory.py": "fields of the published study",
    "sweep/provenance/hashes.py": "makes the hashes, held below",
    "model/gpt2_lora.py": "targets with the checkpoint's names, held below",
    "sweep/reward_metric.py": "makes the rewards, held by test_reward_metric.py",
    "sweep/mistakes/hints.py": "words that users know from elsewhere, held by test_explain.py",
    "benchmarks/memory.py": "targets and groups of its cases",
    "benchmarks/report.py": "three optimizers of its made-up arms",
}
"""Files that may list such names, and why."""


def literals(path: Path) -> Iterator[tuple[int, set[str]]]:
    """The texts of each tuple, list, set and mapping's keys in a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            members: list[ast.expr | None] = [*node.elts]
        elif isinstance(node, ast.Dict):
            members = [*node.keys]
        elif isinstance(node, ast.Compare):
            members = [node.left, *node.comparators]
        else:
            continue
        yield (
            node.lineno,
            {one.value for one in members if isinstance(one, ast.Constant) and isinstance(one.value, str)},
        )


def test_no_list_of_ours_repeats_a_vocabulary() -> None:
    copies = [
        f"{path.relative_to(ROOT)}:{line} repeats {kind}: {', '.join(sorted(repeated))}"
        for package in (*PACKAGES, "benchmarks")
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in ELSEWHERE
        for line, texts in literals(path)
        for kind, (names, most) in VOCABULARIES.items()
        if len(repeated := texts & set(names)) >= most
    ]
    assert not copies, "\n".join(copies)


def test_the_files_that_may_list_names_are_there() -> None:
    assert all((ROOT / name).is_file() for name in ELSEWHERE)


@pytest.mark.parametrize(
    "named",
    [
        fields.DEPENDENT_FIELDS,
        fields.LIST_FIELDS,
        fields.COST_FIELDS,
        tuple(fields.ADDED_FIELDS),
        BY_MEMORY,
        ORDER_FIELDS,
        ALWAYS_ASKED,
    ],
)
def test_fields_that_are_named_are_fields_of_a_trial(named: tuple[str, ...]) -> None:
    assert set(named) <= set(TrialConfig.model_fields)


def test_every_field_that_may_be_none_by_its_method_or_optimizer_is_named() -> None:
    lora = {"method": "lora", "rank": 1, "optimizer": "muon"}
    full = {"method": "full", "optimizer": "sgd"}
    shared = {"lr": 1, "steps": 1, "batch_size": 1, "block_size": 1, "test_every": 1, "test_windows": 1}
    has, lacks = (TrialConfig.model_validate({**shared, **own}).model_dump() for own in (lora, full))
    assert {name for name in has if has[name] is not None and lacks[name] is None} == {
        name for name in fields.DEPENDENT_FIELDS if fields.applies(name, lora)
    }
    for config in (has, lacks):
        assert {name for name in config if not fields.applies(name, config)} == {
            name for name in fields.DEPENDENT_FIELDS if config[name] is None
        }


def test_whether_a_field_applies_is_not_denied_where_method_or_optimizer_is_unknown() -> None:
    assert all(fields.applies(name, {}) for name in TrialConfig.model_fields)


def test_added_fields_have_the_value_that_earlier_trials_have() -> None:
    assert {name: TrialConfig.model_fields[name].default for name in fields.ADDED_FIELDS} == fields.ADDED_FIELDS


def test_lists_are_the_values_of_the_fields_of_lists() -> None:
    listed = {name for name, field in TrialConfig.model_fields.items() if "tuple" in str(field.annotation)}
    assert listed == set(fields.LIST_FIELDS)


@pytest.mark.parametrize("name", fields.OPTIMIZERS)
def test_an_optimizer_has_its_traits_and_can_be_built(name: fields.Optimizer) -> None:
    assert name in fields.OPTIMIZERS, "add its traits to basis.fields.OPTIMIZERS"
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, n_positions=4, vocab_size=8))
    built = build_optimizers(model, OptimizerSettings(name, 1e-3))
    assert built, "add a case to model.optimizers.build_optimizers"


def test_a_metric_that_a_search_chooses_by_has_a_direction() -> None:
    assert all(METRIC[name].better != "neither" for name in get_args(Objective))
    assert len(METRIC) == len(METRICS)


def test_every_part_of_memory_is_predicted_measured_reported_and_drawn() -> None:
    columns = {f"{prefix}_{part}_bytes" for part in MEMORY_PARTS for prefix in ("peak", "predicted")}
    written = {name for prefix in ("peak", "predicted") for name in part_columns(prefix, MemoryParts())}
    assert columns == written, "see sweep.trial.metrics.part_columns"
    assert columns <= set(METRIC), "see basis.metrics.METRICS"
    assert len(MEMORY_PARTS) == len(MemoryParts().as_dict()), "see model.ledger.MemoryParts"
    assert set(MEMORY_PARTS.values()) < set(COLOURS), "see analysis.drawings.memory.COLOURS"


def test_every_set_of_tokens_has_a_hash_that_a_ledger_can_word() -> None:
    sets = (*SIDES, "general")
    assert {f"{side}_tokens" for side in sets} == {name for name in INPUT_HASHES if name.endswith("_tokens")}


def test_facts_that_follow_from_a_field_name_fields_and_have_words() -> None:
    assert {name for causes in FOLLOWS.values() for name in causes} <= set(TrialConfig.model_fields)
    assert set(FOLLOWS) | set(COST_FACTS) <= {*FACTS, *FACTS_IF_KNOWN}
