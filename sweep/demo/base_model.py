"""The demo's base model: a small GPT-2, pretrained on the demo's dialogues."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from sweep.demo.corpus import Dialogue
from sweep.demo.sizes import BaseModelSizes
from sweep.demo.tokenizer import END_OF_TEXT, language_model_tokenizer
from sweep.demo.training import Trainer, quiet_and_seeded


def pretrain_base_model(
    dialogues: Sequence[Dialogue], tokenizer_json: str, sizes: BaseModelSizes, seed: int, folder: Path
) -> None:
    """Pretrain a GPT-2 that knows the answers but often replies badly, and save it with its tokenizer.

    The model first learns from good replies: one so small learns which answer belongs to which question from clean
    text only. Then it learns from a mixture of mostly bad replies, so that fine-tuning on good ones can improve it.

    Args:
        dialogues: what to train on.
        tokenizer_json: the tokenizer, serialised.
        sizes: shape of the model and length of the training.
        seed: decides initial weights, mixture and windows.
        folder: where the model and its tokenizer are saved.
    """
    rng = quiet_and_seeded(seed)
    tokenizer = language_model_tokenizer(tokenizer_json, sizes.positions)
    mixture = [d.chosen if rng.random() < sizes.share_of_good else d.rejected for d in dialogues]
    good_tokens = _joined_tokens(tokenizer, [d.chosen for d in dialogues])
    mixed_tokens = _joined_tokens(tokenizer, mixture)
    end = tokenizer.eos_token_id
    model = GPT2LMHeadModel(base_model_config(sizes, len(tokenizer), end)).train()
    for tokens, steps, learning_rate in (
        (good_tokens, sizes.good_steps, sizes.good_learning_rate),
        (mixed_tokens, sizes.mixed_steps, sizes.mixed_learning_rate),
    ):
        trainer = Trainer(list(model.parameters()), learning_rate, steps)
        for _ in range(steps):
            starts = torch.randint(len(tokens) - sizes.block, (sizes.batch, 1))
            windows = tokens[starts + torch.arange(sizes.block + 1)]
            logits = model(input_ids=windows[:, :-1]).logits
            trainer.step(cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()))
    model.config.activation_function = "gelu_new"  # the same function by the name in GPT-2 checkpoints, but slower
    # only now: in training an end of text is no padding
    model.config.pad_token_id = model.generation_config.pad_token_id = end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def base_model_config(sizes: BaseModelSizes, vocabulary: int, end: int) -> GPT2Config:
    """The configuration of the demo's base model; `end` is the id of `<|endoftext|>`."""
    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=sizes.positions,
        n_embd=sizes.width,
        n_layer=sizes.layers,
        n_head=sizes.heads,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=sizes.width**-0.5,  # GPT-2's 0.02 suits its own width; a narrow model would crawl
        bos_token_id=end,
        eos_token_id=end,
    )


def _joined_tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Tensor:
    """The tokens of all texts in one row, each text closed by `<|endoftext|>`."""
    rows = tokenizer([text + END_OF_TEXT for text in texts])["input_ids"]
    return torch.tensor([token for row in rows for token in row])
