"""Messages become text, and the assistant's turns are told apart in it, whatever shape the template has."""

import pytest

from basis.errors import UserError
from sweep.data.examples import Example
from sweep.data.template import choose_template
from tests.sweep.data.chat_templates import CHATML, GEMMA, LLAMA, MARKED, MISTRAL, QWEN3, ZEPHYR, chat_tokenizer


def conversation(*turns: str, system: str = "") -> Example:
    """User and assistant by turns."""
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
    return Example("conversations", messages=(*([{"role": "system", "content": system}] * bool(system)), *messages))


def turns_of(template: str | None, example: Example, end: str = "<|endoftext|>") -> list[str]:
    rendered = choose_template(chat_tokenizer(template, end), None).render(example)
    return [rendered.text[start:stop] for start, stop in rendered.spans]


@pytest.mark.parametrize(
    ("template", "end", "expected"),
    [
        (CHATML, "<|im_end|>", ["yes<|im_end|>", "no<|im_end|>"]),
        (CHATML, "<|endoftext|>", ["yes<|im_end|>", "no<|im_end|>"]),
        (LLAMA, "<|eot|>", ["yes<|eot|>", "no<|eot|>"]),
        (LLAMA, "<|endoftext|>", ["yes<|eot|>", "no<|eot|>"]),
        (GEMMA, "<|endoftext|>", ["yes<|im_end|>", "no<|im_end|>"]),
        (QWEN3, "<|im_end|>", ["yes<|im_end|>", "<think>\n\n</think>\n\nno<|im_end|>"]),
        (MISTRAL, "<|endoftext|>", ["yes<|endoftext|>", "no<|endoftext|>"]),
        (ZEPHYR, "<|endoftext|>", ["yes<|endoftext|>", "no<|endoftext|>"]),
        (MARKED, "<|im_end|>", ["yes<|im_end|>", "no<|im_end|>"]),
        (None, "<|endoftext|>", [" yes", " no<|endoftext|>"]),
    ],
)
def test_assistant_turns_are_found_with_their_end_token(template: str | None, end: str, expected: list[str]) -> None:
    assert turns_of(template, conversation("yes", "yes", "no", "no"), end) == expected


def test_a_thought_that_the_template_drops_does_not_hide_its_turn() -> None:
    example = conversation("a?", "<think>hm</think>\n\nyes", "b?", "<think>hm</think>\n\nno")
    assert turns_of(QWEN3, example) == ["yes<|im_end|>", "<think>\nhm\n</think>\n\nno<|im_end|>"]


def test_the_text_ends_with_one_end_of_text_token() -> None:
    example = conversation("a?", "yes")
    for template, end in (
        (CHATML, "<|im_end|>"),
        (CHATML, "<|endoftext|>"),
        (MISTRAL, "<|endoftext|>"),
        (None, "<|eot|>"),
    ):
        text = choose_template(chat_tokenizer(template, end), None).render(example).text
        assert text.rstrip().endswith(end)
        assert text.count(end) == (2 if end == "<|im_end|>" else 1)  # ChatML ends both turns with it


def test_a_tokenizer_without_a_template_gets_the_one_of_hh_rlhf() -> None:
    template = choose_template(chat_tokenizer(), None)
    example = conversation("a?", "yes", system="Be kind.")
    assert template.name == "the template 'turns'"
    assert template.render(example).text == "Be kind.\n\nHuman: a?\n\nAssistant: yes<|endoftext|>"
    assert template.prompt(example.messages[:2]) == "Be kind.\n\nHuman: a?\n\nAssistant:"


def test_a_given_template_goes_before_the_tokenizers_own() -> None:
    example = conversation("a?", "yes")
    assert choose_template(chat_tokenizer(CHATML), ZEPHYR).render(example).text == (
        "<|user|>\na?<|endoftext|>\n<|assistant|>\nyes<|endoftext|>\n"
    )
    assert choose_template(chat_tokenizer(CHATML), "turns").render(example).text.startswith("\n\nHuman: a?")


@pytest.mark.parametrize(
    ("template", "example", "error"),
    [
        (GEMMA, conversation("a?", "yes", system="Be kind."), "the tokenizer's chat template fails on it: System role"),
        ("{% for m in messages %}{{ m.words.first }}{% endfor %}", conversation("a?", "yes"), "template fails on it"),
        ("{% if %}", conversation("a?", "yes"), "the tokenizer's chat template fails on it"),
        (CHATML, conversation("a?"), "no assistant turn, so nothing to learn; its roles are user"),
        ("{{ messages[0].content }}", conversation("a?", "yes"), "does not show where its message 2, an assistant's"),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_one_line(template: str, example: Example, error: str) -> None:
    with pytest.raises(UserError, match=error) as refusal:
        turns_of(template, example)
    assert "\n" not in str(refusal.value)


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}
WITH_TOOLS = (
    "{% for tool in tools %}{{ tool.function.name }} {% endfor %}{% for message in messages %}<|im_start|>"
    "{{ message.role }}\n{% for call in message.tool_calls %}<call>{{ call.function.name }}</call>{% endfor %}"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
)


def called(content: str | None) -> Example:
    """A question, the call of a tool, what it says and the answer."""
    call = {"role": "assistant", "content": content, "tool_calls": [TOOL]}
    messages = ({"role": "user", "content": "Rain?"}, call, {"role": "tool", "content": "no"})
    return Example("conversations", messages=(*messages, {"role": "assistant", "content": "No."}), tools=(TOOL,))


@pytest.mark.parametrize("content", ["", None])
def test_a_call_of_a_tool_is_learnt_where_the_template_has_it_and_refused_where_it_would_be_silence(
    content: str | None,
) -> None:
    text, spans = choose_template(chat_tokenizer(WITH_TOOLS, "<|im_end|>"), None).render(called(content))
    assert "<call>weather</call><|im_end|>" in text[slice(*spans[0])]
    with pytest.raises(UserError, match=r"leaves out the tool 'weather'; data\.template gives one with tools"):
        turns_of(CHATML, called(content))
    with pytest.raises(UserError, match="leaves out the call of the tool 'weather'"):
        turns_of(CHATML, called(content)._replace(tools=()))


def test_a_turn_does_not_begin_in_its_own_heading() -> None:
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    assert turns_of(plain, conversation("a?", "a")) == ["a <|endoftext|>"]


@pytest.mark.parametrize(
    ("template", "end", "closes"),
    [
        (CHATML, "<|endoftext|>", "<|im_end|>"),
        (LLAMA, "<|endoftext|>", "<|eot|>"),
        (MISTRAL, "<|endoftext|>", "<|endoftext|>"),
        (None, "<|endoftext|>", "<|endoftext|>"),
        ("{{ raise_exception('no') }}", "<|endoftext|>", ""),
    ],
)
def test_the_token_that_closes_an_answer_is_told(template: str | None, end: str, closes: str) -> None:
    assert choose_template(chat_tokenizer(template, end), None).turn_end == closes


@pytest.mark.parametrize("heading", ["{{ strftime_now('%d %b %Y') }}", "{{ strftime_now(format='%d %B %Y')[:6] }}"])
@pytest.mark.parametrize("turns", [CHATML, MARKED])
def test_a_template_that_prints_the_date_prints_the_same_one_every_day(heading: str, turns: str) -> None:
    template = choose_template(chat_tokenizer(heading + turns), None)
    example = conversation("a?", "yes")
    assert template.render(example).text.startswith("26 Jul")
    assert template.prompt(example.messages[:1]).startswith("26 Jul")
