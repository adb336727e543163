"""The shape from which a sweep's memory is predicted, before its base model is there."""

import pytest

from basis.errors import UserError
from model.model_sizes import skeleton
from sweep.demo.chat.sizes import ChatSizes
from sweep.memory.shape import planned_shape
from sweep.schema.model import ModelPart


def test_the_chat_models_shape_is_known_before_it_is_made() -> None:
    sizes = ChatSizes()
    shape = planned_shape(ModelPart(name="demo-chat"))
    assert (shape.model_type, shape.num_key_value_heads) == ("llama", sizes.base.key_heads)
    weights = {name: tuple(weight.shape) for name, weight in skeleton(shape).named_parameters()}
    assert weights["model.embed_tokens.weight"] == (sizes.demo.vocabulary + 2, sizes.base.width)
    assert "lm_head.weight" not in weights


@pytest.mark.parametrize("name", ["gptj", "falcon"])
def test_an_architecture_with_attention_of_its_own_is_refused_before_weights_are_drawn(name: str) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    model = ModelPart.model_validate({"name": name, "init": "random", "shape": shape, "tokenizer": "demo"})
    with pytest.raises(UserError, match=f"model.name: '{name}' is refused: it is a {name} model, wh"):
        planned_shape(model)
