"""Hashes of all that a sweep's results depend on: weights, tokenizer, data, prompts. The driver computes them once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.weight_files import CONFIG_FILE, weight_files
from sweep.data.digests import SourceDigest
from sweep.data.rendered_prompts import Prompt
from sweep.data.tokenizer import tokenizer_files
from sweep.provenance.code_version import CodeVersion
from sweep.schema.reward import RewardPart


@dataclass(frozen=True)
class Provenance:
    """What the results of a sweep's trials depend on. The same small value goes to every trial.

    Attributes:
        code: the code that the driver runs.
        hashes: the hash of each input by its name in record.json, see `input_hashes`.
        data_files: the SHA-256 of each source file by "role:name"; for a data set of the hub its commit.
    """

    code: CodeVersion
    hashes: Mapping[str, str]
    data_files: Mapping[str, str]


def input_hashes(
    base_model: str,
    tokenizer: str,
    token_files: Mapping[str, Path],
    prompts: Sequence[Prompt],
    reward: RewardPart,
    pinned: Mapping[str, str],
) -> dict[str, str]:
    """Hash the inputs that all trials of a sweep share.

    Args:
        base_model: the base model's folder.
        tokenizer: the tokenizer's folder.
        token_files: .npy files of tokens by their role: "train", "test", perhaps "validation" and "general".
        prompts: the evaluation prompts; empty where nothing judges.
        reward: how responses are sampled and judged, and the reward model's folder.
        pinned: NAME@COMMIT by folder, for the folders that come from the hub.

    Returns:
        Hashes by name: base_weights, tokenizer, train_tokens, test_tokens and so on, prompts (with template and
        sampling settings), and reward_model if there is one. A hash has 64 hexadecimal digits; a folder of the hub has
        NAME@COMMIT instead, which identifies its content as well.
    """
    sampling = reward.model_dump(mode="json", include={"template", "temperature", "top_k", "new_tokens", "seed"})
    if reward.judge is not None:
        sampling["judge"] = reward.judge.match
    return {
        "base_weights": pinned.get(base_model) or hash_model(base_model),
        "tokenizer": pinned.get(tokenizer) or hash_tokenizer(tokenizer),
        **{f"{role}_tokens": hash_file(path) for role, path in token_files.items()},
        "prompts": hash_values([asked(prompts, reward), sampling]),
        **({"reward_model": pinned.get(reward.model) or hash_model(reward.model)} if reward.model else {}),
    }


def asked(prompts: Sequence[Prompt], reward: RewardPart) -> list[object]:
    """What identifies prompts: their texts, which a plain template says all of; in a chat template, or with right
    answers, all that a prompt is."""
    if reward.template is not None and reward.judge is None:
        return [prompt.text for prompt in prompts]
    return [list(prompt) for prompt in prompts]


def name_sources(sources: Sequence[SourceDigest]) -> dict[str, str]:
    """The digest of each source by "role:name". A second source of the same name is called "role:name (2)"."""
    named: dict[str, str] = {}
    for source in sources:
        key = f"{source.role}:{source.name}"
        same = sum(name == key or name.startswith(f"{key} (") for name in named)
        named[f"{key} ({same + 1})" if same else key] = source.digest
    return named


def hash_model(name: str) -> str:
    """SHA-256 of a model's configuration and of the weight files that are loaded. `name` is the model's folder."""
    folder = Path(name)
    return _hash_files([folder / CONFIG_FILE, *weight_files(folder)])


def hash_tokenizer(name: str) -> str:
    """SHA-256 of a tokenizer's files. `name` is the tokenizer's folder."""
    return _hash_files(tokenizer_files(Path(name)))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes: 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_values(values: object) -> str:
    """SHA-256 of plain values as JSON with sorted keys: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _hash_files(paths: Sequence[Path]) -> str:
    """SHA-256 of the names and contents of files, whatever their order."""
    return hash_values([(path.name, hash_file(path)) for path in sorted(paths)])
