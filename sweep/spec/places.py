"""Where a name in a spec lies: a path is relative to the file that names it or else to the working directory, and a
name without a path's marks is one on the Hugging Face hub."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import AfterValidator, ValidationInfo

from basis.errors import UserError
from sweep.spec.hub_names import model_name

PRESETS = Path(__file__).parent.parent / "presets"
"""Specs that ship, and the prompts of the published study."""

DEMO = "demo"
"""Stands for the embedded default wherever a model, data or prompts are named."""

STUDY = "study"
"""Stands for the 166 evaluation prompts of the published study (presets/prompts.csv)."""

Beside = dict[str, list[Path]]
"""By the text of a path that was found beside no spec file: the folders of the files that name it, for messages."""


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
    """For messages: the directories that a relative path was looked for from; "" for an absolute one."""
    if expand(text).is_absolute():
        return ""
    folders = dict.fromkeys([*map(str, beside), os.getcwd()])
    return f" (looked from {' and '.join(folders)})"


def model_place(name: str, beside: Sequence[Path], *, ambiguous: bool) -> str:
    """What a model's, tokenizer's or reward model's name stands for.

    A name such as gpt2 or owner/name is one on the hub; what begins with ".", "/" or "~", or goes deeper than
    owner/name, is a folder's path.

    Args:
        name: as the spec has it.
        beside: folders of the spec files that name it, tried already; for messages.
        ambiguous: whether to refuse "owner/name" where a folder lies there, which may be meant.

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
    """What to add where the hub has no such model: that a folder of its name is here; "" where there is none."""
    return f"; for the folder {name} here write ./{name}" if model_name(name) and os.path.isdir(name) else ""
