"""How large the preset `chat`'s base model is and how long it is pretrained. Its corpus is the demo's."""

from dataclasses import dataclass, field

from sweep.demo.sizes import BaseModelSizes, DemoSizes


@dataclass(frozen=True)
class ChatModelSizes(BaseModelSizes):
    """The demo's sizes, for the shape of a Llama.

    Attributes:
        heads, key_heads: heads of the queries, and of keys and values.
        mlp_width: width of the MLPs.
    """

    heads: int = 4
    key_heads: int = 2
    mlp_width: int = 320


@dataclass(frozen=True)
class ChatSizes:
    """All sizes of the preset `chat`.

    Attributes:
        demo: the demo's sizes and seed, which decide dialogues, prompts and words.
        base: the base model.
    """

    demo: DemoSizes = field(default_factory=DemoSizes)
    base: ChatModelSizes = field(default_factory=ChatModelSizes)
