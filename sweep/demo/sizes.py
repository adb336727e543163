"""How large the demo's corpus and models are and how long they are trained: everything that decides their content."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BaseModelSizes:
    """How large the base model is and how long it is pretrained.

    Attributes:
        layers, width, heads, positions: shape of the GPT-2.
        good_steps, mixed_steps: optimizer steps on good replies alone, then on the mixture.
        batch, block: windows per step, tokens per window.
        good_learning_rate, mixed_learning_rate: peaks of the one-cycle schedules of these two stages.
        share_of_good: share of the mixture's dialogues that end in the good reply; the others end in the bad one.
    """

    layers: int = 2
    width: int = 128
    heads: int = 2
    positions: int = 256
    good_steps: int = 650
    mixed_steps: int = 250
    batch: int = 4
    block: int = 128
    good_learning_rate: float = 8e-3
    mixed_learning_rate: float = 4e-3
    share_of_good: float = 0.1


@dataclass(frozen=True)
class RewardModelSizes:
    """How large the reward model is and how long it is trained.

    Attributes:
        layers, width, heads, positions: shape of the DeBERTa-v2.
        gap_steps, gap_batch, gap_learning_rate: first stage, filling gaps in good replies.
        steps, batch, learning_rate: second stage, ranking pairs; `steps` is the most it takes.
        hard_weight: how many times as often the second stage shows a fault that takes knowledge to see.
        check_every: steps between two looks at the validation pairs.
        enough: share of validation pairs ranked correctly at which training ends early.
        required: share of pairs on unseen questions below which the reward model is of no use.
    """

    layers: int = 2
    width: int = 64
    heads: int = 2
    positions: int = 128
    gap_steps: int = 1200
    gap_batch: int = 16
    gap_learning_rate: float = 5e-3
    steps: int = 500
    batch: int = 16
    learning_rate: float = 2e-3
    hard_weight: float = 7.0
    check_every: int = 50
    enough: float = 0.96
    required: float = 0.85


@dataclass(frozen=True)
class DemoSizes:
    """All sizes of the demo, with the seed that everything is drawn from.

    Attributes:
        seed: decides corpus, initial weights and order of training.
        train, test, prompts: number of train dialogues, test dialogues and evaluation questions.
        vocabulary: most tokens of the BPE.
        base, reward: the two models.
    """

    seed: int = 0
    train: int = 8000
    test: int = 400
    prompts: int = 112
    vocabulary: int = 1024
    base: BaseModelSizes = field(default_factory=BaseModelSizes)
    reward: RewardModelSizes = field(default_factory=RewardModelSizes)
