"""Makes inputs for the study's presets that stand for those of the hub, at the real shapes or at tiny ones."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

from benchmarks.made_up import dialogues, write_dialogues, write_tokenizer
from sweep.data.prompts import read_questions
from sweep.preparation.sources import STUDY_PROMPTS
from sweep.schema.sweep_spec import SweepSpec
from sweep.spec_file.load import load_spec

REWARD_MODEL = {
    "vocab_size": 128_100,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 512,
}
"""Of OpenAssistant/reward-model-deberta-v3-large-v2."""


@dataclass(frozen=True)
class Size:
    """What runs, as settings of the preset (as by --set): its shape, and how much of the study.

    Attributes:
        shape: replaces the study's model and windows.
        part: replaces the study's steps, windows and prompts; without it the study is whole.
        reward_model: the reward model's shape.
        vocabulary: of the made-up tokenizer.
        dialogues: what that is trained on, beside the study's prompts.
        limit_seconds: after which a case is given up.
    """

    shape: Mapping[str, object]
    part: Mapping[str, object]
    reward_model: Mapping[str, int]
    vocabulary: int
    dialogues: int
    limit_seconds: int


# Two steps for the peak and one for its parts, see `model.peak_meter`; what measuring adds to steps of minutes is no
# part of a second, so that all three are timed.
STEPS = {"trial.steps": 3, "trial.test_every": 3}
REAL = Size(
    shape={},
    part={**STEPS, "trial.test_windows": 4, "reward.max_prompts": 16},
    reward_model=REWARD_MODEL,
    vocabulary=50_257,
    dialogues=3000,
    limit_seconds=5400,
)
TINY = Size(
    shape={
        "model.name": "gpt2",
        "model.shape": {"n_layer": 6, "n_embd": 64, "n_head": 2, "vocab_size": 1000},
        "trial.block_size": 64,
    },
    part={
        **STEPS,
        "trial.test_windows": 2,
        "reward.max_prompts": 4,
        "reward.new_tokens": 8,
        "resources.cpu": 1,  # a second thread costs so small a model more than it gives
    },
    reward_model={
        **REWARD_MODEL,
        "vocab_size": 1000,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    },
    vocabulary=1000,
    dialogues=100,
    limit_seconds=300,
)


@dataclass(frozen=True)
class Files:
    """The paths of the inputs that stand for those of the hub."""

    folder: Path

    @property
    def train(self) -> Path:
        """Dialogues, of which some are held out for testing."""
        return self.folder / "dialogues.jsonl"

    @property
    def tokenizer(self) -> Path:
        """A byte-level BPE."""
        return self.folder / "tokenizer"

    @property
    def reward_model(self) -> Path:
        """A DeBERTa with the same tokenizer."""
        return self.folder / "reward"

    @property
    def cache(self) -> Path:
        """The cache for tokens and random base weights."""
        return self.folder / "cache"

    def experiment(self, variant: str | None) -> Path:
        """The experiment directory of a variant of the study."""
        return self.folder / (variant or "study")


def quiet() -> None:
    """Keep transformers' progress bars and warnings out of the output, as a sweep does."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def write_files(folder: Path, size: Size) -> Files:
    """Write all inputs except the base weights, which `init: random` draws."""
    quiet()
    files = Files(folder)
    texts = dialogues(size.dialogues)
    write_dialogues(files.train, texts)
    # The prompts are real English; three times over, a word of theirs is as few tokens as under GPT-2's own BPE.
    prompts = [question.text for question in read_questions(STUDY_PROMPTS)]
    write_tokenizer(files.tokenizer, [*texts, *3 * prompts], size.vocabulary)
    shutil.copytree(files.tokenizer, files.reward_model)
    write_reward_model(files.reward_model, size)
    return files


def write_reward_model(folder: Path, size: Size) -> None:
    """Write a reward model with random weights."""
    torch.manual_seed(0)
    DebertaV2ForSequenceClassification(reward_config(size)).save_pretrained(folder)


def reward_config(size: Size) -> DebertaV2Config:
    """A DeBERTa-v3 of the size's shape with a head of one logit."""
    return DebertaV2Config(
        **size.reward_model,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        pooler_hidden_size=size.reward_model["hidden_size"],
        layer_norm_eps=1e-7,
        num_labels=1,
    )


def short_spec(files: Files, size: Size, variant: str | None, precision: str = "fp32") -> SweepSpec:
    """The spec of the study or a variant on the made-up inputs, shortened to `size`, with all cores for each trial."""
    inputs = {
        "model.tokenizer": str(files.tokenizer),
        "data.train": str(files.train),
        "data.test": [],
        "data.exclude": [],
        "reward.model": str(files.reward_model),
        "resources.cpu": len(os.sched_getaffinity(0)),
        "resources.gpu": 0,
    }
    return whole_spec(size, variant, precision, {**inputs, **size.part})


def whole_spec(
    size: Size, variant: str | None, precision: str = "fp32", settings: Mapping[str, object] | None = None
) -> SweepSpec:
    """The spec of the study or a variant in its full length, at the shape of `size` and with random weights."""
    chosen = {} if variant is None else {"variant": variant}
    every = {**chosen, "model.init": "random", "trial.precision": precision, **size.shape, **(settings or {})}
    return load_spec("study", [f"{key}={json.dumps(value)}" for key, value in every.items()])
