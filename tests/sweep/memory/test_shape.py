"""The shape from which a sweep's memory is predicted, before its base model is there."""

from pathlib import Path
from typing import Any

import pytest

from basis.errors import UserError
from model.model_sizes import skeleton
from sweep.demo.chat.sizes import ChatSizes
from sweep.demo.sizes import DemoSizes
from sweep.memory.shape import planned_shape
from sweep.schema.model import ModelPart
from tests.sweep.data.chat_templates import CHATML, chat_tokenizer


def test_the_chat_models_shape_is_known_before_it_is_made() -> None:
    sizes = ChatSizes()
    shape = planned_shape(ModelPart(name="demo-chat"))
    assert (shape.model_type, shape.num_key_value_heads) == ("llama", sizes.base.key_heads)
    weights = {name: tuple(weight.shape) for name, weight in skeleton(shape).named_parameters()}
    assert weights["model.embed_tokens.weight"] == (sizes.demo.vocabulary + 2, sizes.base.width)
    assert "lm_head.weight" not in weights


@pytest.mark.parametrize("name", ["llama", "glm", "gemma2"])
def test_an_architecture_has_a_row_for_each_token_of_its_tokenizer(name: str, tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(CHATML)
    tokenizer.save_pretrained(tmp_path)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    spec: dict[str, Any] = {
        "name": name,
        "init": "random",
        "tokenizer": str(tmp_path),
        "shape": {**small, "intermediate_size": 64},
    }
    shape = planned_shape(ModelPart.model_validate(spec))
    assert shape.vocab_size == len(tokenizer)
    assert (shape.eos_token_id, shape.pad_token_id) == (tokenizer.eos_token_id, None)
    assert planned_shape(ModelPart.model_validate({**spec, "tokenizer": "demo"})).vocab_size == DemoSizes().vocabulary
    given = {**spec, "shape": {**spec["shape"], "vocab_size": 200_000}}
    assert planned_shape(ModelPart.model_validate(given)).vocab_size == 200_000


@pytest.mark.parametrize("name", ["gptj", "falcon"])
def test_an_architecture_with_attention_of_its_own_is_refused_before_weights_are_drawn(name: str) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    model = ModelPart.model_validate({"name": name, "init": "random", "shape": shape, "tokenizer": "demo"})
    with pytest.raises(UserError, match=f"model.name: '{name}' is refused: it is a {name} model, wh"):
        planned_shape(model)
