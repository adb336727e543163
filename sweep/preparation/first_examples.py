"""The first local examples and the questions of a sweep, rendered as a sweep renders them. No weights are needed."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from basis.errors import UserError
from model.gpt2_lora import SHAPES
from sweep.data.examples import Example
from sweep.data.forms import Reading
from sweep.data.prompts import Question, first_turn, first_turns
from sweep.data.rendered_prompts import answer_template, render
from sweep.data.sources import ExampleReader
from sweep.data.template import ChatTemplate, choose_template
from sweep.data.tokenizer import load_tokenizer
from sweep.hub.fetch import fetch_tokenizer
from sweep.memory.shape import planned_shape
from sweep.preparation.first_look import local_files
from sweep.preparation.questions import check_answers, file_questions
from sweep.preparation.sources import STUDY_PROMPTS
from sweep.reward_metric import encode_prompts
from sweep.schema.data_folders import Role
from sweep.schema.hub_names import model_name
from sweep.schema.model import ModelPart
from sweep.schema.places import MADE_HERE, STUDY, TEST
from sweep.schema.sweep_spec import SweepSpec

FIRST_EXAMPLES = 20
"""Examples of a file that are rendered: enough to meet each kind of turn, and a matter of milliseconds."""


def check_first_examples(spec: SweepSpec, model: ModelPart) -> None:
    """Refuse a template that fails on the first local examples, and questions that can't be asked or held to answers.

    The tokenizers of the demo and of GPT-2 are left out: the ones are not made yet, the others have no template, and
    neither should need the hub. Of a set from which examples are excluded none is rendered: it may be one of them.

    Args:
        spec: the sweep.
        model: a base model of it.

    Raises:
        UserError: what a sweep would refuse when it has found its models.
    """
    name = model.tokenizer or model.name
    on_hub = None if name in MADE_HERE else model_name(name)
    if name in MADE_HERE or (on_hub and on_hub.name.removeprefix("openai-community/") in SHAPES):
        return
    examples = _first_examples(spec)
    has_messages = any(example.kind != "text" for of_file in examples.values() for example in of_file)
    if not has_messages and spec.reward.judged_by is None:
        return
    key = "model.tokenizer" if model.tokenizer else "model.name"
    tokenizer = load_tokenizer(fetch_tokenizer(on_hub, key).folder if on_hub else name, name)
    template = choose_template(tokenizer, spec.data.template)
    for (role, path), of_file in examples.items():
        _check_rendered(f"data.{role}: {path}", of_file, template)
    if spec.reward.judged_by is not None:
        tests = [example for (role, _), of_file in examples.items() if role == "test" for example in of_file]
        _check_prompts(spec, model, _questions(spec, tests), template, tokenizer)


def _first_examples(spec: SweepSpec) -> dict[tuple[Role, Path], list[Example]]:
    """The first examples of each local file that is trained or tested on."""
    reader = ExampleReader(Reading(spec.data.columns, spec.data.field), spec.data.skip_broken)
    general_reader = ExampleReader(Reading(), spec.data.skip_broken)
    asked = ("general",) if spec.data.exclude else ("train", "test", "general")
    return {
        (role, path): list(
            islice((general_reader if role == "general" else reader).of_file(path, role), FIRST_EXAMPLES)
        )
        for role, path in local_files(spec)
        if role in asked
    }


def _check_rendered(place: str, examples: Sequence[Example], template: ChatTemplate) -> None:
    for number, example in enumerate(examples, 1):
        if example.kind == "text":
            continue
        try:
            template.render(example)
        except UserError as error:
            raise UserError(f"{place}: {example.kind[:-1]} {number}: {error}") from None


def _questions(spec: SweepSpec, tests: Sequence[Example]) -> list[Question]:
    """The questions of a file, or of the first test examples."""
    reward = spec.reward
    if reward.prompts in MADE_HERE:
        return []
    if reward.prompts != TEST:
        return file_questions(STUDY_PROMPTS if reward.prompts == STUDY else Path(reward.prompts), reward)
    answered = reward.judge is not None
    asking = [
        example
        for example in tests
        if example.kind == "text" or ((asked := first_turn(example.messages)) and (asked.reference or not answered))
    ]
    questions = first_turns(asking, reward.max_prompts, answered) if asking else []
    try:
        check_answers(questions, reward)
    except UserError as error:
        raise UserError(f"reward.prompts: 'test': {error}") from None
    return questions


def _check_prompts(
    spec: SweepSpec,
    model: ModelPart,
    questions: Sequence[Question],
    template: ChatTemplate,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Have the questions rendered, and find room for their answers in the model."""
    plain = answer_template(spec.reward.template, spec.data.template, tokenizer)
    prompts = render(questions, template, plain)
    encode_prompts(prompts, tokenizer, spec.reward.new_tokens, planned_shape(model).max_position_embeddings)
