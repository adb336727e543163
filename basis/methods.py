"""The methods: what each trains, which fields of a trial it has, and what PEFT calls it.

`method: lora` is loralib's (`model.lora_linear`). All that have a `peft` type are PEFT's, by `model.peft_adapters`. To
add one is a line here; `tests/model/test_peft_adapters.py` then holds it to plain PEFT.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from basis.peft_options import OPTIONS

Method = Literal[
    "full",
    "lora",
    "qlora",
    "dora",
    "pissa",
    "olora",
    "lora-fa",
    "vera",
    "vblora",
    "randlora",
    "tinylora",
    "loha",
    "lokr",
    "hira",
    "delora",
    "gralora",
    "glora",
    "miss",
    "peanut",
    "deft",
    "hra",
    "oft",
    "boft",
    "psoft",
    "road",
    "ia3",
    "beft",
    "c3a",
    "fourierft",
    "waveft",
    "shira",
    "supertuning",
]


class MethodTraits(NamedTuple):
    """What sets a method apart.

    Attributes:
        trains: what trains, for people.
        source: where the method comes from.
        peft: PEFT's type of it; None: it is not PEFT's.
        fields: the dependent fields of a trial that it has.
        names: by field, what PEFT calls it, for `rank` and `alpha`.
        alpha: the default of `alpha`, where it has one.
        fixed: options of PEFT that make it this method.
        merges: whether its update can be added into the weights.
        conv1d: whether it goes around GPT-2's projections, which are no `nn.Linear`.
        sized: whether the shapes of what it trains are known without weights.
        predicted: whether its memory is predicted, see `model.predict_memory`.
    """

    trains: str
    source: str
    peft: str | None = None
    fields: tuple[str, ...] = ()
    names: Mapping[str, str] = {}
    alpha: float | None = None
    fixed: Mapping[str, Any] = {}
    merges: bool = True
    conv1d: bool = False
    sized: bool = True
    predicted: bool = True


_PLACED = ("targets", "also_train")
_OF_LORA = ("rank", "alpha", "scaling", "b_lr_ratio", *_PLACED)
_RANK = {"rank": "r"}
_LORA = {"rank": "r", "alpha": "lora_alpha"}


def _lora(
    trains: str, source: str, *, b_lr_ratio: bool = True, predicted: bool = True, merges: bool = True, **fixed: Any
) -> MethodTraits:
    """A variant of LoRA as PEFT's LoraConfig has it."""
    fields = (*(name for name in _OF_LORA if b_lr_ratio or name != "b_lr_ratio"), "peft")
    conv1d = fixed.get("init_lora_weights") != "olora"
    return MethodTraits(trains, source, "LORA", fields, _LORA, 32.0, fixed, merges, conv1d, predicted=predicted)


def _ranked(trains: str, source: str, peft: str, **traits: Any) -> MethodTraits:
    """A method of PEFT that has a rank, and an alpha where `traits` say what that is called."""
    fields = ("rank", *(["alpha"] if "alpha" in traits else []), *_PLACED, "peft")
    return MethodTraits(trains, source, peft, fields, **{"names": _RANK, **traits})


def _plain(trains: str, source: str, peft: str, **traits: Any) -> MethodTraits:
    """A method of PEFT without a rank."""
    return MethodTraits(trains, source, peft, (*_PLACED, "peft"), **traits)


_KEPT_APART: dict[str, Any] = {"save_projection": False}

METHODS: dict[Method, MethodTraits] = {
    "full": MethodTraits("every weight", "", merges=False, conv1d=True),
    "lora": MethodTraits("W + s B A", "Hu et al. 2021, arXiv:2106.09685", None, _OF_LORA, {}, 32.0, conv1d=True),
    "qlora": _lora(
        "LoRA beside weights of 4 bits (NF4)", "Dettmers et al. 2023, arXiv:2305.14314", predicted=False, merges=False
    ),
    "dora": _lora(
        "W + s B A with a magnitude per output", "Liu et al. 2024, arXiv:2402.09353", use_dora=True
    ),
    "pissa": _lora(
        "the principal singular vectors of W", "Meng et al. 2024, arXiv:2404.02948", init_lora_weights="pissa"
    ),
    "olora": _lora("an orthonormal part of W", "Büyükakyüz 2024, arXiv:2406.01775", init_lora_weights="olora"),
    "lora-fa": _lora("B of LoRA; A stays as drawn", "Zhang et al. 2023, arXiv:2308.03303", b_lr_ratio=False),
    "vera": _ranked(
        "scales of random A and B that all layers share", "Kopiczko et al. 2023, arXiv:2310.11454", "VERA",
        fixed=_KEPT_APART, conv1d=True,
    ),
    "vblora": _ranked(
        "mixtures of vectors from one bank", "Li et al. 2024, arXiv:2405.15179", "VBLORA", conv1d=True,
        predicted=False,
    ),
    "randlora": _ranked(
        "scales of random bases of full rank", "Albert et al. 2025, arXiv:2502.00987", "RANDLORA",
        names={"rank": "r", "alpha": "randlora_alpha"}, alpha=640.0, fixed=_KEPT_APART, conv1d=True,
    ),
    "tinylora": _ranked(
        "a few numbers along singular vectors of W", "Morris et al. 2026, arXiv:2602.04118", "TINYLORA",
        fixed=_KEPT_APART, conv1d=True,
    ),
    "loha": _ranked(
        "a Hadamard product of two low ranks", "Hyeon-Woo et al. 2021, arXiv:2108.06098", "LOHA",
        names={"rank": "r", "alpha": "alpha"}, alpha=8.0,
    ),
    "lokr": _ranked(
        "a Kronecker product", "Yeh et al. 2023, arXiv:2309.14859", "LOKR",
        names={"rank": "r", "alpha": "alpha"}, alpha=8.0,
    ),
    "hira": _ranked("W times a low rank, elementwise", "Huang et al. 2025, ICLR (HiRA)", "HIRA", conv1d=True),
    "delora": _ranked("normalised directions and their strength", "Bini et al. 2025, arXiv:2503.18225", "DELORA"),
    "gralora": _ranked(
        "low ranks of the blocks of W", "Jung et al. 2025, arXiv:2505.20355", "GRALORA",
        names={"rank": "r", "alpha": "alpha"}, alpha=64.0, conv1d=True,
    ),
    "glora": _ranked("scales and shifts of weight and input", "Chavan et al. 2023, arXiv:2306.07967", "GLORA"),
    "miss": _ranked("shards of one small matrix", "Kang and Yin 2024, arXiv:2409.15371", "MISS"),
    "peanut": _ranked("a small network whose input is W", "Zhong et al. 2024, arXiv:2410.01870", "PEANUT"),
    "deft": _ranked(
        "a projection out of W and a low rank into it", "Kumar et al. 2025, arXiv:2509.22793", "DEFT", conv1d=True
    ),
    "hra": _ranked("Householder reflections of W", "Yuan et al. 2024, arXiv:2405.17484", "HRA"),
    "oft": _plain("rotations of blocks of the input", "Qiu et al. 2023, arXiv:2306.07280", "OFT"),
    "boft": _plain(
        "butterflies of rotations", "Liu et al. 2023, arXiv:2311.06243", "BOFT", sized=False, predicted=False
    ),
    "psoft": _ranked(
        "a rotation within a principal subspace", "Wu et al. 2025, arXiv:2505.11235", "PSOFT",
        names={"rank": "r", "alpha": "psoft_alpha"}, alpha=32.0,
    ),
    "road": _plain("rotations of pairs of outputs", "Liao and Monz 2024, arXiv:2409.00119", "ROAD"),
    "ia3": _plain("scales of outputs and inputs", "Liu et al. 2022, arXiv:2205.05638", "IA3", conv1d=True),
    "beft": _plain("a bias of each projection", "Huang et al. 2025, arXiv:2509.15974", "BEFT", merges=False),
    "c3a": _plain("circular convolutions", "Chen et al. 2024, arXiv:2407.19342", "C3A", predicted=False),
    "fourierft": _plain(
        "some Fourier coefficients of the update", "Gao et al. 2024, arXiv:2405.03003", "FOURIERFT",
        conv1d=True, predicted=False,
    ),
    "waveft": _plain(
        "some wavelet coefficients of the update", "Bilican et al. 2025, arXiv:2505.12532", "WAVEFT",
        conv1d=True, predicted=False,
    ),
    "shira": _ranked(
        "some weights of W, drawn at random", "Bhardwaj et al. 2024, arXiv:2406.13175", "SHIRA",
        sized=False, predicted=False,
    ),
    "supertuning": _plain("the largest weights of W", "Ilin et al. 2026, arXiv:2607.09287", "SUPERTUNING"),
}  # fmt: skip
"""The methods, in the order of a report."""

_PROMPT = "it trains a prompt beside the text, and no weights"
_DATA = "it begins from gradients or activations of the data"

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("prompt-tuning", "multitask-prompt-tuning", "p-tuning", "prefix-tuning", "cartridge", "cpt"), _PROMPT
    ),
    **dict.fromkeys(("eva", "corda", "lora-ga", "loftq"), _DATA),
    "loftq": "it begins from the error of a quantised base model; qlora has one that is quantised as it is",
    "adaption-prompt": _PROMPT,
    "adalora": "its ranks are dealt out anew by a call after each step, in which the loss has a term of its own",
    "adamss": "its shapes depend on the values of the weights, so neither memory nor disk can be planned",
    "frod": "its shapes depend on the values of the weights, so neither memory nor disk can be planned",
    "unilora": "its shapes can't be known without its draws, so neither memory nor disk can be planned",
    "pvera": "it draws noise in each pass, so that a stopped trial would not continue to the bit",
    "lily": "its router averages over all tokens of a pass, those to come and other windows' among them",
    "osf": "it is full fine-tuning within a subspace, for learning one task after another",
    "ln-tuning": "norms train by also_train: [layernorms], beside an adapter",
    "trainable-tokens": "single tokens do not train here; embeddings do, by also_train: [embeddings]",
    "xlora": "it mixes adapters that were trained before",
    "poly": "it shares adapters among several tasks, and a sweep has one",
    "shadow": "it trains a second model beside the first",
}
"""Methods that PEFT has and a sweep has not, and why."""

FIELD_NAMES = tuple(dict.fromkeys(field for traits in METHODS.values() for field in traits.fields))
"""Fields that only some methods have."""

INSTEAD: dict[str, str] = {
    **dict.fromkeys(("target_modules", "exclude_modules"), "targets"),
    **dict.fromkeys(("modules_to_save", "bias", "trainable_token_indices"), "also_train"),
    **dict.fromkeys(("r", "init_r", "target_r"), "rank"),
    **dict.fromkeys(("lora_alpha", "randlora_alpha", "psoft_alpha"), "alpha"),
    "use_rslora": "scaling: alpha/sqrt(r)",
    "use_dora": "method: dora",
}
"""Options of PEFT that are fields of a trial, and those."""


def wrong_options(method: str, options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with `peft: {...}` of a method, a line each.

    Args:
        method: its name.
        options: by PEFT's names.
    """
    traits = METHODS[method]  # type: ignore[index]
    known = {
        name: kinds
        for name, kinds in OPTIONS.get(traits.peft or "", {}).items()
        if name not in (*traits.fixed, *traits.names.values())
    }
    for name, value in options.items():
        if name in INSTEAD or name in traits.names.values():
            field = INSTEAD.get(name) or next(field for field, own in traits.names.items() if own == name)
            yield f"{name!r} is the trial's field: {field}"
        elif "dropout" in name:
            yield f"{name!r} is not accepted; adapters have no dropout, `dropout` is that of the model"
        elif name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            yield f"unknown option {name!r}{meant} of method {method!r}; accepted: {', '.join(known) or 'none'}"
        elif not any(_is_of(kind, value) for kind in known[name]):
            yield f"{name}: {value!r} is not accepted; accepted: {', '.join(map(_in_words, known[name]))}"


def _is_of(kind: str, value: Any) -> bool:
    """Whether a value is of a kind as `basis.peft_options` has it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return number and value == int(value)
        case "float":
            return number
        case "str":
            return isinstance(value, str)
        case "null":
            return value is None
        case "dict":
            return isinstance(value, Mapping)
        case "list":
            return isinstance(value, list | tuple)
    return isinstance(value, str) and re.fullmatch(kind.strip("'"), value) is not None


def _in_words(kind: str) -> str:
    words = {"bool": "true, false", "int": "a whole number", "float": "a number", "str": "a text"}
    return {**words, "dict": "a mapping", "list": "a list"}.get(kind, kind)
