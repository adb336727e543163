"""Openings in the formats in use, and what a prompt and its answer make."""

import pytest

from sweep.data.examples import Example
from sweep.data.examples import opening as not_on_two_sides
from sweep.data.openings import begins_dialogue, join, opening_turn

END = "<|endoftext|>"


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("\n\nHuman: Why? \n\nAssistant: So.", "Why?"),
        ("\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant: four", "one"),
        ("\n\nHuman: say\nAssistant: x\n\nAssistant: x", "say\nAssistant: x"),  # HH-RLHF is read to the letter
        ("\n\nHuman: no answer", "no answer"),
        ("\r\n\r\nHuman: Why?\r\n\r\nAssistant: So.", "Why?"),
        ("Human: Why?\nAssistant: So.\nHuman: And?\nAssistant: No.", "Why?"),
        ("\n\nHuman: Why?\nAssistant: So.", "Why?"),
        ("Human: Why? Assistant: So.", "Why?"),
        ("User: Why?\n\nAI: So.", "Why?"),
        ("You are kind.\n\nUser: Why?\nAssistant: So.", "Why?"),
        ("A chat with an assistant. USER: Why? ASSISTANT: So.</s>", "Why?"),
        ("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n", "Why?"),
        (
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.",
            "Why?",
        ),
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nSo.<|eot_id|>",
            "Why?",
        ),
        ("<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWhy? [/INST] So. </s><s>[INST] And? [/INST] No. </s>", "Why?"),
        ("<|system|>\nBe kind.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\nSo.</s>", "Why?"),
        ("<|prompter|>Why?<|endoftext|><|assistant|>So.<|endoftext|>", "Why?"),
        ("<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\nSo.", "Why?"),
        ("### Human: Why?### Assistant: So.### Human: And?### Assistant: No.", "Why?"),
        ("<human>: Why?\n<bot>: So.", "Why?"),
        (
            "Below is an instruction that describes a task.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n"
            "### Response:\n3",
            "Add.\n\n### Input:\n1 and 2",
        ),
        ("### Instruction:\nWhy?\n\n### Response:\nSo.", "Why?"),
        ("Question: Why?\nAnswer: So.", "Why?"),
        ("Q: Why?\nA: So.", "Why?"),
        ("plain text about an Assistant and a Human", None),
        ("First line.\n\nSecond line.", None),
    ],
)
def test_the_opening_turn_is_recognised_or_said_to_be_unknown(text: str, opening: str | None) -> None:
    assert opening_turn(text) == opening
    assert not_on_two_sides(Example("text", text)) == (text.strip() if opening is None else opening)


RM_STATIC = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: What is 2 + 2?\n\nAssistant:"


@pytest.mark.parametrize(
    ("prompt", "answer", "dialogue"),
    [
        (RM_STATIC, " It is 4.", RM_STATIC + " It is 4."),  # to the letter, so that HH-RLHF's dialogue is subtracted
        (RM_STATIC, "It is 4.", RM_STATIC + " It is 4."),
        ("\n\nHuman: Hi\n\nAssistant: He", "llo.", "\n\nHuman: Hi\n\nAssistant: Hello."),
        ("\n\nHuman: Hi", "Hello.", "\n\nHuman: Hi\n\nAssistant: Hello."),
        ("\n\nHuman: Hi", "\n\nAssistant: Hello.", "\n\nHuman: Hi\n\nAssistant: Hello."),
        ("\n\nHuman: Hi", "Assistant: Hello.", "\n\nHuman: Hi\n\nAssistant: Hello."),
        (
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
            "Hello.",
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.",
        ),
        (
            "<|im_start|>user\nHi<|im_end|>",
            "Hello.<|im_end|>",
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>",
        ),
        ("[INST] Hi [/INST]", "Hello.", "[INST] Hi [/INST] Hello."),
        ("### Instruction:\nHi\n\n### Response:\n", "Hello.", "### Instruction:\nHi\n\n### Response:\nHello."),
        ("Question: Hi?\nAnswer:", " Hello.", "Question: Hi?\nAnswer: Hello."),
    ],
)
def test_an_answer_follows_its_prompt_in_the_prompts_own_format(prompt: str, answer: str, dialogue: str) -> None:
    assert join(prompt, answer) == (dialogue, False)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What is 2 + 2?", "It is 4."),
        (" What is 2 + 2?\n", " It is 4."),
        ("What is 2 + 2?", "Assistant: It is 4."),
        ("What is 2 + 2?", "\n\nAssistant: It is 4."),
    ],
)
def test_a_plain_question_and_its_answer_are_framed_as_a_dialogue(prompt: str, answer: str) -> None:
    assert join(prompt, answer) == ("\n\nHuman: What is 2 + 2?\n\nAssistant: It is 4.", True)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("\n\nHuman: Hi\n\nAssistant: Hello.", True),
        ("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>", True),
        ("<s>[INST] Hi [/INST] Hello.", True),
        ("User: Hi", True),
        (" It is 4.\n\nHuman: Why?\n\nAssistant: So.", False),  # an answer that went on by itself
        ("Question: what is round?\nAnswer: a ball", False),  # an answer to "Write a riddle."
        ("It is 4.", False),
    ],
)
def test_a_dialogue_is_told_from_an_answer_by_its_beginning(text: str, begins: bool) -> None:
    assert begins_dialogue(text) is begins
