"""Whether examples can be trained and tested on as the trials ask for it, and what their rows leave out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from basis.errors import UserError
from basis.fields import Packing
from basis.row_counts import RowCounts
from sweep.data.rows import cut_examples, settled_packing
from sweep.data.token_files import open_examples
from sweep.data.tokens import TokenSet
from sweep.trial.config import TrialConfig


def check_rows(tokens: TokenSet, trials: Sequence[TrialConfig], say: Callable[[str], None]) -> list[RowCounts]:
    """Refuse what no trial could learn from or be tested on, and tell what is cut and left out.

    Returns:
        What rows leave of each set's examples, by the trials' block sizes; nothing of sets that are read in windows.

    Raises:
        UserError: tokens of which texts do not say which count, no example with a target that counts, or fewer tokens
            than one window.
    """
    is_text = tokens.kind == "text"
    asked: dict[int, set[Packing]] = {}
    for trial in trials:
        asked.setdefault(trial.block_size, set()).add(settled_packing(trial.packing, is_text=is_text))
    for loss_on in dict.fromkeys(trial.loss_on for trial in trials):
        if is_text and loss_on not in ("auto", "all"):
            raise UserError(
                f"trial.loss_on: {loss_on!r} is not accepted on texts, which do not say who speaks; accepted: 'auto', "
                "'all', or data with messages, or with a prompt and its completion"
            )
    held_out = {} if is_text else {"test": tokens.test_path, "validation": tokens.validation_path}
    if tokens.general and tokens.general.kind != "text":
        held_out["general"] = tokens.general.path
    counts: list[RowCounts] = []
    for block_size, packings in asked.items():
        if "stream" in packings and tokens.train_tokens < block_size + 1:
            raise UserError(
                f"the train set has {tokens.train_tokens:,} tokens, but one window takes {block_size + 1:,} "
                f"(block_size {block_size:,} + 1); give more examples, or a smaller block_size"
            )
        in_rows = {"train": tokens.train_path, **held_out} if packings != {"stream"} else held_out
        counts += (_counted(side, path, block_size) for side, path in in_rows.items() if path)
    for of_side in counts:
        say(_described(of_side))
    return counts


def _counted(side: str, path: Path, block_size: int) -> RowCounts:
    """What rows of block_size leave of one side's examples.

    Raises:
        UserError: nothing that counts.
    """
    examples = open_examples(path)
    cut = cut_examples(examples, block_size)
    if not len(cut.starts):
        raise UserError(
            f"every token of the {len(examples.ends):,} {side} examples is masked: none is an assistant's within "
            f"trial.block_size {block_size:,}; the shortest example has {np.diff(examples.ends, prepend=0).min():,} "
            "tokens; give a larger block_size or shorter prompts"
        )
    return RowCounts(None, side, block_size, len(examples.ends), *cut[2:])


def _described(counts: RowCounts) -> str:
    """The counts as a sentence."""
    in_rows = counts.examples - counts.dropped_examples
    cut = f"{counts.truncated_examples:,} of them cut by {counts.truncated_tokens:,} tokens"
    kept = f"{in_rows:,} examples, {cut if counts.truncated_examples else 'none of them cut'}"
    dropped = counts.dropped_examples
    left_out = f"; {dropped:,} left out in every arm, since no row would have an assistant's token of them"
    return f"{counts.side} rows of {counts.block_size:,} tokens: {kept}{left_out if dropped else ''}"
