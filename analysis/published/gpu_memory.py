"""The published study's "GPU memory" explained to the byte, and the same trainings' memory here."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.fields import varying_fields
from analysis.published.study import load_published, same_kind
from analysis.wording.numbers import show_number
from basis.outcomes import Outcome

BATCH, LENGTH, VOCABULARY = 8, 1024, 50257
"""Windows, tokens per window and token ids of the published runs."""
WIDTH, LAYERS = 1024, 24
"""Of GPT-2-medium, whose positions are as many as its width."""

LOGITS_BYTES = BATCH * LENGTH * VOCABULARY * 4
CUBLAS_WORKSPACE_BYTES = 8_519_680
"""What PyTorch sets aside for cuBLAS for each thread that uses it, on GPUs before Hopper."""
TOKENS_BYTES = BATCH * LENGTH * 8
"""One batch of token ids, or of targets, in int64."""
ALLOCATION_BYTES = 512
"""What CUDA's caching allocator rounds every allocation up to, and so what a loss takes."""

STATES = {"SGD_lora1": 0, "SGD_Mom_lora1": 1, "SGD_Nest_lora1": 1, "AdamW_lora1": 2}
"""Optimizer states of the size of what trains, by published run."""
HEADINGS = {
    "SGD_lora1": "SGD",
    "SGD_Mom_lora1": "momentum",
    "SGD_Nest_lora1": "Nesterov",
    "AdamW_lora1": "AdamW",
    "AdamW_lora10": "AdamW, rank 10",
}
STEPS = (("SGD_lora1", "SGD_Mom_lora1"), ("SGD_Mom_lora1", "AdamW_lora1"), ("AdamW_lora1", "AdamW_lora10"))
"""Pairs of published runs whose difference says what an optimizer state, or a higher rank, takes."""

OUR_NUMBERS = ("optimizer_state_bytes", "predicted_optimizer_state_bytes", "retained_delta_bytes")
SET_BY_OPTIMIZER = ("optimizer", "momentum", "betas", "weight_decay", "lr")
"""Fields that go with the choice of an optimizer, the two last because the study set them by optimizer."""


@dataclass(frozen=True)
class PublishedMemory:
    """The section: the published figures taken apart, our arms beside them, and what there is to say of both."""

    explained: pd.DataFrame
    explained_notes: list[str]
    ours: pd.DataFrame
    ours_notes: list[str]


def explain_memory(arms: list[Arm]) -> PublishedMemory:
    """Take the published retained deltas apart and set our own memory figures beside them.

    Args:
        arms: all arms of the sweep.

    Returns:
        Tables of printable strings, in bytes, with their notes; no table of ours without a finished arm of the kind.
    """
    deltas = {str(run): int(value) for run, value in load_published().set_index("run")["retained_delta_bytes"].items()
              if value > 0}  # fmt: skip
    ours = [(run, arm) for run in HEADINGS for arm in _finished_like(run, arms)]
    rows = [_row(arm.label, deltas[run], [arm.largest(name) for name in OUR_NUMBERS]) for run, arm in ours]
    rows += list(_steps(ours, deltas))
    columns = ["arm, or from one to another", "published retained delta", "our optimizer state", "as predicted",
               "our retained delta"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns, dtype=str)
    return PublishedMemory(_explained(deltas), _explained_notes(deltas), frame, _our_notes([arm for _, arm in ours]))


def _explained(deltas: dict[str, int]) -> pd.DataFrame:
    """One column per optimizer at rank 1; what must have been allocated, its sum, and what that leaves open."""
    state = deltas["SGD_Mom_lora1"] - deltas["SGD_lora1"]
    frame: dict[str, list[str]] = {}
    for run, states in STATES.items():
        allocated = {
            f"logits that a variable kept: {BATCH} × {LENGTH} × {VOCABULARY} × 4": LOGITS_BYTES,
            f"two cuBLAS workspaces of {CUBLAS_WORKSPACE_BYTES:,}": 2 * CUBLAS_WORKSPACE_BYTES,
            f"the last x and y, {TOKENS_BYTES:,} each": 2 * TOKENS_BYTES,
            f"two losses, {ALLOCATION_BYTES} each": 2 * ALLOCATION_BYTES,
            f"optimizer states of {state:,}: {', '.join(map(str, STATES.values()))}": states * state,
        }
        total = sum(allocated.values())
        rows = {**allocated, "sum": total, "published": deltas[run], "difference": deltas[run] - total}
        frame["bytes"] = list(rows)
        frame[HEADINGS[run]] = [f"{value:,}" for value in rows.values()]
    return pd.DataFrame(frame, dtype=str)


def _explained_notes(deltas: dict[str, int]) -> list[str]:
    state = deltas["SGD_Mom_lora1"] - deltas["SGD_lora1"]
    from_shapes, wider = _state_bytes(1), 2 * (_state_bytes(10) - _state_bytes(1))
    more = deltas["AdamW_lora10"] - deltas["AdamW_lora1"]
    return [
        "What the study calls “GPU memory” is the bytes allocated after training minus before it. Most of it is one "
        "logits tensor that a Python variable kept alive; the memory that the training needed is another matter: its "
        "processes reserved 42 to 44 GB.",
        f"The size of a state is momentum minus SGD, {state:,} bytes. Independently of that, the shapes of what was "
        f"trained (adapters of rank 1, embeddings, biases, LayerNorms) make {from_shapes:,} bytes.",
        f"From rank 1 to rank 10 AdamW retains {more:,} bytes more, where two states grow by {wider:,}; the other "
        f"{more - wider:,} ({100 * (more - wider) / more:.2f} %) may lie in blocks that the allocator leaves unsplit.",
    ]


def _our_notes(arms: list[Arm]) -> list[str]:
    gaps = [arm.largest("retained_delta_bytes") - arm.largest("optimizer_state_bytes") for arm in arms]
    known = sorted({gap for gap in gaps if math.isfinite(gap)})
    if not known:
        return []
    between = " to ".join(f"{gap:,.0f}" for gap in dict.fromkeys((known[0], known[-1])))
    extra = "to the byte" if known == [0] else f"but for {between} bytes (on a GPU, cuBLAS workspaces)"
    return [
        "Rows with an arrow are differences between arms that differ in rank alone, or in the optimizer and what goes "
        f"with it. Ours keeps no logits, so its retained delta is the optimizer state alone, {extra}."
    ]


def _steps(ours: list[tuple[str, Arm]], deltas: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """A row for each of our pairs of arms that differ as a pair of published runs does."""
    for start, end in STEPS:
        fields = SET_BY_OPTIMIZER if start != "AdamW_lora1" else ("rank",)
        for arm in (arm for run, arm in ours if run == end):
            twin = _twin(arm, [arm for run, arm in ours if run == start], fields)
            if twin is not None:
                grown = [arm.largest(name) - twin.largest(name) for name in OUR_NUMBERS]
                yield _row(f"{twin.label} → {arm.label}", deltas[end] - deltas[start], grown)


def _row(name: str, published: int, numbers: list[float]) -> tuple[str, ...]:
    return (name, f"{published:,}", *(show_number(value, 0) for value in numbers))


def _finished_like(run: str, arms: list[Arm]) -> list[Arm]:
    published = load_published().set_index("run").loc[run]
    return [arm for arm in arms if arm.outcome == Outcome.FINISHED and same_kind(arm, published.to_dict())]


def _twin(arm: Arm, arms: list[Arm], fields: tuple[str, ...]) -> Arm | None:
    """The one of these arms that differs from another in these fields alone; None without exactly one.

    Of several, as a grid of learning rates makes them, it is the one with the same learning rate and weight decay.
    """
    twins = [other for other in arms if set(varying_fields([arm, other])) <= set(fields)]
    if len(twins) > 1:
        twins = [
            other for other in twins if all(other.config.get(f) == arm.config.get(f) for f in ("lr", "weight_decay"))
        ]
    return twins[0] if len(twins) == 1 else None


def _state_bytes(rank: int) -> int:
    """Bytes of one optimizer state of the published runs, from the shapes of what they trained."""
    projections = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))
    block = [rank * size for projection in projections for size in projection]
    block += [outputs for _, outputs in projections]  # biases
    block += [WIDTH] * 4  # weights and biases of two LayerNorms
    outside = [VOCABULARY * WIDTH, WIDTH * WIDTH, WIDTH, WIDTH, rank * WIDTH, rank * VOCABULARY]
    return sum(math.ceil(4 * size / ALLOCATION_BYTES) * ALLOCATION_BYTES for size in [*LAYERS * block, *outside])
