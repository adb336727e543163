"""The inputs of a sweep that a trial's record.json keeps a hash of."""

from typing import NamedTuple


class InputHash(NamedTuple):
    """One input.

    Attributes:
        title: how a fairness ledger words it.
        decides_losses: whether other losses follow from another input, for which --reproduce refuses to begin.
        identity: the digest in sweep.json that covers it where no trial kept a record, for a sweep whose digest
            changes is not continued; "" if none does.
        always_asked: whether a ledger says so where no row knows it.
    """

    title: str
    decides_losses: bool
    identity: str
    always_asked: bool = True


INPUT_HASHES = {
    "train_tokens": InputHash("train set (hash of its tokens)", decides_losses=True, identity="data"),
    "base_weights": InputHash("base weights (hash)", decides_losses=True, identity="base model"),
    "tokenizer": InputHash("tokenizer (hash)", decides_losses=True, identity="base model"),
    "test_tokens": InputHash("test set (hash of its tokens)", decides_losses=True, identity="data"),
    "validation_tokens": InputHash("validation set (hash of its tokens)", True, identity="", always_asked=False),
    "general_tokens": InputHash("general text (hash of its tokens)", True, identity="general text", always_asked=False),
    "prompts": InputHash("prompts (hash)", decides_losses=False, identity="reward"),
    "reward_model": InputHash("reward model (hash)", decides_losses=False, identity="reward"),
}
"""The inputs by the name of their hash in a record."""
