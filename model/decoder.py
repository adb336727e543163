"""The forward pass of any dense decoder of transformers but GPT-2, through its own modules, without masks and logits.

transformers makes a mask tensor, and repeats keys and values of grouped queries, wherever PyTorch's fused attention
could do without. Here the model's attention is a function of ours, registered by transformers' public
`AttentionInterface` (transformers 5.23.0, `modeling_utils.py`): causal by flag, and with a band of a mask only where a
sliding window is shorter than the row. The head is left to the caller. `tests/model/test_decoder.py` holds the result
to transformers' own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AttentionInterface, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from model.architectures import ACCEPTED, ArchitectureError, architecture_name, blocks_of, shallow
from model.decoder_layers import place_layers
from model.dropout import by_window
from model.head import logits_of
from model.weights import quiet_transformers

CAUSAL = "sft_sweep_causal"
"""What transformers calls our attention."""

COUNTED = "sft_sweep_counted"
"""The same, with its calls counted by `refuse_other_attention`."""

CHECKED_TOKENS = 24
MOST_DIFFERENCE = 1e-3
"""Of logits computed here from transformers' own, relative to the largest; rounding makes a thousandth of it."""


def attend(
    module: nn.Module,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attention_mask: Tensor | None,
    dropout: float | nn.Module = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention as transformers' `AttentionInterface` calls it.

    Args:
        module: the attention, for nothing but its dropout.
        q: queries, (B, H, T, D).
        k, v: keys and values, (B, G, L, D), of which each serves H / G heads; the last T of L are the queries' own.
        attention_mask: (B, 1, T, L), true where a query may look; None: at all up to itself.
        dropout: 0, or the layer that `place_dropout` has put there.
        scaling: what scores are multiplied by; None: 1 / sqrt(D).
        sliding_window: how many positions a query sees, itself included; None: all.
        softcap: the bound c of scores c tanh(s / c), as Gemma 2 has it.

    Returns:
        The mixed values, (B, T, H, D), and None for the weights that nobody keeps.
    """
    length, seen = q.shape[2], k.shape[2]
    if sliding_window is not None and seen > sliding_window:
        attention_mask = _band(length, seen, sliding_window, attention_mask, q.device)
    layer = dropout if isinstance(dropout, nn.Dropout) and dropout.training and dropout.p > 0 else None

    def mix(q: Tensor, k: Tensor, v: Tensor, *mask: Tensor) -> Tensor:
        p = layer.p if layer else 0.0
        seen_by = mask[0] if mask else None
        if softcap is not None:
            return _capped(q, k, v, seen_by, p, scaling, softcap)
        if q.shape[1] != k.shape[1] and not (seen_by is None and q.is_cuda):
            k, v = (_repeated(part, q.shape[1]) for part in (k, v))
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=seen_by,
            dropout_p=p,
            is_causal=seen_by is None and length > 1,
            scale=scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )

    operands = [q, k, v] if attention_mask is None else [q, k, v, attention_mask.expand(len(q), 1, length, seen)]
    mixed = mix(*operands) if layer is None else by_window(layer, mix, *operands)
    return mixed.transpose(1, 2), None  # (B, H, T, D) -> (B, T, H, D)


AttentionInterface.register(CAUSAL, attend)


def _band(length: int, seen: int, window: int, mask: Tensor | None, device: torch.device) -> Tensor:
    """`mask`, or a causal one, of which only the last `window` columns up to each row's own are left."""
    row = torch.arange(seen - length, seen, device=device)[:, None]  # (T, 1)
    column = torch.arange(seen, device=device)  # (L,)
    band = (column <= row) & (column > row - window)  # (T, L)
    return band[None, None] if mask is None else mask & band


def _repeated(x: Tensor, heads: int) -> Tensor:
    """(B, G, L, D) as (B, H, L, D), each head's H / G times."""
    batch, groups, length, width = x.shape
    return x[:, :, None].expand(batch, groups, heads // groups, length, width).reshape(batch, heads, length, width)


def _capped(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, scaling: float | None, cap: float
) -> Tensor:
    """Attention whose scores are bounded before the softmax, which no fused kernel of PyTorch does."""
    k, v = (_repeated(part, q.shape[1]) for part in (k, v))
    scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scaling is None else scaling)  # (B, H, T, L)
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril(scores.shape[-1] - q.shape[2])
    weights = (torch.tanh(scores / cap) * cap).masked_fill(~mask, -torch.inf).softmax(-1, torch.float32).to(v.dtype)
    return F.dropout(weights, dropout) @ v


def prepare_decoder(
    model: PreTrainedModel, attention: str = CAUSAL, compile: bool = False, activation_checkpointing: bool = False
) -> None:
    """Have a model attend and compute its layers by our functions, and compile or checkpoint its blocks, in place.

    Args:
        model: the model.
        attention: what the function is registered under.
        compile: whether torch.compile fuses each block.
        activation_checkpointing: whether a block keeps its input alone in training, see `model.checkpointing`.
    """
    with quiet_transformers():  # of models with attention of their own, which `check_decoder` refuses
        model.set_attn_implementation(attention)
    place_layers(model, attention)
    if activation_checkpointing:
        # Draws follow from the window (`model.dropout`), so they are the same once more without a generator's state.
        model.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    if compile:
        for block in blocks_of(model):
            block.compile(dynamic=False)


def place_dropout(model: PreTrainedModel, p: float) -> None:
    """Set the dropout of a model, in place: of its dropout layers, and of its attention's weights.

    Where transformers has a number for the attention's, there is a layer then, which it hands on to `attend` as it
    would the number. Dropout that it computes without a layer, such as OPT's, is off.
    """
    for module in list(model.modules()):
        is_attention = hasattr(module, "is_causal")
        for name in ("attention_dropout", "dropout", "layerdrop"):
            if isinstance(module.__dict__.get(name), float | int):
                setattr(module, name, nn.Dropout(p) if is_attention and p else 0.0)
        if isinstance(module, nn.Dropout):
            module.p = p


def decoder_states(
    model: PreTrainedModel, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """All of a model but its head.

    Args:
        model: made ready by `prepare_decoder`.
        tokens: token ids, (B, T).
        positions: (B, T), or 0, 1, 2 and so on in every row if None.
        mask: (B, 1, T, T), true where a position may look; None: at all up to itself.

    Returns:
        The last norm's output, (B, T, C).
    """
    arguments: dict[str, Any] = {} if positions is None else {"position_ids": positions}
    states: Tensor = model.base_model(input_ids=tokens, attention_mask=mask, use_cache=False, **arguments)[0]
    return states


class _Count:
    """Our attention, which counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, module: nn.Module, *arguments: Any, **options: Any) -> tuple[Tensor, None]:
        self.calls += getattr(module, "is_causal", True)
        return attend(module, *arguments, **options)


@torch.no_grad()
def refuse_other_attention(config: PretrainedConfig) -> None:
    """Refuse a model that does not attend by the function that it is told to, before its weights are there.

    A shallow model on tensors without storage goes forward.

    Raises:
        ArchitectureError: it doesn't, or its attention is not causal.
    """
    name = architecture_name(config)
    blocks = min(2, config.num_hidden_layers)
    count = _Count()
    AttentionInterface.register(COUNTED, count)
    try:
        with FakeTensorMode(), quiet_transformers():
            model = AutoModelForCausalLM.from_config(shallow(config, blocks))
            prepare_decoder(model, COUNTED)
            decoder_states(model.eval(), torch.zeros(1, 4, dtype=torch.long))
    except ArchitectureError:
        raise
    except Exception as error:  # whatever a model raises that is no decoder, or has no sizes that go together
        raise ArchitectureError(f"it is a {name}, which can't go forward: {error}; {ACCEPTED}") from None
    if count.calls != blocks:
        raise ArchitectureError(f"it is a {name}, whose attention is not transformers' causal interface; {ACCEPTED}")


@torch.no_grad()
def check_decoder(model: PreTrainedModel) -> None:
    """Hold our forward pass to transformers' own on a few tokens, and leave the model made ready for ours.

    It costs two short forward passes. So an architecture that nobody has tried here is refused where it differs.

    Raises:
        ArchitectureError: logits differ.
    """
    length = min(CHECKED_TOKENS, model.config.max_position_embeddings)
    tokens = torch.arange(2 * length).view(2, length) * 37 % model.config.vocab_size
    wanted = model(input_ids=tokens, use_cache=False).logits.flatten(0, 1)  # (2 T, V)
    prepare_decoder(model)
    logits = logits_of(model, decoder_states(model, tokens).flatten(0, 1))  # (2 T, V)
    difference = float((logits - wanted).abs().max() / wanted.abs().max().clamp_min(1e-6))
    if difference > MOST_DIFFERENCE:
        raise ArchitectureError(
            f"it is a {type(model).__name__}, whose logits differ here from transformers' own by "
            f"{100 * difference:.1f} %; {ACCEPTED}"
        )
