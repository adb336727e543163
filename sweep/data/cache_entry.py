"""One entry of the token cache: a folder of tokens, what is told of them, and seals by which damage shows."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from basis.checksums import folder_flaw, seal_folder, set_aside
from basis.disks import disk_error, disk_failure
from basis.errors import UserError
from basis.files import publish_folder
from basis.read_json import DamagedError
from sweep.data.encode import Encoder
from sweep.data.template import ChatTemplate
from sweep.data.token_files import ENDS, beside, write_examples
from sweep.machine.workshop import workshop

if TYPE_CHECKING:
    from sweep.data.examples import Example

_STATISTICS = "statistics.json"


def whole_entry(entry: Path, side: str, say: Callable[[str], None]) -> dict[str, Any] | None:
    """What is told of an entry's tokens, see `write_entry`; None if there is none. A damaged one is set aside.

    Args:
        entry: its folder.
        side: the name of one of its sets.
        say: told of damage.

    Raises:
        UserError: it can't be read.
    """
    try:
        return _read_entry(entry, side)
    except DamagedError as damage:
        say(f"{entry}: {damage}{set_aside(entry)}; made again")
        return None


def write_entry(
    entry: Path, sets: Mapping[str, Sequence["Example"]], template: ChatTemplate, statistics: Mapping[str, int]
) -> dict[str, Any]:
    """Write an entry; if another process was faster, its entry is used and this one dropped.

    Args:
        entry: its folder.
        sets: examples of one kind by the name of their set. On all but "train" losses are taken.
        template: the template of examples that are no texts, with the tokenizer.
        statistics: what is told of the examples.

    Returns:
        NAME_tokens of each set, `kind`, `template` (empty of texts) and `statistics`.

    Raises:
        UserError: an example that can't be rendered, or a cache that can't be written.
    """
    kind = next(iter(sets.values()))[0].kind
    tokenizer = template.tokenizer
    encoder = Encoder(tokenizer, template)
    dtype = np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32)
    try:
        with workshop(entry.parent) as place:
            unfinished = place / entry.name
            unfinished.mkdir()
            counts = {
                name: write_examples(unfinished / f"{name}.npy", examples, encoder, dtype, held_out=name != "train")
                for name, examples in sets.items()
            }
            content = {
                **{f"{name}_tokens": count for name, count in counts.items()},
                "kind": kind,
                "template": "" if kind == "text" else template.name,
                "statistics": statistics,
            }
            (unfinished / _STATISTICS).write_text(json.dumps(content, indent=2) + "\n")
            seal_folder(unfinished)
            publish_folder(unfinished, entry)
        written = _read_entry(entry, next(iter(sets)))
    except OSError as error:
        number = disk_failure(error)
        why = disk_error(entry, number).strerror if number else f"can't be written ({error.strerror})"
        raise UserError(f"{entry.parent}: the token cache {why}") from error
    if written is None:  # of another process, which was faster
        raise UserError(f"{entry}: another process has just written it, and it is damaged; start again")
    return written


def _read_entry(entry: Path, side: str) -> dict[str, Any] | None:
    if not entry.exists():
        return None
    try:
        if flaw := folder_flaw(entry):
            raise DamagedError(flaw)
        if not beside(entry / f"{side}.npy", ENDS).exists():
            raise DamagedError("an earlier version made it, without the ends and bytes of its examples")
        content: dict[str, Any] = json.loads((entry / _STATISTICS).read_bytes())
    except OSError as error:
        raise UserError(f"{entry}: can't be read ({error.strerror})") from None
    return content
