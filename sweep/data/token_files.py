"""The files that one side of an SFT set lies in as tokens, for whoever writes them and whoever reads them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from basis.errors import UserError
from basis.progress_line import progress_line
from sweep.data.npy_stream import NpyStream
from sweep.data.windows import Tokens, open_tokens

if TYPE_CHECKING:
    from sweep.data.encode import Encoder
    from sweep.data.examples import Example

ENDS, ROLES, BYTES = "ends", "roles", "bytes"


@dataclass(frozen=True)
class ExampleTokens:
    """One side of an SFT set, mapped into memory, read-only; every process on a machine shares the same pages.

    Attributes:
        tokens: (tokens,) of all examples in a row; uint16 or uint32.
        ends: (examples,) where each example ends; of tokens without that, the end of all.
        roles: (tokens,) the bits of `sweep.data.encode`; None: the examples are texts.
        bytes: (tokens,) bytes of text that each token stands for; None of train.
    """

    tokens: Tokens
    ends: npt.NDArray[np.int64]
    roles: npt.NDArray[np.uint8] | None
    bytes: npt.NDArray[np.uint32] | None


def beside(tokens_path: Path, what: str) -> Path:
    """The file with ends, roles or bytes of the tokens in a file."""
    return tokens_path.with_name(f"{tokens_path.stem}_{what}.npy")


def open_examples(tokens_path: Path) -> ExampleTokens:
    """Map the files of one side of an SFT set into memory."""
    tokens = open_tokens(tokens_path)
    ends, roles, counted = (_mapped(beside(tokens_path, what)) for what in (ENDS, ROLES, BYTES))
    return ExampleTokens(tokens, np.array([len(tokens)]) if ends is None else ends, roles, counted)


def _mapped(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None


def write_examples(
    tokens_path: Path, examples: Sequence["Example"], encoder: "Encoder", dtype: npt.DTypeLike, *, held_out: bool
) -> int:
    """Write the files of one side of an SFT set.

    Args:
        tokens_path: NAME.npy; the others lie beside it.
        examples: all of one kind.
        encoder: makes tokens of them.
        dtype: of the tokens.
        held_out: whether losses are taken on them, and bytes counted for it.

    Returns:
        How many tokens there are.

    Raises:
        UserError: an example that can't be rendered, by its number.
    """
    is_text = examples[0].kind == "text"
    with ExitStack() as files:
        tokens = files.enter_context(NpyStream(tokens_path, dtype))
        ends = files.enter_context(NpyStream(beside(tokens_path, ENDS), np.int64))
        roles = None if is_text else files.enter_context(NpyStream(beside(tokens_path, ROLES), np.uint8))
        counted = files.enter_context(NpyStream(beside(tokens_path, BYTES), np.uint32)) if held_out else None
        told = files.enter_context(progress_line(examples, f"tokenising {tokens_path.stem}", len(examples)))
        for number, example in enumerate(told, 1):
            if is_text and not held_out:
                tokens.append(encoder.text_ids(example.text))
            else:
                try:
                    encoded = encoder.encode(example)
                except UserError as error:
                    raise UserError(f"{tokens_path.stem} {example.kind[:-1]} {number}: {error}") from error
                tokens.append(encoded.ids)
                if roles:
                    roles.append(encoded.roles)
                if counted:
                    counted.append(encoded.bytes)
            ends.append([tokens.count])
    return tokens.count
