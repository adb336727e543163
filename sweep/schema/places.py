"""Where a name in a spec leads: to a path, or to the Hugging Face hub.

A relative path leads from the file that names it, or else from the working directory. A name without the marks of a
path is one on the hub.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import AfterValidator, ValidationInfo

from basis.errors import UserError
from sweep.schema.hub_names import model_name

PRESETS = Path(__file__).parent.parent / "presets"
"""Specs that ship, and the prompts of the published study."""

DEMO = "demo"
"""Stands for the demo's own, wherever a model, a reward model, data or prompts are named."""

DEMO_CHAT = "demo-chat"
"""Stands for the same as messages, and for a Llama with a chat template; its reward model is the demo's."""

MADE_HERE = (DEMO, DEMO_CHAT)
"""Names of data and models that are made on the spot."""

STUDY = "study"
"""Stands for the 166 evaluation prompts of the published study (presets/prompts.csv)."""

TEST = "test"
"""Stands for the first turns of the test set's own conversations, where prompts are named."""

Beside = dict[str, list[Path]]
"""By a relative path that leads nowhere from the files that name it: the folders of these files, for messages."""


def beside_of(name: str, info: ValidationInfo) -> Sequence[Path]:
    """The folders of the spec files that give a name; none for a spec that was kept, whose paths are absolute.

    Args:
        name: as the spec has it.
        info: of a validator of the field; its context is a `Beside`, or None for a spec that was kept.
    """
    beside: Beside = info.context or {}
    return beside.get(name, ())


def checked(check: Callable[[str, ValidationInfo], str]) -> AfterValidator:
    """A validator that replaces a name by what `check` returns for it.

    Args:
        check: may raise UserError, which becomes a ValueError: pydantic gathers those.
    """

    def validate(value: str, info: ValidationInfo) -> str:
        try:
            return check(value, info)
        except UserError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(validate)


def expand(text: str) -> Path:
    """The path with `~` replaced by the home directory.

    Raises:
        UserError: there is no such user, or no home directory.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        home = text.partition("/")[0]
        raise UserError(f"{text}: there is no home directory {home!r}; write the whole path") from None


def looked_from(text: str, beside: Sequence[Path]) -> str:
    """The directories from which a relative path was looked for, in words for messages; "" for an absolute path."""
    if expand(text).is_absolute():
        return ""
    folders = dict.fromkeys([*map(str, beside), os.getcwd()])
    return f" (looked from {' and '.join(folders)})"


def model_place(name: str, beside: Sequence[Path], *, ambiguous: bool) -> str:
    """The folder or the hub name that a model's, tokenizer's or reward model's name stands for.

    A name such as gpt2 or owner/name is one on the hub. A name that begins with ".", "/" or "~", or is deeper than
    owner/name, is the path of a folder.

    Args:
        name: as the spec has it.
        beside: folders of the spec files that name it, where it was not found; for messages.
        ambiguous: whether "owner/name" may also mean a folder: it is refused where such a folder lies.

    Returns:
        The absolute path of a folder, or the hub name.

    Raises:
        UserError: no such folder, or both may be meant.
    """
    if model_name(name) is None:
        folder = expand(name)
        if not os.path.isdir(folder):
            raise UserError(
                f"{name!r}: no such folder{looked_from(name, beside)}; "
                "accepted: 'demo', a model's folder, or a name on the hub"
            )
        return str(folder.resolve())
    if ambiguous and "/" in name:
        for folder in (*beside, Path.cwd()):
            if os.path.isdir(folder / name):
                raise UserError(
                    f"{name!r}: could be the folder {folder / name} or a model on the hub; write ./{name} for the "
                    "folder, and give the folder another name where the hub's is meant"
                )
    return name


def folder_hint(name: str) -> str:
    """An addition to "no such model": how to name the folder of that name that lies here; "" if none does."""
    return f"; for the folder {name} here write ./{name}" if model_name(name) and os.path.isdir(name) else ""
