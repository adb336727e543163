"""The optimizers: their names, what sets each apart, and the names that others have for them.

PyTorch's own come first. The others are those of pytorch-optimizer and bitsandbytes, by the libraries' names; what
these take stands in `library_optimizers.json`, which `model/library_optimizers.py` writes from the installed libraries.
So a spec is checked without torch.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Provider = Literal["torch", "pytorch-optimizer", "bitsandbytes"]


@dataclass(frozen=True)
class OptimizerOption:
    """A hyperparameter of an optimizer beyond the fields of a trial.

    Attributes:
        default: what it is unless a spec says otherwise.
        accepts: kinds of values in words, such as "a number", or texts in quotes.
    """

    default: Any
    accepts: tuple[str, ...]


@dataclass(frozen=True)
class OptimizerTraits:
    """What sets an optimizer apart.

    Attributes:
        momentum: what it has unless a spec says otherwise; None if it has no momentum.
        betas: likewise.
        states: tensors that it keeps for each parameter and of its size, at most.
        scales: whether it can skip a step whose gradients overflow without asking the device, as fp16 needs.
        provider: the library that it comes from.
        made_by: the class there.
        decay: how weight decay acts: "decoupled" from the gradient, "in the gradient", in a way of "its own", or None:
            it takes no `weight_decay` (Amos decays weights by itself, FTRL by its `lambda_2`).
        lr: the library's default learning rate; None where it names none.
        vector_bytes: bytes of state for each parameter of a vector, where they were measured.
        options: its other hyperparameters by name.
    """

    momentum: float | None
    betas: tuple[float, float] | None
    states: float
    scales: bool
    provider: Provider = "torch"
    made_by: str = ""
    decay: str | None = "decoupled"
    lr: float | None = None
    vector_bytes: float | None = None
    options: Mapping[str, OptimizerOption] = field(default_factory=dict)


OWN: dict[str, OptimizerTraits] = {
    "sgd": OptimizerTraits(momentum=None, betas=None, states=0, scales=True, decay="in the gradient"),
    "momentum": OptimizerTraits(momentum=0.9, betas=None, states=1, scales=True, decay="in the gradient"),
    "nesterov": OptimizerTraits(momentum=0.9, betas=None, states=1, scales=True, decay="in the gradient"),
    "adamw": OptimizerTraits(momentum=None, betas=(0.9, 0.95), states=2, scales=True),
    "adafactor": OptimizerTraits(momentum=None, betas=None, states=1, scales=False),
    "muon": OptimizerTraits(momentum=0.95, betas=(0.9, 0.95), states=2, scales=False),
}
"""Those of PyTorch itself, from plain to elaborate. Where another library has the same name, these are meant."""

EIGHT_BIT = {"adamw8bit": "AdamW8bit", "lion8bit": "Lion8bit"}
"""Of bitsandbytes, by its class."""

NEEDS_MUON_SPLIT = ("adago", "adamuon", "normuon")
"""They orthogonalise matrices of hidden layers, and take all else by their own AdamW."""

FOR_HIDDEN_MATRICES = ("muon", *NEEDS_MUON_SPLIT)

FORCED: dict[str, dict[str, Any]] = {
    **{name: {"use_adjusted_lr": True} for name in NEEDS_MUON_SPLIT},
    "apollodqn": {"warmup_steps": 0},
}
"""What is set unless options say otherwise: so that one learning rate serves all parameters, as for muon, and the
schedule is the sweep's."""

AVERAGING = ("schedulefreeadamw", "schedulefreeradam", "schedulefreesgd", "splus")
"""They train at one point and are evaluated at an average of the points."""

_ABOUT_RANK = {
    "rank": OptimizerOption(128, ("a whole number",)),
    "update_proj_gap": OptimizerOption(200, ("a whole number",)),
}
LOW_RANK: dict[str, dict[str, OptimizerOption]] = {
    "galore": {
        **_ABOUT_RANK,
        "scale": OptimizerOption(0.25, ("a number",)),
        "projection_type": OptimizerOption("std", ("'std'", "'reverse_std'", "'right'", "'left'", "'full'")),
    },
    "fira": {
        **_ABOUT_RANK,
        "scale": OptimizerOption(0.25, ("a number",)),
        "projection_type": OptimizerOption("std", ("'std'", "'reverse_std'", "'right'", "'left'")),
    },
    "apollo": {
        **_ABOUT_RANK,
        "scale": OptimizerOption(1.0, ("a number",)),
        "projection_type": OptimizerOption("random", ("'random'", "'std'")),
    },
}
"""Options that the library takes with a group of parameters. Their defaults are those of transformers for GaLore
(arXiv:2403.03507) and APOLLO (arXiv:2412.05270), and GaLore's for Fira. Matrices have them, vectors are trained as by
Adam."""

_LICENCE = "its licence, CC BY-NC-SA 4.0, forbids commercial use"
_LOSS = "it is steered by the loss of each step, which is not read back while a GPU works"
_SECOND = "it needs second derivatives; write adamw, or lion"
_PASSES = "a step of it takes several forward passes; write adamw"
_BACKWARD = "it updates within the backward pass, so nothing can be accumulated or clipped; write adafactor"
_PROCESSES = "it is for several processes that share a model; write muon"

REFUSED: dict[str, str] = {
    "fromage": _LICENCE,
    "nero": _LICENCE,
    "alig": _LOSS,
    "emofact": _LOSS,
    "emolynx": _LOSS,
    "emonavi": _LOSS,
    "adahessian": _SECOND,
    "sophiah": _SECOND,
    "bsam": _PASSES,
    "lbfgs": _PASSES,
    "lomo": _BACKWARD,
    "adalomo": _BACKWARD,
    "demo": _PROCESSES,
    "distributedmuon": _PROCESSES,
    "magma": "it wraps another optimizer; write that one",
    "ranger21": "it brings a learning-rate schedule of its own; write ranger",
    "muonclip": "it has to be told which matrices are queries and keys, and is Muon without; write muon",
    "lorarite": "it takes LoRA's A and B as pairs of one layout, which loralib's are not; write adamw",
    "scalableshampoo": "its state is objects that a checkpoint does not hold; write shampoo, or soap",
    "spectralsphere": "it takes matrices alone; write muon",
    **dict.fromkeys(
        ("nadam", "sara", "spam", "stablespam"), "its memory can't be predicted, so no plan holds; write adamw"
    ),
    "kron": "it draws from a random state that a checkpoint does not have; write soap, or shampoo",
    "adashift": "its queue of past gradients can't be kept in a checkpoint; write adamw",
}
"""Optimizers that the libraries have and that are not accepted, and why."""

_PAGED = "paged state is on no account of memory; write"
REFUSED_ALIASES: dict[str, str] = {
    "adagrad": "its step only ever shrinks; write adamw, or dadaptadagrad",
    "adamw_anyprecision": "what trains stays in fp32; write adamw",
    "adamw_torch_4bit": "write adamw8bit",
    "adamw_torch_8bit": "write adamw8bit",
    "adamw_torch_npu_fused": "write adamw",
    "adamw_torch_xla": "write adamw",
    "ademamix_8bit": "write ademamix",
    "paged_adamw_32bit": f"{_PAGED} adamw",
    "paged_adamw_8bit": f"{_PAGED} adamw8bit",
    "paged_ademamix_32bit": f"{_PAGED} ademamix",
    "paged_ademamix_8bit": f"{_PAGED} ademamix",
    "paged_lion_32bit": f"{_PAGED} lion",
    "paged_lion_8bit": f"{_PAGED} lion8bit",
    "rmsprop_bnb_8bit": "write rmsprop",
    "galore_adamw_8bit": "write galore",
    "galore_adafactor": "write galore",
    "galore_adamw_layerwise": "steps are of the whole model; write galore",
    "galore_adamw_8bit_layerwise": "steps are of the whole model; write galore",
    "galore_adafactor_layerwise": "steps are of the whole model; write galore",
    "apollo_adamw_layerwise": "steps are of the whole model; write apollo",
}
"""Names of transformers' `OptimizerNames` that stand for nothing here, and what to write."""

_ALIASES = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_32bit"), "adamw"),
    **dict.fromkeys(("adamw_bnb_8bit", "adamw_8bit"), "adamw8bit"),
    "lion_8bit": "lion8bit",
    "lion_32bit": "lion",
    **dict.fromkeys(("rmsprop_bnb", "rmsprop_bnb_32bit"), "rmsprop"),
    "galore_adamw": "galore",
    "apollo_adamw": "apollo",
    "grokadamw": "grokfastadamw",
    **dict.fromkeys(("schedule_free", "schedulefree"), "schedulefreeadamw"),
    "signum": "signsgd",
}


def _read_library() -> dict[str, OptimizerTraits]:
    facts = json.loads(Path(__file__).with_name("library_optimizers.json").read_text(encoding="utf-8"))
    return {name: _traits(name, one) for name, one in facts.items()}


def _traits(name: str, facts: dict[str, Any]) -> OptimizerTraits:
    options = {key: OptimizerOption(one["default"], tuple(one["accepts"])) for key, one in facts["options"].items()}
    return OptimizerTraits(
        momentum=facts["momentum"],
        betas=tuple(facts["betas"]) if facts["betas"] else None,
        states=facts["state_bytes"]["matrix"] / 4,
        scales=False,
        provider="bitsandbytes" if name in EIGHT_BIT else "pytorch-optimizer",
        made_by=facts["class"],
        decay=facts["decay"],
        lr=facts["lr"],
        vector_bytes=facts["state_bytes"]["vector"],
        options=options | LOW_RANK.get(name, {}),
    )


OPTIMIZERS: dict[str, OptimizerTraits] = OWN | _read_library()
"""All that are accepted. Their order is that of a report: PyTorch's own, then the others by name."""


def canonical(name: str) -> str:
    """The one name that an optimizer has here, by any name that is known for it: "Schedule-Free-AdamW", "lion_8bit".

    A name that is not known comes back as it is.
    """
    plain = name.strip().lower().replace("-", "_")
    squeezed = plain.replace("_", "")
    if plain in _ALIASES:
        return _ALIASES[plain]
    return next((known for known in (plain, squeezed) if known in OPTIMIZERS), name)


def why_refused(name: str) -> str:
    """Why an optimizer is not accepted, with what may be meant; "" for one that is."""
    if name in OPTIMIZERS:
        return ""
    plain = name.strip().lower().replace("-", "_")
    for known in (plain, plain.replace("_", "")):
        if reason := REFUSED_ALIASES.get(known) or REFUSED.get(known):
            return f"not accepted: {reason}"
    near = difflib.get_close_matches(plain.replace("_", ""), [*OPTIMIZERS, *_ALIASES], 1, cutoff=0.7)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"accepted: {OPTIMIZER_WORDS}{meant}"


OPTIMIZER_WORDS = (
    f"{', '.join(OWN)}, {', '.join(EIGHT_BIT)}, or one of pytorch-optimizer by its name, such as lion or soap"
)
"""What can be typed for an optimizer."""


def options_flaws(optimizer: str, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of an accepted optimizer, a line each that begins with the option's name."""
    known = OPTIMIZERS[optimizer].options
    flaws = []
    for name, value in options.items():
        if name not in known:
            flaws.append(f"{name}: {_unknown_option(optimizer, name)}")
        elif not any(_is_of_kind(value, kind) for kind in known[name].accepts):
            flaws.append(f"{name}: {value!r} is not accepted; accepted: {' or '.join(known[name].accepts)}")
    return flaws


def _unknown_option(optimizer: str, name: str) -> str:
    traits = OPTIMIZERS[optimizer]
    fields = {"betas": traits.betas, "momentum": traits.momentum, "weight_decay": traits.decay, "lr": "is a field"}
    if fields.get(name) is not None:
        return f"a field of the trial by itself: write {name} beside optimizer_options"
    near = difflib.get_close_matches(name, traits.options, 1)
    listed = ", ".join(traits.options)
    return f"no option of {optimizer}; accepted: {f'{near[0]}, which may be meant' if near else listed}"


def _is_of_kind(value: Any, kind: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "true or false":
            return isinstance(value, bool)
        case "a whole number":
            return number and float(value).is_integer()
        case "a number":
            return number
        case "numbers":
            return isinstance(value, list | tuple) and all(_is_of_kind(item, "a number") for item in value)
        case "text":
            return isinstance(value, str)
        case "null":
            return value is None
        case _:
            return repr(value) == kind
