"""Asks this machine's GPUs what they are, in a process of its own: the one that asks holds no CUDA context."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from basis.errors import UserError
from basis.packages import ROOT
from sweep.machine.gpu_facts import GpuFacts, MachineGpus, machine_gpus

GPU_FOLDERS = (Path("/proc/driver/nvidia/gpus"), Path("/sys/class/kfd"), Path("/dev/dxg"), Path("/dev/nvidiactl"))
"""What Linux has if there is a GPU that torch can use."""

SAY_SECONDS = 10
"""After how long a user is told what is waited for. torch from a cold disk needs minutes."""

BEFORE = "import sys; sys.path.insert(0, sys.argv[1]); "
"""How a script finds our code first."""
ANSWER = "ANSWER "


def may_have_gpu() -> bool:
    """Whether the system knows of a GPU that torch can use."""
    return any(map(Path.exists, GPU_FOLDERS)) or (not Path("/proc").is_dir() and sys.platform != "darwin")


def ask_gpus(say: Callable[[str], None]) -> MachineGpus:
    """What torch says of the GPUs of this machine, however long it takes to load. Nothing is asked where none can be.

    Args:
        say: told what is waited for.

    Raises:
        UserError: torch can't be loaded.
    """
    if not may_have_gpu():
        return MachineGpus()
    script = "from sweep.machine.ask_gpus import tell_gpus; tell_gpus()"
    return from_mapping(answer_of(script, [], "GPUs of this machine", say))


def answer_of(script: str, arguments: Sequence[str], asked: str, say: Callable[[str], None]) -> Any:
    """What a script of ours answers in a process of its own, however long it takes to load torch.

    Args:
        script: Python that prints ANSWER and JSON.
        arguments: its `sys.argv[2:]`.
        asked: what it asks, for messages.
        say: told what is waited for.

    Raises:
        UserError: it ended without an answer.
    """
    command = [sys.executable, "-P", "-c", BEFORE + script, str(ROOT), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        try:
            try:
                out, errors = asking.communicate(timeout=SAY_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"torch is being loaded, to ask the {asked} what they can do")
                out, errors = asking.communicate()
        except BaseException:
            asking.kill()
            raise
    answers = [line for line in out.splitlines() if line.startswith(ANSWER)]
    if not answers:
        words = errors.strip().splitlines() or [f"exit code {asking.returncode}"]
        raise UserError(f"the {asked} can't be asked: {words[-1]}")
    return json.loads(answers[-1].removeprefix(ANSWER))


def tell_gpus() -> None:
    """Print what torch says of this machine's GPUs, for the process that asks."""
    print(ANSWER + json.dumps(asdict(machine_gpus())), flush=True)


def from_mapping(told: Mapping[str, Any]) -> MachineGpus:
    """What `dataclasses.asdict` and JSON made of a MachineGpus."""
    gpus = tuple(GpuFacts(**{**gpu, "capability": tuple(gpu["capability"])}) for gpu in told["gpus"])
    return MachineGpus(gpus, told["torch"], tuple(told["architectures"]), told["failure"], told["unusable"])
