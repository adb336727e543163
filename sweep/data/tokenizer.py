"""A tokenizer's folder: which of its files tokens depend on, and the tokenizer that is loaded from it."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from basis.errors import UserError, first_line, said_by_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END_OF_TEXT = "<|endoftext|>"

_TOKENIZER_FILES = ("tokenizer*.json", "*vocab*", "merges.txt", "*tokens*.json", "*.model", "chat_template*")
"""Everything in a tokenizer's folder that tokens depend on; other files (weights, README) don't touch the cache."""


def load_tokenizer(folder: Path | str, name: str | None = None) -> "PreTrainedTokenizerBase":
    """Load any Hugging Face tokenizer that has an end-of-text token.

    Args:
        folder: a folder with tokenizer files. Without tokenizer_config.json, tokenizer.json is loaded as it stands, or
            vocab.json and merges.txt as GPT-2's.
        name: what the user calls it, for messages; None: by its folder.

    Returns:
        The tokenizer; its `eos_token_id` is not None. Where its files name no end-of-text token, "<|endoftext|>" is
        taken if the vocabulary has it.

    Raises:
        UserError: no such folder, no tokenizer in it, no end-of-text token.
    """
    import transformers

    tokenizer: PreTrainedTokenizerBase
    try:
        files = {path.name: str(path) for path in _checked_files(folder, name)}
        if "tokenizer_config.json" not in files and "tokenizer.json" in files:
            tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=files["tokenizer.json"])
        elif "tokenizer_config.json" not in files and files.keys() >= {"vocab.json", "merges.txt"}:
            tokenizer = transformers.GPT2Tokenizer.from_pretrained(str(folder))
        else:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except UserError:
        raise
    except Exception as error:  # a broken file raises whatever its parser raises
        said = said_by_transformers(error)
        why = f"{said} (its files are damaged or incomplete)" if said == first_line(error) else said
        raise UserError(f"tokenizer {name or str(folder)!r} can't be loaded: {why}") from error
    if tokenizer.eos_token_id is None and END_OF_TEXT in tokenizer.get_vocab():
        tokenizer.eos_token = END_OF_TEXT
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"tokenizer {name or str(folder)!r} has no end-of-text token; set eos_token in its tokenizer_config.json"
        )
    return tokenizer


def begin_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """What a tokenizer puts before every text by itself: Llama's or Gemma's begin token, of GPT-2's nothing."""
    ids: list[int] = tokenizer("")["input_ids"]
    return [token for token in ids if token == tokenizer.bos_token_id != tokenizer.eos_token_id][:1]


def _checked_files(folder: Path | str, name: str | None = None) -> list[Path]:
    """The files of a tokenizer's folder, of which there is one at least."""
    if not Path(folder).is_dir():
        raise UserError(f"tokenizer {name or str(folder)!r}: no such folder")
    files = tokenizer_files(Path(folder))
    if not files:
        raise UserError(
            f"tokenizer {name or str(folder)!r}: no tokenizer files; tokenizer.json, or vocab.json and merges.txt, "
            "are needed"
        )
    return files


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a tokenizer's folder that tokens depend on, sorted."""
    return sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()})


def tokenizer_digests(folder: Path | str) -> list[tuple[str, str]]:
    """Name and SHA-256 of each file of a tokenizer's folder that tokens depend on.

    Raises:
        UserError: no such folder, or no such file in it.
    """
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in _checked_files(folder)]


def template_digests(folder: Path | str) -> list[tuple[str, str]]:
    """Name and SHA-256 of the chat templates in a tokenizer's folder that are files of their own.

    Tokens of texts do not depend on them, so they are no part of `tokenizer_digests`. A template may also stand in
    tokenizer_config.json, which is.
    """
    paths = sorted(Path(folder).rglob("*.jinja"))
    return [(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]
