"""Questions as the text that a model continues: in the tokenizer's chat template, or in a plain one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from basis.errors import UserError, first_line
from sweep.data.prompts import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACE = "{prompt}"


class Prompt(NamedTuple):
    """What a model is asked.

    Attributes:
        text: the question, as a report shows it and a reward model reads it.
        rendered: the text that a response continues.
        reference: the right answer; None where a reward model judges.
    """

    text: str
    rendered: str
    reference: str | None = None


def render(
    questions: Sequence[Question], tokenizer: "PreTrainedTokenizerBase", template: str | None
) -> tuple[Prompt, ...]:
    """The questions as prompts.

    Args:
        questions: what is asked.
        tokenizer: whose chat template is taken without another.
        template: a text with '{prompt}'; None: the tokenizer's chat template, with its mark of an assistant's turn.

    Raises:
        UserError: the template fails on a question, leaves it out, or has no place for a system turn.
    """
    prompts = []
    for number, question in enumerate(questions, 1):
        if template is None:
            rendered = _in_chat(question, tokenizer, number)
        elif question.system:
            raise UserError(f"reward.template: has no place for the system turn of prompt {number}; null accepts one")
        else:
            rendered = template.replace(PLACE, question.text)
        prompts.append(Prompt(question.text, rendered, question.reference))
    return tuple(prompts)


def _in_chat(question: Question, tokenizer: "PreTrainedTokenizerBase", number: int) -> str:
    system = [{"role": "system", "content": question.system}] if question.system else []
    turns = [*system, {"role": "user", "content": question.text}]
    try:
        rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is code of its author's, and raises what it likes
        raise UserError(f"the chat template fails on prompt {number}: {first_line(error)}") from None
    if question.text.strip() not in rendered:
        raise UserError(f"the chat template leaves out what is asked in prompt {number}")
    return str(rendered)
