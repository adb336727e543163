"""The published study's figures beside ours, and what has to be known to read the two together."""

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.arms import Arm
from analysis.columns import MISSING, show_number
from analysis.results import FAILED, FINISHED, show_field
from analysis.tables import matches

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
STATE = "optimizer_state_bytes"

REMARKS = (
    "The study's “GPU memory” is a retained delta: one logits tensor of 8 × 1024 × 50257 × 4 = 1,646,821,376 bytes "
    "that a variable kept alive, two cuBLAS workspaces and the optimizer state. Its processes reserved 42 to 44 GB.",
    "The wins counted in its own files (98, 83 and 91 of 166 for ranks 1, 10 and 100: 59, 50 and 55 %) are not the "
    "qualities it states (0.51, 0.45, 0.49). It counts ties as wins, has one seed and gives no interval.",
    "Its momentum and Nesterov rows agree in every digit although their recorded learning rates differ.",
    "Its LoRA checkpoints were evaluated for quality through a model built without adapters, which drops them.",
    "It draws new test windows at every evaluation, so its minimum is that of a noisy curve; ours are fixed.",
)


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
        rows += [_our_row(arm) for arm in arms if _same(arm, run) and arm.outcome != FAILED]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=str)


def comparability(arms: list[Arm]) -> str:
    """How long and on how much the two trained, since losses of different trainings are not comparable."""
    named = {name: sorted({show_field(arm.config.get(name)) for arm in arms}) for name in LENGTHS}
    ours = "; ".join(f"{name} {', '.join(values)}" for name, values in named.items())
    return (
        f"Published: GPT-2-medium, steps 20000; batch_size 8; block_size 1024. Ours: {ours}. Where these or the base "
        "model differ, the losses and win rates side by side are no comparison of methods."
    )


def whole_states(arms: list[Arm]) -> str:
    """How far the retained deltas of the optimizers lie apart, in the optimizer states measured.

    Args:
        arms: all arms of the sweep.

    Returns:
        One sentence on the published rows and ours; on the published rows alone where ours have no SGD arm beside
        another optimizer of LoRA rank 1.
    """
    published = load_published().set_index("run")["retained_delta_bytes"]
    one, two = (int(published[run] - published["SGD_lora1"]) for run in ("SGD_Mom_lora1", "AdamW_lora1"))
    sentence = (
        f"Published: momentum and AdamW retain {one:,} and {two:,} bytes more than SGD, which is one and two optimizer "
        "states."
    )
    ours = {
        str(arm.config["optimizer"]): arm
        for arm in arms
        if matches(arm.config, {"method": "lora", "rank": 1}) and arm.outcome == FINISHED
    }
    base = ours.pop("sgd", None)
    if base is None or not ours:
        return sentence
    parts = []
    for arm in ours.values():
        delta, state = (arm.largest(name) - base.largest(name) for name in ("retained_delta_bytes", STATE))
        parts.append(
            f"{arm.label} {show_number(delta, 0)}, its optimizer state being larger by {show_number(state, 0)}"
        )
    return f"{sentence} Ours, in bytes more than {base.label}: {'; '.join(parts)}."


def _same(arm: Arm, run: dict[Any, Any]) -> bool:
    rank = None if pd.isna(run["rank"]) else int(run["rank"])
    mine = arm.config.get("rank") if arm.config.get("method") == "lora" else None
    return (arm.config.get("method"), mine, arm.config.get("optimizer")) == (run["method"], rank, run["optimizer"])


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
        f"{wins.wins} of {wins.wins + wins.ties + wins.losses}" if wins else MISSING,
        show_number(wins.rate.estimate, 2) if wins else MISSING,
    )
