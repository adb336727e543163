"""Who speaks where in a dialogue's text: its opening human turn, and where an answer is due, in the formats in use.

A format is known by the marks that stand before what the human and the assistant say. HH-RLHF's "\\n\\nHuman:" and
"\\n\\nAssistant:" are read to the letter. In the others line ends, text before the first human turn (a system prompt)
and end-of-turn tokens don't matter, so that one question is the same opening in any of them.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

HH_HUMAN, HH_ANSWER = "\n\nHuman:", "\n\nAssistant:"


class _Format(NamedTuple):
    """How turns are marked.

    Attributes:
        human: what stands before a human turn.
        answer: what stands before an answer.
        reply: how an answer is begun after a human turn that nothing follows yet.
        names_speakers: whether its marks stand nowhere but before turns of a dialogue; "Question:" may begin an answer.
    """

    human: re.Pattern[str]
    answer: re.Pattern[str]
    reply: str
    names_speakers: bool = True


def _line(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?im)^[ \t]*(?:{words})[ \t]*:")


_FORMATS = (
    _Format(  # ChatML
        re.compile(r"<\|im_start\|>\s*user\b"),
        re.compile(r"<\|im_start\|>\s*assistant\b"),
        "\n<|im_start|>assistant\n",
    ),
    _Format(  # Llama 3
        re.compile(r"<\|start_header_id\|>user<\|end_header_id\|>"),
        re.compile(r"<\|start_header_id\|>assistant<\|end_header_id\|>"),
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    _Format(  # Gemma
        re.compile(r"<start_of_turn>user\b"),
        re.compile(r"<start_of_turn>model\b"),
        "\n<start_of_turn>model\n",
    ),
    _Format(  # Llama 2, Mistral
        re.compile(r"\[INST\](?:\s*<<SYS>>(?:(?!\[INST\]).)*?<</SYS>>)?", re.DOTALL),
        re.compile(r"\[/INST\]"),
        " [/INST] ",
    ),
    _Format(  # Zephyr, Phi, OpenAssistant, DeepSeek
        re.compile(r"<[|｜](?:user|prompter)[|｜]>", re.IGNORECASE),
        re.compile(r"<[|｜]assistant[|｜]>", re.IGNORECASE),
        "\n<|assistant|>\n",
    ),
    _Format(re.compile(r"<human>:"), re.compile(r"<(?:bot|assistant)>:"), "\n<bot>: "),
    _Format(  # Guanaco
        re.compile(r"(?i)###\s*(?:human|user)\b:?"),
        re.compile(r"(?i)###\s*(?:assistant|gpt|ai)\b:?"),
        "### Assistant: ",
    ),
    _Format(  # Alpaca, Dolly
        re.compile(r"(?i)###\s*(?:instruction|question|prompt)\b:?"),
        re.compile(r"(?i)###\s*(?:response|answer|output)\b:?"),
        "\n\n### Response:\n",
        names_speakers=False,
    ),
    _Format(_line("human|user"), _line("assistant|ai|bot|chatbot|gpt"), f"{HH_ANSWER} "),
    _Format(re.compile(r"\bUSER:"), re.compile(r"\bASSISTANT:"), " ASSISTANT: "),  # Vicuna, all on one line
    _Format(re.compile(r"\bHuman:"), re.compile(r"\bAssistant:"), " Assistant: "),
    _Format(
        _line("question|q|instruction|prompt"), _line("answer|a|response|output"), "\nAnswer: ", names_speakers=False
    ),
)
"""Of two that begin at the same place, the first one counts."""

_FIRST_TOKENS = re.compile(r"\s*(?:(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>|<｜begin▁of▁sentence｜>)\s*)*")
_SYSTEM = re.compile(
    r"<\|im_start\|>\s*system|<\|start_header_id\|>system|<\|system\|>|### System|Below is an instruction"
)
_ENDS_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>", "<end_of_turn>", "</s>", "<s>")


def opening_turn(dialogue: str) -> str | None:
    """What the human says first, stripped; None where no turns are recognised."""
    if dialogue.startswith(HH_HUMAN) and HH_ANSWER in dialogue:
        return dialogue.partition(HH_ANSWER)[0].strip().removeprefix("Human:").strip()
    text = _unix(dialogue)
    openings: list[tuple[int, str]] = []
    for turns in _FORMATS:
        human = turns.human.search(text)
        answer = turns.answer.search(text, human.end()) if human else None
        if human and answer:
            openings.append((human.start(), text[human.end() : answer.start()]))
    if openings:
        opening = min(openings, key=lambda at: at[0])[1]  # of equal ones the first
    else:  # a human turn that nobody has answered
        begun = _first_turn(text)
        if begun is None:
            return None
        opening = text[begun[1] :]
    opening = opening.strip()
    while ends := [end for end in _ENDS_OF_TURN if opening.endswith(end)]:
        opening = opening.removesuffix(ends[0]).rstrip()
    return opening


def begins_dialogue(text: str) -> bool:
    """Whether the text begins as a dialogue does, and not as an answer."""
    text = _unix(text)
    begun = _first_turn(text)
    return _first_mark(text, [_SYSTEM]) is not None or (begun is not None and begun[0].names_speakers)


def join(prompt: str, answer: str) -> tuple[str, bool]:
    """The dialogue that a prompt and its answer make.

    Args:
        prompt: a dialogue up to the answer, with its turns marked; or a plain question.
        answer: what the assistant says.

    Returns:
        The dialogue, and whether the prompt was a plain one: then both are framed as "\\n\\nHuman: ...\\n\\nAssistant:
        ...". Otherwise the answer follows the prompt in the prompt's own format.
    """
    if any(_ends_in(turns.answer, prompt) for turns in _FORMATS):
        seamless = prompt[-1:].isspace() or answer[:1].isspace() or not answer
        return f"{prompt}{'' if seamless else ' '}{answer}", False
    begun = _first_turn(_unix(prompt))
    if begun is not None and _is_answering(begun[0], _unix(prompt)):
        return prompt + answer, False
    marked = _first_mark(_unix(answer), [turns.answer for turns in _FORMATS if turns.names_speakers]) is not None
    if begun is None or not begun[0].names_speakers:
        if marked:
            return f"{HH_HUMAN} {prompt.strip()}\n\n{answer.lstrip()}", True
        return f"{HH_HUMAN} {prompt.strip()}{HH_ANSWER} {answer.strip()}", True
    reply = begun[0].reply
    if marked:
        reply = reply[: len(reply) - len(reply.lstrip())]
    return f"{prompt.rstrip()}{reply}{answer.lstrip()}", False


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _first_mark(text: str, marks: Iterable[re.Pattern[str]]) -> re.Match[str] | None:
    """The mark that the text begins with."""
    start = _FIRST_TOKENS.match(text)
    matches = (mark.match(text, start.end() if start else 0) for mark in marks)
    return next((match for match in matches if match), None)


def _first_turn(text: str) -> tuple[_Format, int] | None:
    """The format whose human turn the text begins with, and where its mark ends."""
    for turns in _FORMATS:
        mark = _first_mark(text, [turns.human])
        if mark:
            return turns, mark.end()
    return None


def _is_answering(format_: _Format, text: str) -> bool:
    """Whether the last turn is an answer, which has begun already."""
    marks = (format_.human, format_.answer)
    return max((match.end(), mark is format_.answer) for mark in marks for match in mark.finditer(text))[1]


def _ends_in(mark: re.Pattern[str], text: str) -> bool:
    tail = _unix(text[-100:]).rstrip()
    return any(match.end() == len(tail) for match in mark.finditer(tail))
