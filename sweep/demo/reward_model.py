"""The demo's reward model: a small DeBERTa-v2, trained on the demo's pairs of good and bad replies.

It sees the last question and a reply, not the turns before: in the demo's dialogues those do not matter to the reply.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid
from transformers import (
    BatchEncoding,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from sweep.demo.corpus import KNOWLEDGE_FAULTS, Dialogue
from sweep.demo.sizes import RewardModelSizes
from sweep.demo.tokenizer import pair_tokenizer
from sweep.demo.training import Trainer, quiet_and_seeded


def reward_accuracy(
    model: DebertaV2ForSequenceClassification, tokenizer: PreTrainedTokenizerFast, dialogues: Sequence[Dialogue]
) -> float:
    """Share of `dialogues` whose good reply gets the higher reward."""
    with torch.no_grad():
        good, bad = model(**_encode_pairs(tokenizer, dialogues)).logits.flatten().chunk(2)
    return float((good > bad).float().mean())


def train_reward_model(
    train: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    held_out: Sequence[Dialogue],
    tokenizer_json: str,
    sizes: RewardModelSizes,
    seed: int,
    folder: Path,
) -> float:
    """Train a DeBERTa-v2 to prefer good replies, and save it with its tokenizer.

    The model first fills gaps in good replies, which teaches it which answer belongs to which question; from pairs
    alone, one so small would learn only style. Then it learns to rank pairs with the Bradley-Terry loss, until it ranks
    `sizes.enough` of `validation` correctly or has used up its steps.

    Args:
        train: dialogues to train on.
        validation: dialogues that decide when to stop.
        held_out: pairs on questions that are in neither of the others, for the accuracy that is claimed.
        tokenizer_json: the tokenizer, serialised.
        sizes: shape of the model and length of the training.
        seed: decides initial weights and order of the dialogues.
        folder: where the model and its tokenizer are saved.

    Returns:
        The share of `held_out` that the saved model ranks correctly.
    """
    rng = quiet_and_seeded(seed)
    tokenizer = pair_tokenizer(tokenizer_json, sizes.positions)
    gap_filler = DebertaV2ForMaskedLM(_reward_config(tokenizer, sizes)).train()
    trainer = Trainer(list(gap_filler.parameters()), sizes.gap_learning_rate, sizes.gap_steps)
    for batch in _batches(rng, train, [1.0] * len(train), sizes.gap_batch, sizes.gap_steps):
        trainer.step(_gap_loss(gap_filler, tokenizer, batch))

    model = DebertaV2ForSequenceClassification(gap_filler.config).train()
    model.deberta = gap_filler.deberta
    token_judge = nn.Linear(sizes.width, 1)
    parameters = [*model.parameters(), *token_judge.parameters()]
    trainer = Trainer(parameters, sizes.learning_rate, sizes.steps)
    # Style is learned within a few steps, knowledge is not: show the faults that take knowledge more often.
    weights = [sizes.hard_weight if d.fault in KNOWLEDGE_FAULTS else 1.0 for d in train]
    for step, batch in enumerate(_batches(rng, train, weights, sizes.batch, sizes.steps), start=1):
        trainer.step(_ranking_loss(model, token_judge, tokenizer, batch))
        if step % sizes.check_every == 0 and reward_accuracy(model, tokenizer, validation) >= sizes.enough:
            break
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return reward_accuracy(model, tokenizer, held_out)


def _reward_config(tokenizer: PreTrainedTokenizerFast, sizes: RewardModelSizes) -> DebertaV2Config:
    """DeBERTa-v3's architecture, small, without dropout since its training is too short to overfit."""
    return DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width,
        max_position_embeddings=sizes.positions,
        type_vocab_size=2,
        relative_attention=True,
        position_buckets=32,
        pos_att_type=["c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        initializer_range=sizes.width**-0.5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pooler_dropout=0.0,
        pooler_hidden_size=sizes.width,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )


def _batches(
    rng: random.Random, dialogues: Sequence[Dialogue], weights: Sequence[float], size: int, count: int
) -> Iterator[list[Dialogue]]:
    """Yield `count` random batches, each of dialogues of about the same length, so that little padding is computed."""
    at_once = 10
    for first in range(0, count, at_once):
        drawn = rng.choices(dialogues, weights, k=size * at_once)
        drawn.sort(key=lambda d: len(d.question) + max(len(d.good), len(d.bad)))
        batches = [drawn[i * size : (i + 1) * size] for i in range(at_once)]
        rng.shuffle(batches)
        yield from batches[: count - first]


def _encode_pairs(tokenizer: PreTrainedTokenizerFast, dialogues: Sequence[Dialogue]) -> BatchEncoding:
    """Questions with their good replies, followed by the same questions with their bad replies."""
    questions = [d.question for d in dialogues] * 2
    replies = [d.good for d in dialogues] + [d.bad for d in dialogues]
    return tokenizer(questions, replies, padding=True, return_tensors="pt")


def _gap_loss(model: DebertaV2ForMaskedLM, tokenizer: PreTrainedTokenizerFast, batch: Sequence[Dialogue]) -> Tensor:
    """Loss of restoring the tokens of good replies of which half are hidden or swapped for other tokens."""
    inputs = tokenizer([d.question for d in batch], [d.good for d in batch], padding=True, return_tensors="pt")
    ids = inputs["input_ids"]
    chosen = (torch.rand(ids.shape) < 0.5) & (inputs["token_type_ids"] == 1) & (ids != tokenizer.sep_token_id)
    original = ids[chosen]
    # Some of the chosen tokens are swapped or stay, so that the model also learns to doubt what it sees.
    swapped = original[torch.randperm(len(original))]
    dice = torch.rand(len(original))
    shown = torch.where(dice < 0.4, swapped, torch.where(dice < 0.6, original, tokenizer.mask_token_id))
    inputs["input_ids"] = ids.masked_scatter(chosen, shown)
    hidden = model.deberta(**inputs).last_hidden_state[chosen]
    return cross_entropy(model.cls(hidden), original)


def _ranking_loss(
    model: DebertaV2ForSequenceClassification,
    token_judge: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    batch: Sequence[Dialogue],
) -> Tensor:
    """Bradley-Terry loss of the pairs, plus the loss of telling to which reply the tokens that differ belong.

    The second term points the model at the words that matter; `token_judge` is dropped after training.
    """
    inputs = _encode_pairs(tokenizer, batch)
    outputs = model(**inputs, output_hidden_states=True)
    good, bad = outputs.logits.flatten().chunk(2)
    ids = inputs["input_ids"].masked_fill(inputs["token_type_ids"] == 0, tokenizer.pad_token_id)
    good_ids, bad_ids = ids.chunk(2)
    same = good_ids[:, :, None] == bad_ids[:, None, :]
    differs = ~torch.cat([same.any(2), same.any(1)])
    is_good = torch.cat([torch.ones_like(good_ids), torch.zeros_like(bad_ids)]).float()
    verdicts = token_judge(outputs.hidden_states[-1]).squeeze(2)
    return -logsigmoid(good - bad).mean() + binary_cross_entropy_with_logits(verdicts[differs], is_good[differs])
