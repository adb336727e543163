"""From a model's last hidden states to its logits, which are seldom wanted at all positions at once."""

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from model.architectures import head_of, logit_scale, logit_softcap
from model.lora_linear import LoRALinear
from model.matmul import linear, round_up


def head_terms(model: PreTrainedModel, hidden: Tensor, rank_multiple: int = 1) -> list[tuple[Tensor, Tensor]]:
    """What the logits are the sum of: pairs of x and w with logits (N, V) = sum of x @ w.T, before a soft cap.

    A plain head is one pair. An adapter is a second one, so that neither W + s B A nor its product is formed. A bias is
    one more: a column of ones, and the bias as a column.

    Args:
        model: whose head it is.
        hidden: the last norm's output at N positions, (N, C).
        rank_multiple: what the rank r is padded to a multiple R of.

    Returns:
        (N, C) with (V, C); for an adapter (N, R) with (V, r), whose columns that B lacks are zeros; for a bias (N, 1)
        with (V, 1).
    """
    head = head_of(model)
    if (scale := logit_scale(model.config)) != 1:
        hidden = hidden * scale
    terms = [(hidden, head.weight)]  # (N, C), (V, C)
    if isinstance(head, LoRALinear):
        A: Tensor = head.lora_A
        if missing := round_up(len(A), rank_multiple) - len(A):
            A = F.pad(A, (0, 0, 0, missing))  # (R, C)
        terms.append((F.linear(hidden, A) * head.scaling, head.lora_B))  # (N, R), (V, r)
    if head.bias is not None:
        terms.append((torch.ones_like(hidden[:, :1]), head.bias[:, None]))  # (N, 1), (V, 1)
    return terms


def logits_of(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits (N, V) of `hidden` (N, C), for decoding: no autograd."""
    (x, w), *further = head_terms(model, hidden)
    logits = linear(x, w)  # (N, C) @ (C, V) -> (N, V)
    for low, B in further:
        logits.addmm_(low, B.T)  # (N, r) @ (r, V) -> (N, V)
    if (cap := logit_softcap(model.config)) is not None:
        logits.div_(cap).tanh_().mul_(cap)
    return logits
