"""The demo's vocabulary with the two marks of ChatML, and its template."""

from transformers import PreTrainedTokenizerFast

from sweep.demo.chat.messages import CHATML, END, START
from sweep.demo.tokenizer import language_model_tokenizer

MARKS = (START, END)
"""The tokens that ChatML adds to the demo's vocabulary."""


def chat_tokenizer(tokenizer_json: str, positions: int) -> PreTrainedTokenizerFast:
    """The demo's tokenizer as a chat model uses it: `<|im_end|>` ends a turn, `<|endoftext|>` is padding."""
    tokenizer = language_model_tokenizer(tokenizer_json, positions)
    tokenizer.add_special_tokens({"bos_token": START, "eos_token": END})
    tokenizer.chat_template = CHATML
    return tokenizer
