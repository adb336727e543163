"""The published study's figures beside ours, and what has to be known to read the two together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.wording.numbers import MISSING, show_number
from analysis.wording.values import show_field
from basis.outcomes import NOT_COMPARED

PUBLISHED_FILE = Path(__file__).parent / "published.csv"

COLUMNS = (
    "run or arm",
    "from",
    "learning rate",
    "best test loss",
    "mean of last 10 test losses",
    "retained delta, bytes",
    "wins",
    "quality or win rate",
)

LENGTHS = ("steps", "batch_size", "block_size")
GPU_MEMORY = (
    "The study's “GPU memory” is a retained delta: one logits tensor of 8 × 1024 × 50257 × 4 = 1,646,821,376 bytes "
    "that a variable kept alive, two cuBLAS workspaces and the optimizer state. Its processes reserved 42 to 44 GB."
)
"""Remark for a report that does not explain that figure at length, as `gpu_memory` does."""


def load_published() -> pd.DataFrame:
    """The published figures, one row per run; see the head of published.csv for their source and columns."""
    return pd.read_csv(PUBLISHED_FILE, comment="#")


def compare_published(arms: list[Arm]) -> pd.DataFrame:
    """Set our arms below the published runs of the same method, rank and optimizer.

    Args:
        arms: all arms of the sweep.

    Returns:
        Printable strings; one row per published run, followed by one for each of our arms that match it.
    """
    rows = []
    for run in load_published().to_dict("records"):
        rows.append(_published_row(run))
        rows += [_our_row(arm) for arm in arms if same_kind(arm, run) and arm.outcome not in NOT_COMPARED]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=str)


def comparability(arms: list[Arm], spec: Mapping[str, Any]) -> str:
    """Which model the two trained, how long and on how much, since losses of different trainings do not compare.

    Args:
        arms: all arms of the sweep.
        spec: the resolved spec, whose key `model` describes the base model.

    Returns:
        Two sentences with the facts of both, and what follows from a difference.
    """
    named = {name: sorted({show_field(arm.config.get(name)) for arm in arms}) for name in LENGTHS}
    ours = "; ".join(f"{name} {', '.join(values)}" for name, values in named.items())
    return (
        f"Published: GPT-2-medium, pretrained; steps 20000; batch_size 8; block_size 1024. Ours: {_base_model(spec)}; "
        f"{ours}. Where these differ, the losses and win rates side by side are no comparison of methods."
    )


def same_kind(arm: Arm, run: Mapping[Any, Any]) -> bool:
    """Whether an arm has the method, rank and optimizer of a published run."""
    rank = None if pd.isna(run["rank"]) else int(run["rank"])
    mine = arm.config.get("rank") if arm.config.get("method") == "lora" else None
    return (arm.config.get("method"), mine, arm.config.get("optimizer")) == (run["method"], rank, run["optimizer"])


def _base_model(spec: Mapping[str, Any]) -> str:
    """Our base model as the spec describes it: its name, how its weights begin, and its shape where it is given."""
    model = spec.get("model")
    if not isinstance(model, Mapping):
        return "a base model that the spec does not name"
    shape = model.get("shape")
    given = [f"{name} {value}" for name, value in (shape.items() if isinstance(shape, Mapping) else ()) if value]
    words = [str(model.get("name") or "unnamed model"), *([f"init {model['init']}"] if model.get("init") else [])]
    return ", ".join([*words, *given])


def _published_row(run: dict[Any, Any]) -> tuple[str, ...]:
    return (
        str(run["run"]),
        "published",
        show_field(float(run["lr_recorded"])),
        show_number(run["test_loss_min"]),
        show_number(run["test_loss_last10_mean"]),
        show_number(run["retained_delta_bytes"], 0),
        f"{run['wins_in_files']:.0f} of {run['prompts']:.0f}" if run["wins_in_files"] > 0 else MISSING,
        show_number(run["quality_published"], 2),
    )


def _our_row(arm: Arm) -> tuple[str, ...]:
    wins = arm.wins
    return (
        arm.label,
        "ours",
        show_field(arm.config.get("lr")),
        show_number(arm.mean("test_loss_best").estimate),
        show_number(arm.mean("test_loss_last10_mean").estimate),
        show_number(arm.largest("retained_delta_bytes"), 0),
        f"{wins.wins} of {_asked(arm)}" if wins else MISSING,
        show_number(wins.rate.estimate, 2) if wins else MISSING,
    )


def _asked(arm: Arm) -> str:
    """How often the arm was compared with the base model: its prompts, times its seeds where they are several."""
    seeds = len(arm.values("wins"))
    counts = arm.wins
    answers = counts.wins + counts.ties + counts.losses if counts else 0
    return f"{answers}" if seeds < 2 or answers % seeds else f"{answers // seeds} prompts × {seeds} seeds"
