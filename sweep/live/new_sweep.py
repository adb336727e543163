"""Starts a sweep from a spec that a page sends: checked as one that is typed, tried by a dry run, and started."""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from basis.errors import UserError
from basis.files import write_text
from sweep.machine.environment import with_our_code
from sweep.machine.output_folders import check_writable, folder_name
from sweep.schema.tracking import notify_variable
from sweep.spec_file.load import load_plan

SPEC_NAME = "spec.yaml"
"""What messages call the spec."""
DRY_RUN_SECONDS = 600.0


@dataclass(frozen=True)
class Told:
    """What came of a request: whether it was done, what there is to say, and where to go on."""

    ok: bool
    text: str
    link: str = ""


def check(text: str) -> Told:
    """Whether a spec is valid, with the messages that the command line has for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SPEC_NAME
        try:
            path.write_text(text, encoding="utf-8")
            plan = load_plan(str(path))
        except UserError as error:
            return Told(False, _without(folder, str(error)))
    if plan.spec.notify is not None and notify_variable(plan.spec.notify) is None:
        return Told(False, "notify: a spec that a page sends is kept in a file, and a URL is not; accepted: $NAME")
    trials = len(plan.candidates)
    return Told(True, f"The spec is valid: {plan.spec.name}, {trials} trial{'' if trials == 1 else 's'} to begin with.")


async def dry_run(text: str) -> Told:
    """What `--dry-run` prints of a spec: its trials and the memory they are predicted to take."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SPEC_NAME
        path.write_text(text, encoding="utf-8")
        words = ("-m", "sweep.run", str(path), "--dry-run")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**with_our_code(), "COLUMNS": "120"},
        )
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), DRY_RUN_SECONDS)
        except TimeoutError:
            return Told(False, f"The dry run took longer than {DRY_RUN_SECONDS:.0f} s and was ended.")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        said = _without(folder, printed.decode("utf-8", "replace").strip())
    return Told(process.returncode == 0, said)


def start(text: str, folder: Path) -> Told:
    """Start a sweep whose experiment directory lies in a folder; it goes on when the server ends.

    Args:
        text: the spec.
        folder: of experiments.
    """
    checked = check(text)
    if not checked.ok:
        return checked
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / SPEC_NAME
        path.write_text(text, encoding="utf-8")
        name = folder_name(load_plan(str(path)).spec.name)
    try:
        check_writable("the folder", folder)
        chosen = _free_name(folder, name)
        spec, log = folder / f"{chosen}.yaml", folder / f"{chosen}.log"
        with log.open("xb") as printed:  # first, so that of two that start at once one gets the name
            write_text(spec, text)
            words = [sys.executable, "-m", "sweep.run", str(spec), "--output", str(folder / chosen)]
            # not by asyncio, which would kill it along with the server
            subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env=with_our_code(),
                start_new_session=True,
            )
    except (UserError, OSError) as error:
        return Told(False, str(error))
    return Told(
        True, f"Started {chosen}. What it prints goes to {log.name} in the folder of experiments.", f"/e/{chosen}"
    )


def _free_name(folder: Path, name: str) -> str:
    """The name, or with a number, such that no experiment of the folder has it, nor has begun to."""
    names = (f"{name}-{number}" if number > 1 else name for number in count(1))
    return next(
        free for free in names if not any((folder / f"{free}{suffix}").exists() for suffix in ("", ".yaml", ".log"))
    )


def _without(folder: str, said: str) -> str:
    """What is said of a spec that lay in a folder of the moment."""
    return said.replace(f"{folder}/", "").replace(f"{folder} and ", "").replace(folder, "its folder")
