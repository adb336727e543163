"""A chat: what streams is what a sweep would have generated, equal models say equal things, old turns make way."""

import pytest

from basis.errors import UserError
from model.generate import SamplingSettings, generate, stream, uniform_draws
from model.gpt2_lora import load_base
from sweep.chatting.speaker import Speaker
from sweep.chatting.text_stream import pieces
from sweep.data.template import choose_template
from sweep.data.tokenizer import load_tokenizer
from sweep.inputs import SweepInputs
from sweep.reward_metric import respond
from sweep.schema.reward import STUDY_TEMPLATE, RewardPart
from tests.conftest import Parts


def speaker(parts: Parts, **sampling: object) -> Speaker:
    reward = RewardPart(model=None, template=STUDY_TEMPLATE, new_tokens=12).model_copy(update=sampling)
    return Speaker("base", load_base(str(parts.model)), choose_template(load_tokenizer(parts.model), None), reward)


def test_tokens_stream_as_a_batch_has_them(parts: Parts) -> None:
    model, prompts = load_base(str(parts.model)), [[5, 6, 7], [9, 8, 7, 6, 5, 4]]
    draws, settings = uniform_draws(3, 2, 20), SamplingSettings(20, 0.9, 50)
    batch = generate(model, prompts, draws, settings, {0})
    assert [list(stream(model, ids, row, settings, {0})) for ids, row in zip(prompts, draws, strict=True)] == batch


def test_the_first_answer_is_the_response_of_the_sweep(parts: Parts, inputs: SweepInputs) -> None:
    model, tokenizer = load_base(str(parts.model)), load_tokenizer(parts.model)
    reward = inputs.reward.model_copy(update={"new_tokens": 20})
    [response], _ = respond(model, tokenizer, inputs.prompts[:1], reward)
    said = Speaker("base", model, choose_template(tokenizer, None), reward).answer(inputs.prompts[0].text, 0)
    assert "".join(said) == response


def test_equal_models_say_equal_things_in_every_turn(parts: Parts) -> None:
    sides = [speaker(parts), speaker(parts)]
    told = []
    for number, said in enumerate(["Hello?", "What colour is the lamp?"]):
        one, other = ("".join(side.answer(said, number)) for side in sides)
        assert one == other
        told.append(one)
        for side in sides:
            side.keep(said, one)
    assert told[0] != told[1]
    assert "".join(speaker(parts, seed=1).answer("Hello?", 0)) != told[0]


def test_the_oldest_turns_make_way_and_what_never_fits_is_refused(parts: Parts) -> None:
    side = speaker(parts)  # of 64 positions
    for number in range(4):
        side.keep(f"What colour is the apple number {number}?", "The apple is red.")
    list(side.answer("And the lamp?", 4))
    assert 0 < side.dropped <= 4
    with pytest.raises(UserError, match=r"this is [\d,]+ tokens long; base takes 63 at most"):
        side.answer("Hello? " * 100, 5)


@pytest.mark.parametrize("text", ["  The lamp is blue — really, ünïcödé 🙂!  ", "Yes.\n\nHuman: And?", "\n\nHum", ""])
def test_pieces_make_up_the_text_without_what_follows_the_turn(parts: Parts, text: str) -> None:
    tokenizer = load_tokenizer(parts.model)
    ids = tokenizer.encode(text, add_special_tokens=False)
    told = list(pieces(ids, tokenizer, "\n\nHuman:"))
    assert "".join(told) == text.split("\n\nHuman:")[0].strip()
    assert all(told)
