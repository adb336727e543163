"""The options of PEFT's configurations, read from PEFT itself, for a tree that validates specs without torch.

python -m model.peft_options > basis/peft_options.py
"""

import dataclasses
import types
import typing
from typing import Any, Literal, Union, get_args, get_origin

import peft

from basis.methods import INSTEAD, METHODS

LEFT_OUT = (
    *("layers_to_transform", "layers_pattern", "fan_in_fan_out", "layer_replication", "target_parameters"),
    *("save_projection", "save_indices", "save_precomputed_indices", "save_only_topk_weights", "progressbar"),
    *("alora_invocation_tokens", "use_qalora", "qalora_group_size", "ensure_weight_tying", "feedforward_modules"),
    *("megatron_core", "rank_pattern", "alpha_pattern", "use_conv2d", "use_effective_conv2d"),
    *("sample_at_inference", "generator_seed", "block_size_pattern", "n_frequency_pattern", "lambda_pattern"),
)
"""Options that say where adapters stand or how they are kept, which the sweep decides, or that need another runtime."""

NEEDING_DATA = ("eva", "corda", "loftq", "lora_ga", "pissa", "olora", "mica", "pissa_niter_[number of iters]")
"""Values of an initialisation that need data or are methods of their own."""

_PLAIN: dict[Any, str] = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}


def options() -> dict[str, dict[str, tuple[str, ...]]]:
    """By PEFT's type of a method, and by option: the kinds of value that it takes."""
    used = dict.fromkeys(traits.peft for traits in METHODS.values() if traits.peft)
    return {name: _options_of(config_class(name)) for name in used}


def config_class(peft_type: str) -> type[Any]:
    """PEFT's configuration of a type, such as `LoraConfig` of "LORA"."""
    return type(peft.get_peft_config({"peft_type": peft_type}))


def _options_of(config: type[Any]) -> dict[str, tuple[str, ...]]:
    shared = {field.name for field in dataclasses.fields(peft.PeftConfig)}
    hints = typing.get_type_hints(config)
    found = {}
    for field in dataclasses.fields(config):
        if field.name in (*shared, *LEFT_OUT, *INSTEAD) or "dropout" in field.name:
            continue
        if kinds := tuple(dict.fromkeys(_kinds(hints[field.name]))):
            found[field.name] = kinds
    return found


def _kinds(hint: Any) -> list[str]:
    """The kinds of a type; none if a value of it can't be written in a spec."""
    if hint in _PLAIN:
        return [_PLAIN[hint]]
    if get_origin(hint) is Literal:
        return [f"'{value}'" for value in get_args(hint) if value not in NEEDING_DATA]
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_kinds(part) for part in get_args(hint)]
        return [kind for part in parts for kind in part] if any(part and part != ["null"] for part in parts) else []
    if isinstance(hint, type) and issubclass(hint, str):  # an enumeration of texts
        return [f"'{member.value}'" for member in hint]  # type: ignore[attr-defined]
    return []


def page() -> str:
    """basis/peft_options.py."""
    lines = [
        '"""What options PEFT\'s methods have, by its types; a test holds it to PEFT. Made by model.peft_options."""',
        "",
        "OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {",
    ]
    for name, found in options().items():
        lines.append(f'    "{name}": {{')
        for option, kinds in found.items():
            texts = ", ".join(f'"{kind}"' for kind in kinds)
            lines.append(f'        "{option}": ({texts}{"," if len(kinds) == 1 else ""}),')
        lines.append("    },")
    return "\n".join(
        [*lines, "}", '"""The kinds of value of each; a text in quotes is one that may stand there."""', ""]
    )


if __name__ == "__main__":
    print(page(), end="")
