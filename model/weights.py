"""Loads weights and holds them to the model: whatever is not in the files, Transformers would draw at random."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from model.memory_limit import ran_out_of_memory
from model.weight_files import MERGING, Header, WeightsError, read_headers, weight_files

BUFFERS = (r"attn\.(masked_)?bias", r"attention\.(masked_)?bias", r"position_ids", r"rotary_emb\.inv_freq")
"""Endings of names that old files have for constants, which models nowadays make themselves."""

WRAPPERS = {
    "_orig_mod.": "torch.compile",
    "module.": "DataParallel",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
    "_forward_module.": "Lightning Fabric",
    "base_model.model.": "PEFT",
    "model.": "a wrapper around the model",
}
"""What puts which part into the names of a state dict."""


def load_weights(model_class: Any, folder: str | Path, ignored: Collection[str] = ()) -> Any:
    """Load a model in fp32 and make sure that each of its weights, and nothing else, came from its files.

    Args:
        model_class: a model class of Transformers, or an Auto class.
        folder: the model's folder.
        ignored: regular expressions of names that the files may have and the model may not.

    Returns:
        The model, in evaluation mode on the CPU.

    Raises:
        WeightsError: weights that are missing, unexpected, of another shape, not numbers, quantised or damaged.
    """
    if not Path(folder).is_dir():
        raise WeightsError(f"there is no folder {folder}")
    files = weight_files(Path(folder))
    headers: dict[str, Header] = {}
    try:
        headers = read_headers(files)
        with quiet_transformers():  # of what it would warn about, the checks below make errors
            model, info = model_class.from_pretrained(
                str(folder), dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
    except WeightsError:
        raise
    except Exception as error:  # a damaged file raises whatever its parser raises
        if ran_out_of_memory(error):
            raise
        _check_shapes(model_class, folder, headers)
        raise WeightsError(_one_line(error)) from error
    if getattr(model.config, "quantization_config", None) is not None:
        raise WeightsError("its weights are quantised; accepted: fp32, fp16 or bf16")
    check_names(info["missing_keys"], info["unexpected_keys"], ignored)
    _check_headers(model, headers)
    _check_finite(model)
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Have transformers warn of nothing in the block."""
    verbosity = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(verbosity)


def check_names(missing: Collection[str], unexpected: Collection[str], ignored: Collection[str] = ()) -> None:
    """Hold the names in a file to those of the model.

    Args:
        missing: names that the model has and the file has not.
        unexpected: names that the file has and the model has not.
        ignored: regular expressions of unexpected names that do no harm, beside those of constants in old files.

    Raises:
        WeightsError: with the first name, how many there are, and what to do where that can be told.
    """
    harmless = re.compile("|".join([*(rf"(^|\.){ending}$" for ending in BUFFERS), *ignored]))
    missing, unexpected = sorted(missing), sorted(name for name in unexpected if not harmless.search(name))
    if not missing and not unexpected:
        return
    parts = [
        *([f"{_count(missing)} missing from the file (first: {missing[0]})"] if missing else []),
        *([f"{_count(unexpected)} in the file not part of the model (first: {unexpected[0]})"] if unexpected else []),
    ]
    hint = _hint(missing, unexpected)
    raise WeightsError(" and ".join(parts) + (f"; {hint}" if hint else ""))


def check_head(model: PreTrainedModel) -> None:
    """Refuse a head that is to be the embedding and is not: Transformers drops the tie without a word.

    Raises:
        WeightsError: saying what to set.
    """
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if model.config.tie_word_embeddings and head.weight is not embedding.weight:
        raise WeightsError(
            "the head (lm_head.weight) and the embedding differ in the file, but its config.json ties them; if the "
            'head is one of its own, set "tie_word_embeddings": false there'
        )


def _hint(missing: list[str], unexpected: list[str]) -> str:
    """What to do about names that do not fit, where it can be told from them."""
    if any(part in name for name in unexpected for part in (".lora_", ".base_layer.", ".modules_to_save.")):
        return f"they are those of an adapter that is not merged; {MERGING}"
    wanted = {*missing, *(name.partition(".")[2] for name in missing)}  # files may leave out the model's own prefix
    for prefix in dict.fromkeys(_prefixes(missing, unexpected)):
        stripped = {name.replace(prefix, "") for name in unexpected}
        if wanted & stripped:
            source = f" ({WRAPPERS[prefix]} puts it there)" if prefix in WRAPPERS else ""
            return (
                f"names in the file have {prefix!r} too much{source}: save it anew without, "
                f"as in {{name.replace({prefix!r}, ''): value for name, value in state_dict.items()}}"
            )
    if missing == ["lm_head.weight"] and not unexpected:
        return 'if the embedding is to be the head, set "tie_word_embeddings": true in its config.json'
    return ""


def _prefixes(missing: list[str], unexpected: list[str]) -> Iterable[str]:
    """Parts of names that may be too much: of known wrappers first, then whatever stands before a missing name."""
    yield from (part for part in WRAPPERS if any(part in name for name in unexpected))
    for name in unexpected[:1]:
        yield from (name.removesuffix(own) for own in missing if name.endswith(f".{own}"))


def _check_headers(model: PreTrainedModel, headers: Mapping[str, Header]) -> None:
    """Refuse weights that are integers in the file, or stand there twice under two names of which one would count."""
    prefix = f"{model.base_model_prefix}."
    for name, parameter in model.named_parameters():
        short = name.removeprefix(prefix)
        if name != short and {name, short} <= headers.keys():
            raise WeightsError(f"the file has {short} and {name}, which are the same weight of the model")
        header = headers.get(name) or headers.get(short)
        if header and parameter.is_floating_point() and not header.is_float:
            raise WeightsError(
                f"{name} holds integers or 8-bit numbers in the file: quantised weights? Accepted: fp32, fp16 or bf16"
            )


def _check_shapes(model_class: Any, folder: str | Path, headers: Mapping[str, Header]) -> None:
    """Name the weight whose shape is not the model's, after loading has failed for some reason."""
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        build = getattr(model_class, "from_config", model_class)
        with torch.device("meta"):
            model = build(config)
    except Exception:  # the failure that is being explained comes from the configuration itself
        return
    prefix, different = f"{model.base_model_prefix}.", []
    for name, value in model.state_dict().items():
        header = headers.get(name) or headers.get(name.removeprefix(prefix))
        if header and header.shape != tuple(value.shape):
            different.append(f"{name} is {header.shape} in the file and {tuple(value.shape)} by its config.json")
    if different:
        rest = f", and {len(different) - 1} more differ" if len(different) > 1 else ""
        raise WeightsError(f"{different[0]}{rest}")


def _check_finite(model: PreTrainedModel) -> None:
    """Refuse weights that are no finite numbers, and tell a sum that overflows from them."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter.detach().sum()) and not torch.isfinite(parameter.detach()).all():
            broken = int((~torch.isfinite(parameter.detach())).sum())
            raise WeightsError(f"{broken} of {parameter.numel()} values of {name} are NaN or infinite")


def _count(names: list[str]) -> str:
    return f"{len(names)} weight{'s are' if len(names) > 1 else ' is'}"


def _one_line(error: Exception) -> str:
    """The first line of a message, without what some libraries say of themselves."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
