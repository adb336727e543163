"""Tokens know whether they are an assistant's and how many bytes of text they stand for."""

from typing import Any

import numpy as np
import pytest
import tokenizers
import transformers

from sweep.data.encode import ASSISTANT, COMPLETION, Encoded, Encoder
from sweep.data.examples import Example
from sweep.data.template import choose_template
from tests.sweep.data.chat_templates import CHATML, MARKED, QWEN3, chat_tokenizer
from tests.sweep.data.test_template import conversation

ODD = "  ☃ “naïve” 🙂\n\n \u00a0e\u0301 "


def encoded(tokenizer: Any, example: Example) -> Encoded:
    return Encoder(tokenizer, choose_template(tokenizer, None)).encode(example)


def words(tokenizer: Any, example: Example, bit: int) -> str:
    """The tokens with a role, decoded."""
    ids, roles, _ = encoded(tokenizer, example)
    return str(tokenizer.decode([id for id, role in zip(ids, roles, strict=True) if role & bit]))


@pytest.mark.parametrize("template", [None, CHATML, MARKED, QWEN3])
def test_tokens_are_those_of_the_rendered_text(template: str | None) -> None:
    tokenizer = chat_tokenizer(template)
    example = conversation("a?", ODD, "b?", "no")
    text = choose_template(tokenizer, None).render(example).text
    assert encoded(tokenizer, example).ids == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("pure_python", [False, True])
def test_roles_are_of_the_assistants_words_and_end_tokens(pure_python: bool) -> None:
    example = conversation("yes", "yes", "no", "no")
    for template, assistant, completion in (
        (None, " yes no<|endoftext|>", " no<|endoftext|>"),
        (CHATML, "yes<|im_end|>no<|im_end|>", "no<|im_end|>"),
    ):
        tokenizer = chat_tokenizer(template)
        tokenizer = WithoutBackend(tokenizer) if pure_python else tokenizer
        assert words(tokenizer, example, ASSISTANT) == assistant
        assert words(tokenizer, example, COMPLETION) == completion


@pytest.mark.parametrize("template", [None, CHATML, MARKED, QWEN3])
def test_an_assistants_turn_in_a_prompt_counts_for_nothing(template: str | None) -> None:
    tokenizer = chat_tokenizer(template)
    conversed = conversation("a?", "yes", "b?", "no")
    completed = conversed._replace(prompt_messages=3)
    assert encoded(tokenizer, completed).ids == encoded(tokenizer, conversed).ids
    assert "yes" in words(tokenizer, conversed, ASSISTANT)
    assert words(tokenizer, completed, ASSISTANT) == words(tokenizer, conversed, COMPLETION)


@pytest.mark.parametrize("pure_python", [False, True])
@pytest.mark.parametrize("template", [None, CHATML])
def test_bytes_add_up_to_the_text_without_its_special_tokens(template: str | None, pure_python: bool) -> None:
    tokenizer = chat_tokenizer(template)
    given = WithoutBackend(tokenizer) if pure_python else tokenizer
    for example in (Example("text", ODD), conversation(ODD, ODD), conversation("a?", f"yes{ODD}no", ODD, "no")):
        ids, roles, counted = encoded(given, example)
        text, spans = choose_template(tokenizer, None).render(example) if example.messages else (example.text, ())
        margins = sum(len(text[slice(*span)]) for span in spans)
        for special in tokenizer.all_special_tokens:
            margins -= sum(len(special) * text[slice(*span)].count(special) for span in spans)
        said = [m["content"] for m in example.messages if m["role"] == "assistant"]
        margins -= sum(len(words.strip()) for words in said)  # white space around what is said, a byte or two each
        for special in tokenizer.all_special_tokens:
            text = text.replace(special, "")
        assert counted.sum() == len(text.encode()) - margins
        assert not counted[np.isin(ids, tokenizer.all_special_ids)].any()
        if template and example.kind != "text":
            assert counted[(roles & ASSISTANT) > 0].sum() == sum(len(words.strip().encode()) for words in said)


def test_bytes_of_a_character_in_several_tokens_are_counted_once() -> None:
    ids, _, counted = encoded(chat_tokenizer(), Example("text", "a☃"))
    assert len(ids) == 5
    assert counted.tolist() == [1, 3, 0, 0, 0]


class WithoutBackend:
    """A fast tokenizer that hides its offsets, as one in pure Python has none."""

    backend_tokenizer = None

    def __init__(self, tokenizer: transformers.PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **options: Any) -> Any:
        return self._tokenizer(text, **options)


def test_a_text_begins_as_its_tokenizer_begins_texts_and_a_conversation_as_its_template_does() -> None:
    tokenizer = chat_tokenizer(CHATML)
    tokenizer.bos_token = "<|begin|>"
    begin = tokenizer.convert_tokens_to_ids("<|begin|>")
    text = Example("text", "yes and no")
    plain = encoded(tokenizer, text).ids
    assert begin not in plain
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", begin)]
    )
    encoder = Encoder(tokenizer, choose_template(tokenizer, None))
    ids, roles, counted = encoder.encode(text)
    assert ids == encoder.text_ids(text.text) == [begin, *plain]
    assert len(roles) == len(counted) == len(ids)
    assert counted.sum() == len("yes and no")
    assert counted[0] == 0
    assert begin not in encoder.encode(conversation("a?", "yes")).ids
