"""Why the fairness ledger flags a table: each in a few words, so that others need not read its sentences."""

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """What is wrong or weak in how the numbers of a table came about; the value is what a reader sees."""

    OTHER_MODEL_JUDGED = "judged another than trained model"
    CHOSEN_ON_TEST = "chosen on the test windows"
    ADDED_AFTER_A_LOOK = "arms added after a look"
    SEEDS_AFTER_A_LOOK = "seeds added after a look"
    LEAK = "test dialogues in train"
    RECORDS_LEFT_OUT = "broken records left out"
    EXAMPLES_CUT = "examples cut"
    VALIDATION_LEAK = "validation dialogues in test"
    GENERAL_LEAK = "general text in train"
    OPENINGS_UNKNOWN = "openings not recognised"
    SHARED_RATE = "full and LoRA share rate"
    RANK_AND_SCALING = "scaling changes with rank"
    MORE_THAN_ADAPTERS = "more trains than adapters"
    ROWS_ALIKE = "arms alike in every digit"
    OTHER_INPUTS = "sweeps of other inputs"
    OTHER_CODE = "sweeps of other code"
    OTHER_HARDWARE = "sweeps of other hardware"
    PUT_TOGETHER = "sweeps put together"
    UNLIKE_REPLICATES = "replicates differ beyond seed"
    UNEQUAL_STEPS = "arms stopped early"
    STOPPED_BY_REQUEST = "trials stopped by request"
    FEWER_TEST_ROWS = "fewer test windows than asked"
    SKIPPED_STEPS = "steps skipped in fp16"
    EDGE_OF_RANGE = "best rate at range's end"
    MISCOUNTED_WINS = "wins miscounted"
    FEW_OBSERVATIONS = "one seed"
    WINDOWS_ANEW = "test windows drawn anew"
    DELTA_FOR_PEAK = "memory without a peak"
    UNEQUAL_TUNING = "tuned unequally"


HARMLESS_TO_LOSSES = (
    Reason.RECORDS_LEFT_OUT,
    Reason.EXAMPLES_CUT,
    Reason.GENERAL_LEAK,
    Reason.DELTA_FOR_PEAK,
    Reason.OTHER_HARDWARE,
)
"""What is flagged and yet leaves comparisons by test loss as good as they were."""


class Flag(NamedTuple):
    """What the ledger flags: why in a few words, and the whole of it in a sentence or two."""

    reason: Reason
    sentence: str
