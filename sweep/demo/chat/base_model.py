"""The base model of the preset `chat`: a small Llama, pretrained on the demo's dialogues in ChatML."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sweep.demo.chat.messages import Message, messages_of
from sweep.demo.chat.sizes import ChatModelSizes
from sweep.demo.chat.tokenizer import chat_tokenizer
from sweep.demo.corpus import Dialogue
from sweep.demo.training import Trainer, quiet_and_seeded


def pretrain_chat_model(
    dialogues: Sequence[Dialogue], tokenizer_json: str, sizes: ChatModelSizes, seed: int, folder: Path
) -> None:
    """Pretrain a Llama as the demo's GPT-2 is, and save it with its tokenizer.

    First it learns from good replies, then from a mixture of mostly bad ones; see `pretrain_base_model`.

    Args:
        dialogues: what to train on.
        tokenizer_json: the demo's tokenizer, serialised.
        sizes: shape of the model and length of the training.
        seed: decides initial weights, mixture and windows.
        folder: where the model and its tokenizer are saved.
    """
    rng = quiet_and_seeded(seed)
    tokenizer = chat_tokenizer(tokenizer_json, sizes.positions)
    good = [messages_of(d, d.good) for d in dialogues]
    mixture = [messages_of(d, d.good if rng.random() < sizes.share_of_good else d.bad) for d in dialogues]
    good_tokens, mixed_tokens = _joined_tokens(tokenizer, good), _joined_tokens(tokenizer, mixture)
    ends = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    model = LlamaForCausalLM(chat_model_config(sizes, len(tokenizer), **ends)).train()
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
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def chat_model_config(sizes: ChatModelSizes, vocabulary: int, bos: int, eos: int, pad: int) -> LlamaConfig:
    """The configuration of the base model; `bos`, `eos` and `pad` are ids of tokens."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.mlp_width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_heads,
        max_position_embeddings=sizes.positions,
        tie_word_embeddings=True,
        initializer_range=sizes.width**-0.5,  # as in the demo's GPT-2
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
    )


def _joined_tokens(tokenizer: PreTrainedTokenizerFast, conversations: Sequence[list[Message]]) -> Tensor:
    """The tokens of all conversations in one row."""
    texts = tokenizer.apply_chat_template(list(conversations), tokenize=False)
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return torch.tensor([token for row in rows for token in row])
