"""Runs on the cluster's head as the entrypoint of a submitted sweep: begins it in OUTPUT, or goes on with it.

`python -m sweep.submission.begin OUTPUT [LIMITS]` in the folder of a package. It puts what was sent along into the
experiment directory, where every node and every later resume finds it, and becomes `sweep.run ... --or-resume`.
"""

import os
import shutil
import sys
from pathlib import Path

from basis.cache import CACHE_VARIABLE
from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.files import write_text
from basis.stored.address import is_address
from sweep.submission.output import begun_spec, bring_inputs, has_begun, inputs_folder, keep_inputs
from sweep.submission.variables import take_variables

SENT_FOLDER = "sent"
"""In a package: what goes along with the spec."""
CACHE = "sft-sweep-cache"
"""Beside the experiment directory, which all nodes share: what sweeps share."""
OF_THIS_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""By this variable every worker of a sweep would get a copy of the package, with all that was sent along."""


def set_cache(output: str) -> None:
    """Have our cache where all nodes see it, unless the cluster or `--env` says where it is.

    Nodes that keep results in object storage have caches of their own.
    """
    if not is_address(output):
        os.environ.setdefault(CACHE_VARIABLE, str(Path(output).parent / CACHE))


def place_sent(package: Path, output: str) -> None:
    """Put what was sent along into an experiment directory. What lies there already is the same, as its name says.

    Raises:
        UserError: a sweep has begun there, with other files.
    """
    sent = package / SENT_FOLDER
    for path in sorted(sent.glob("*/*")):
        place = inputs_folder(output) / path.relative_to(sent)
        if place.exists():
            continue
        if has_begun(output):
            raise UserError(f"--output {output}: holds another sweep: {path.name} is not what it was begun with")
        place.parent.parent.mkdir(parents=True, exist_ok=True)
        whole = place.parent.with_name(f"{place.parent.name}.{os.getpid()}")
        shutil.copytree(path.parent, whole)
        try:
            whole.rename(place.parent)  # at once: another start may be doing the same
        except OSError:
            shutil.rmtree(whole)


def spec_of(package: Path, output: str) -> Path:
    """The spec that the driver is given: the package's, or without one that of the sweep that has begun.

    A sweep begins by a copy in its experiment directory, so that the command which it records can be given again.
    """
    sent = package / SPEC_FILE
    if not sent.is_file():
        return begun_spec(output)
    if has_begun(output):
        return sent
    kept = inputs_folder(output) / SPEC_FILE
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_text(kept, sent.read_text(encoding="utf-8"))
    return kept


def main(output: str, limits: list[str]) -> None:
    """Become the sweep's driver; `limits` are flags for it."""
    package = Path.cwd()
    take_variables(package)
    try:
        bring_inputs(output)
        place_sent(package, output)
        spec = spec_of(package, output)
        keep_inputs(output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    shutil.rmtree(package / SENT_FOLDER, ignore_errors=True)  # Ray keeps the package for as long as it runs
    set_cache(output)
    os.environ.pop(OF_THIS_JOB, None)
    words = [str(spec), "--output", output, "--or-resume", *limits]
    os.execv(sys.executable, [sys.executable, "-m", "sweep.run", *words, "--address", "auto"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
