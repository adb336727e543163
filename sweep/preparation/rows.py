"""Whether examples can be trained and tested on as the trials ask for it, and what their rows leave out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from basis.errors import UserError
from basis.fields import Packing
from sweep.data.rows import cut_examples, settled_packing
from sweep.data.token_files import open_examples
from sweep.data.tokens import TokenSet
from sweep.trial.config import TrialConfig


def check_rows(tokens: TokenSet, trials: Sequence[TrialConfig], say: Callable[[str], None]) -> None:
    """Refuse what no trial could learn from or be tested on, and tell what is cut and left out.

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
    for block_size, packings in asked.items():
        if "stream" in packings and tokens.train_tokens < block_size + 1:
            raise UserError(
                f"the train set has {tokens.train_tokens:,} tokens, but one window takes {block_size + 1:,} "
                f"(block_size {block_size:,} + 1); give more examples, or a smaller block_size"
            )
        if packings != {"stream"}:
            say(_described("train", tokens.train_path, block_size))
        for side, path in held_out.items():
            if path:
                say(_described(side, path, block_size))


def _described(side: str, path: Path, block_size: int) -> str:
    """What rows of block_size leave of one side's examples, as a sentence."""
    examples = open_examples(path)
    cut = cut_examples(examples, block_size)
    if not len(cut.starts):
        raise UserError(
            f"every token of the {len(examples.ends):,} {side} examples is masked: none is an assistant's within "
            f"trial.block_size {block_size:,}; the shortest example has {np.diff(examples.ends, prepend=0).min():,} "
            "tokens; give a larger block_size or shorter prompts"
        )
    kept = f"{len(cut.starts):,} examples, {cut.truncated_examples:,} of them cut by {cut.truncated_tokens:,} tokens"
    left_out = f"; {cut.dropped_examples:,} left out in every arm, since no row would have an assistant's token of them"
    return f"{side} rows of {block_size:,} tokens: {kept}{left_out if cut.dropped_examples else ''}"
