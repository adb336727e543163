"""The real commands in processes that need not import torch, Ray and the rest: forks of one that has imported them.

A command of ours takes 5 to 20 s of processor for its imports, which is most of what the tests would cost. Tests of
signals, of a terminal, of variables that libraries read when they are imported, and of what is imported start a
process with `subprocess` instead.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.forkserver import ensure_running
from pathlib import Path

from basis.packages import ROOT

LIMIT_SECONDS = 600
"""After which a command counts as hanging."""
READ_AT_IMPORT = ("HF_", "TRANSFORMERS_", "PYTHON", "RAY_", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "PYTORCH_", "MPL")
"""How variables begin whose values libraries read when they are imported."""

_imported_with = dict(os.environ)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.warm_command"])
ensure_running()  # now, with the variables of the tests themselves, and while the first tests run


def run_warm(
    words: Sequence[object], environment: Mapping[str, str], said: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m` with these words, as `subprocess.run` would, with imports done where that is the same.

    Args:
        words: a module of ours, and its arguments.
        environment: all its variables.
        said: on its standard input.

    Raises:
        subprocess.TimeoutExpired: it did not end.
    """
    changed = dict({*environment.items()} ^ {*_imported_with.items()})
    if any(name.startswith(READ_AT_IMPORT) for name in changed):  # too late for a process that has imported
        words = [sys.executable, "-m", *map(str, words)]
        return subprocess.run(
            words, input=said, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=LIMIT_SECONDS
        )
    from tests.warm_command import be_command  # which imports all: processes of the tests have most of it, too

    text = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        into, out, errors = streams = [Path(folder) / name for name in ("in", "out", "errors")]
        into.write_text(said, encoding="utf-8")
        process = _context.Process(target=be_command, args=(text, dict(environment), streams))
        process.start()
        process.join(LIMIT_SECONDS)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(text, LIMIT_SECONDS, out.read_bytes(), errors.read_bytes())
        answered, complained = (path.read_text(encoding="utf-8") for path in (out, errors))
    assert process.exitcode is not None
    return subprocess.CompletedProcess(text, process.exitcode, answered, complained)
