"""The variants of the step benchmark: this project's step, and the same step by other libraries.

All variants start from the same weights, see the same windows, and compute the loss of the same positions. Peers get
targets that are already shifted, so that none computes a position that is not scored. Each library is imported where it
is used, so that a worker loads only its own.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import loralib
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPT2LMHeadModel,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    TrainerCallback,
)
from transformers.pytorch_utils import Conv1D

from basis.methods import Method
from benchmarks.step_pace import Pace
from benchmarks.step_shapes import OURS, Shape
from model.batch import Batch
from model.gpt2_lora import add_adapters, gpt2_config, select_trainable
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings

RANK, ALPHA = 8, 16
LEARNING_RATE, WEIGHT_DECAY, BETAS = 1e-5, 0.01, (0.9, 0.999)  # the last two are torch's defaults
WARM_UP_SHARE = 8
CPU = torch.device("cpu")


def run_variant(method: Method, variant: str, shape: Shape, pace: Pace) -> None:
    """Build a variant and let it step at the pace of its orders. Does not return."""
    if variant == "TRL + PEFT":
        _trl_peft(shape, pace)
    elif variant == "HF Trainer":
        _hf_trainer(shape, pace)
    else:
        step = _ours(method, shape) if variant == OURS else _hf_loop(variant, shape)
        for index in itertools.count():
            windows = step_windows(shape, index)
            pace.begin()
            pace.end(float(step(windows)))


def step_windows(shape: Shape, index: int) -> Tensor:
    """The (batch, block + 1) random tokens of step `index`, the same in every process.

    Step 0 only makes the optimizer's state and warms up, so its windows are shorter.
    """
    block = shape.block if index else shape.block // WARM_UP_SHARE
    generator = torch.Generator().manual_seed(index)
    return torch.randint(shape.vocabulary, (shape.batch, block + 1), generator=generator)


def plain_model(shape: Shape, positions: int = 1024, device: torch.device = CPU) -> PreTrainedModel:
    """A model of that shape without dropout, its random weights drawn on `device`: the same on every call."""
    config = _gpt2(shape, positions) if shape.swiglu is None else _llama(shape, positions)
    torch.manual_seed(0)
    with device:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).train()
    return model


def _gpt2(shape: Shape, positions: int) -> PretrainedConfig:
    sizes = {"n_layer": shape.layers, "n_embd": shape.width, "n_head": shape.heads, "vocab_size": shape.vocabulary}
    config = gpt2_config("gpt2", {**sizes, "n_positions": positions})
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    config.bos_token_id = config.eos_token_id = 0  # inside the smallest vocabulary
    return config


def _llama(shape: Shape, positions: int) -> PretrainedConfig:
    return LlamaConfig(
        num_hidden_layers=shape.layers,
        hidden_size=shape.width,
        intermediate_size=shape.swiglu,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )


def _ours(method: Method, shape: Shape) -> Callable[[Tensor], Tensor]:
    model = plain_model(shape)
    if method == "lora":
        add_adapters(model, LoRASettings(RANK, ALPHA), torch.Generator().manual_seed(0))
    select_trainable(model, method)
    settings = OptimizerSettings("adamw", lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=BETAS)
    training = SFTSettings(steps=shape.rounds + 1, lr=LEARNING_RATE, micro_batch=shape.batch)
    run = SFTRun(model, build_optimizers(model, settings), training, CPU)
    return lambda windows: run.train_step(Batch(windows))


def _hf_loop(variant: str, shape: Shape) -> Callable[[Tensor], Tensor]:
    """A tutorial's training loop around Hugging Face's model with adapters."""
    model: Any = plain_model(shape)
    if variant == "HF + PEFT":
        model = with_peft(model)
    else:
        _put_loralib_in(model)
    return training_loop(model)


def training_loop(model: Any, fused: bool | None = None, bf16: bool = False) -> Callable[[Tensor], Tensor]:
    """A tutorial's step: forward, backward, AdamW, gradients dropped.

    Args:
        model: of Hugging Face; compiled or with adapters if need be.
        fused: torch's fused AdamW; None: what torch takes by default.
        bf16: whether the forward pass runs under autocast.

    Returns:
        The step: windows (batch, block + 1) on the model's device -> mean loss in nats per token, a scalar.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, fused=fused)

    def step(windows: Tensor) -> Tensor:
        with torch.autocast(windows.device.type, dtype=torch.bfloat16, enabled=bf16):
            loss: Tensor = model(**shifted_inputs(windows), use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def shifted_inputs(windows: Tensor) -> dict[str, Tensor]:
    """What Hugging Face's model takes of windows (batch, block + 1), so that it scores each of `block` positions."""
    inputs = windows[:, :-1].contiguous()
    return {"input_ids": inputs, "labels": inputs, "shift_labels": windows[:, 1:].contiguous()}


def with_peft(model: PreTrainedModel) -> Any:
    """The model with PEFT's adapters on every projection of its blocks, which alone train."""
    from peft import get_peft_model

    return get_peft_model(model, _peft_config(isinstance(model, GPT2LMHeadModel)))


def _peft_config(gpt2: bool = True) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        target_modules="all-linear",
        fan_in_fan_out=gpt2,
        task_type="CAUSAL_LM",
    )


def _put_loralib_in(model: PreTrainedModel) -> None:
    projections = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, Conv1D)]
    for name, layer in projections:
        fan_in, fan_out = layer.weight.shape
        lora = loralib.Linear(fan_in, fan_out, r=RANK, lora_alpha=ALPHA, fan_in_fan_out=True, merge_weights=False)
        lora.weight, lora.bias = layer.weight, layer.bias
        model.set_submodule(name, lora)
    loralib.mark_only_lora_as_trainable(model)


class Paced(Protocol):
    """What stands around whatever belongs to a step."""

    def begin(self) -> None:
        """A step begins."""

    def end(self, loss: float) -> None:
        """It has ended; `loss`: its mean in nats per token."""


class PacedTraining(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """Holds a Trainer to the pace.

    A step lasts from one `on_step_end` to the next: the batch is collated before `on_step_begin`, and the gradients
    are dropped before `on_step_end`. The first starts with the epoch.
    """

    def __init__(self, pace: Paced) -> None:
        self.pace = pace
        self.loss = torch.zeros(())

    def watch(self, trainer: Any) -> None:
        """Note the loss of every training step, which a Trainer does not pass to callbacks."""
        training_step = trainer.training_step

        def noted(*args: Any, **kwargs: Any) -> Tensor:
            self.loss = training_step(*args, **kwargs)
            return self.loss

        trainer.training_step = noted

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.pace.begin()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.pace.end(float(self.loss))
        self.pace.begin()


def trainer_arguments(shape: Shape, folder: str) -> dict[str, Any]:
    """The arguments of both Trainers: the same optimizer step as every variant's, and nothing beside it."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": shape.batch,
        "max_steps": shape.rounds + 2,  # one more than it gets to do: the pace ends the process
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _all_windows(shape: Shape) -> list[Tensor]:
    """The windows of all steps, one by one in order."""
    return [window for index in range(shape.rounds + 2) for window in step_windows(shape, index)]


def _hf_trainer(shape: Shape, pace: Pace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train_with_trainer(plain_model(shape), shape, pace, trainer_arguments(shape, folder))


def train_with_trainer(model: Any, shape: Shape, pace: Paced, arguments: Mapping[str, Any]) -> None:
    """Train with Hugging Face's Trainer at a pace, `shape.rounds` + 2 steps."""
    from transformers import Trainer, TrainingArguments

    paced = PacedTraining(pace)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=[shifted_inputs(window[None]) for window in _all_windows(shape)],
        data_collator=lambda examples: {k: torch.cat([e[k] for e in examples]) for k in examples[0]},
        callbacks=[paced],
    )
    paced.watch(trainer)
    trainer.train()


def _trl_peft(shape: Shape, pace: Pace) -> None:
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling(pad_token_id=0)

    def collate_shifted(examples: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = collate([{"input_ids": example["input_ids"][:-1]} for example in examples])
        batch["shift_labels"] = torch.tensor([example["input_ids"][1:] for example in examples])
        return batch

    paced = PacedTraining(pace)
    vocabulary = models.WordLevel({"<eos>": 0}, unk_token="<eos>")  # required, though the data are tokens already
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=plain_model(shape),
            args=SFTConfig(**trainer_arguments(shape, folder), max_length=None, packing=False),
            train_dataset=Dataset.from_dict({"input_ids": [window.tolist() for window in _all_windows(shape)]}),
            data_collator=collate_shifted,
            processing_class=PreTrainedTokenizerFast(
                tokenizer_object=Tokenizer(vocabulary), eos_token="<eos>", pad_token="<eos>"
            ),
            peft_config=_peft_config(),
            callbacks=[paced],
        )
        paced.watch(trainer)
        trainer.train()
