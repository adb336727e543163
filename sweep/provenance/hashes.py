"""What a sweep's results follow from, as hashes: weights, tokenizer, data, prompts. The driver computes them once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.weight_files import CONFIG_FILE, weight_files
from sweep.data.digests import SourceDigest
from sweep.data.tokenizer import tokenizer_files
from sweep.provenance.code_version import CodeVersion
from sweep.spec.schema import RewardPart


@dataclass(frozen=True)
class Provenance:
    """Where the results of a sweep's trials come from: small, and the same for all of them.

    Attributes:
        code: the code that the driver runs.
        hashes: hash of each input by its name in record.json, see `input_hashes`.
        data_files: SHA-256 of each source file by "role:name"; of hub data its commit.
    """

    code: CodeVersion
    hashes: Mapping[str, str]
    data_files: Mapping[str, str]


def input_hashes(
    base_model: str,
    tokenizer: str,
    token_files: Mapping[str, Path],
    prompts: Sequence[str],
    reward: RewardPart,
    pinned: Mapping[str, str],
) -> dict[str, str]:
    """The hashes of what a sweep's trials share.

    Args:
        base_model: the model's folder.
        tokenizer: likewise.
        pinned: name@commit of each folder that comes from the hub, by the folder.
        token_files: .npy files of tokens by what they serve: "train", "test".
        prompts: the evaluation prompts; none without a reward model.
        reward: how responses are made, and the reward model's folder.

    Returns:
        base_weights, tokenizer, train_tokens and so on for each of `token_files`, prompts (the texts with template and
        sampling settings) and, if there is one, reward_model: 64 hexadecimal digits each; name@commit for what comes
        from the hub, whose commit says it all.
    """
    sampling = reward.model_dump(mode="json", include={"template", "temperature", "top_k", "new_tokens", "seed"})
    return {
        "base_weights": pinned.get(base_model) or hash_model(base_model),
        "tokenizer": pinned.get(tokenizer) or hash_tokenizer(tokenizer),
        **{f"{role}_tokens": hash_file(path) for role, path in token_files.items()},
        "prompts": hash_values([list(prompts), sampling]),
        **({"reward_model": pinned.get(reward.model) or hash_model(reward.model)} if reward.model else {}),
    }


def name_sources(sources: Sequence[SourceDigest]) -> dict[str, str]:
    """The digest of each source by "role:name"; a second file of the same name is called "name (2)"."""
    named: dict[str, str] = {}
    for source in sources:
        key = f"{source.role}:{source.name}"
        same = sum(name == key or name.startswith(f"{key} (") for name in named)
        named[f"{key} ({same + 1})" if same else key] = source.digest
    return named


def hash_model(name: str) -> str:
    """Of the content of a model's folder: its configuration and the weights that are loaded."""
    folder = Path(name)
    return _hash_files([folder / CONFIG_FILE, *weight_files(folder)])


def hash_tokenizer(name: str) -> str:
    """Of the content of a tokenizer's files in its folder."""
    return _hash_files(tokenizer_files(Path(name)))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes: 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_values(values: object) -> str:
    """SHA-256 of plain values as JSON with sorted keys: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _hash_files(paths: Sequence[Path]) -> str:
    return hash_values([(path.name, hash_file(path)) for path in sorted(paths)])
