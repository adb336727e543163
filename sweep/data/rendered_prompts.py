"""Questions as the text that a model continues: in the tokenizer's chat template, or in a plain one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from basis.errors import UserError
from sweep.data.prompts import Question
from sweep.data.template import ChatTemplate
from sweep.data.tokenizer import begin_tokens
from sweep.schema.reward import STUDY_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACE = "{prompt}"


class Prompt(NamedTuple):
    """What a model is asked.

    Attributes:
        text: the question, as a report shows it and a reward model reads it.
        rendered: the text that a response continues.
        reference: the right answer; None where a reward model judges.
        turn_end: the special token that closes an answer in the chat template; "" for none. The model's own end of text
            may be another one.
    """

    text: str
    rendered: str
    reference: str | None = None
    turn_end: str = ""


def answer_template(given: str | None, data_template: str | None, tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """The plain text that questions are put into; None where the chat template of the data renders them.

    Args:
        given: `reward.template`.
        data_template: `data.template`.
        tokenizer: which may have a chat template.
    """
    return given or (None if data_template or tokenizer.chat_template else STUDY_TEMPLATE)


def render(questions: Sequence[Question], chat: ChatTemplate, template: str | None) -> tuple[Prompt, ...]:
    """The questions as prompts.

    Args:
        questions: what is asked.
        chat: the template that the data go through.
        template: a text with '{prompt}', which takes its place; None: `chat` renders, up to where an answer begins.

    Raises:
        UserError: the template fails on a question, leaves it out, or has no place for a system turn.
    """
    prompts = []
    turn_end = chat.turn_end if template is None else ""
    begin = chat.tokenizer.decode(begin_tokens(chat.tokenizer))
    for number, question in enumerate(questions, 1):
        if template is None:
            rendered = _in_chat(question, chat, number)
        elif question.system:
            raise UserError(f"reward.template: has no place for the system turn of prompt {number}; null accepts one")
        else:
            rendered = begin + template.replace(PLACE, question.text)
        prompts.append(Prompt(question.text, rendered, question.reference, turn_end))
    return tuple(prompts)


def _in_chat(question: Question, chat: ChatTemplate, number: int) -> str:
    system = [{"role": "system", "content": question.system}] if question.system else []
    turns = [*system, {"role": "user", "content": question.text}]
    try:
        rendered = chat.prompt(turns)
    except UserError as error:
        raise UserError(f"prompt {number}: {error}") from None
    if question.text.strip() not in rendered:
        raise UserError(f"prompt {number}: {chat.name} leaves out what is asked")
    return rendered
