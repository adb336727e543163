"""The demo's vocabulary, and the two ways in which its models read text.

`<|endoftext|>` closes a dialogue and also serves as padding, as GPT-2 has it.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sweep.demo.corpus import Dialogue

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(dialogues: Sequence[Dialogue], vocabulary: int) -> str:
    """Train a byte-level BPE of at most `vocabulary` tokens, `<|endoftext|>` among them, and return it as JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for d in dialogues for text in (d.chosen, d.rejected)), trainer)
    return tokenizer.to_str()


def language_model_tokenizer(tokenizer_json: str, positions: int) -> PreTrainedTokenizerFast:
    """The tokenizer as a causal language model uses it: `<|endoftext|>` in every special role."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json),
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=positions,
    )


def pair_tokenizer(tokenizer_json: str, positions: int) -> PreTrainedTokenizerFast:
    """The same vocabulary for a reward model: (prompt, response) becomes "[CLS] prompt [SEP] response [SEP]"."""
    pair = Tokenizer.from_str(tokenizer_json)
    pair.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    # A response may come with or without the space that follows "Assistant:"; both must score the same.
    pair.normalizer = normalizers.Strip()
    pair.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    pair.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, pair.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=pair,
        unk_token=END_OF_TEXT,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=positions,
    )
