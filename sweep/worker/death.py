"""Why a trial's worker died, in one line. Ray has one text of seven hundred letters for every cause."""

import faulthandler
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from basis.directory import WORKER_FILE
from basis.outcomes import OUT_OF_MEMORY_ERROR

CRASHES = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
"""The signals that faulthandler hears of, by what it calls them."""

_OF_MEMORY = re.compile(r"running low on memory|memory usage threshold|OUT_OF_MEMORY")
OF_RAY = ("The actor", "The worker", "The node", "Task was killed")
"""How Ray's text of a death begins; the text of a Python error begins otherwise."""
ENDED = "ended: "


@dataclass(frozen=True)
class Worker:
    """The process that a trial runs in."""

    pid: int
    node_ip: str
    node_id: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The process that runs the trial of this directory, by its own note; None without a note."""
        return cls.parse(_read(folder / WORKER_FILE))

    @classmethod
    def parse(cls, trace: str) -> Self | None:
        """The process that a note begins with; None where it names no process."""
        try:
            noted = json.loads(trace.partition("\n")[0])
            return cls(int(noted["pid"]), str(noted["node_ip"]), bytes.fromhex(noted["node_id"]).hex())
        except (ValueError, RecursionError, TypeError, LookupError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.node_ip}"


@contextmanager
def worker_noted(folder: Path, worker: Worker) -> Iterator[None]:
    """Within the block the trial's directory says which process runs it; a crash adds its trace.

    SIGKILL alone ends a process without a trace.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WORKER_FILE
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(worker)) + "\n")
        file.flush()
        faulthandler.enable(file, all_threads=False)
        try:
            yield
        finally:
            faulthandler.disable()
    path.unlink(missing_ok=True)


def note_end(folder: Path, why: str) -> None:
    """Note why we are about to end the trial's process."""
    with (folder / WORKER_FILE).open("a", encoding="utf-8") as file:
        file.write(f"{ENDED}{why}\n")


def note_death(error_file: Path, folder: Path, kernel_killed: bool) -> str | None:
    """Find out why a trial's worker died, and write the cause below what Ray says of it.

    Args:
        error_file: what Ray noted of the trial's failures.
        folder: the trial's directory.
        kernel_killed: whether the kernel has ended a process for memory meanwhile.

    Returns:
        The cause, as type and message in one line; None if the trial's last failure was no worker's death.
    """
    text = error_file.read_text(encoding="utf-8", errors="replace").split("Failure # ")[-1]
    trace = _read(folder / WORKER_FILE)
    cause = cause_of_death(text, trace, kernel_killed)
    if cause is not None:
        left = trace.partition("\n")[2]  # which the next try would replace
        with suppress(OSError), error_file.open("a", encoding="utf-8") as file:
            file.write(f"{left}{cause}\n")
    return cause


def cause_of_death(text: str, trace: str, kernel_killed: bool) -> str | None:
    """The cause in one line; see `note_death`.

    Args:
        text: what Ray says.
        trace: what the trial's directory has of its worker.
        kernel_killed: see `note_death`.
    """
    says = text.partition("\n")[2].lstrip()  # below when it failed
    if not says.startswith(OF_RAY) or "raised in its creation task" in says:
        return None
    if _OF_MEMORY.search(text):
        return f"{OUT_OF_MEMORY_ERROR}: {_who(text)} was ended by Ray, since its node ran low on memory"
    if "node has died" in text:
        return f"NodeDiedError: {node_of(text)} has died"
    who, worker = _who(text), Worker.parse(trace)
    if "is unavailable" in text and worker and ENDED not in trace:  # so says Ray first where a node is gone
        return f"UnreachableError: node {worker.node_id[:8]} at {worker.node_ip} can't be reached any more"
    if ENDED in trace:
        return f"WorkerDiedError: {who} was ended: {trace.rpartition(ENDED)[2].strip()}"
    if crash := next((name for words, name in CRASHES.items() if f"Fatal Python error: {words}" in trace), None):
        return f"WorkerDiedError: {who} was ended by {crash}; its trace is in error.txt"
    if "SIGTERM" in text:
        return f"WorkerDiedError: {who} was ended by SIGTERM"
    if code := re.search(r"exits with an exit code (\d+)", text):
        return f"WorkerDiedError: {who} ended with exit code {code[1]}"
    if kernel_killed:
        return f"{OUT_OF_MEMORY_ERROR}: {who} was ended by SIGKILL of the kernel, since memory ran out"
    if "End of file" in text:
        return f"WorkerDiedError: {who} was ended by SIGKILL, since it left no trace"
    return f"WorkerDiedError: {who} died"


def node_of(text: str) -> str:
    """The node that a text of Ray speaks of, such as "node 0a1b2c3d at 10.0.0.2"."""
    node_id = re.search(r"[Nn]ode [Ii][Dd]: ([0-9a-f]{8})", text)
    address = re.search(r"(?:^\s*ip|[Ii][Pp] address|IP): ?([0-9a-fA-F.:]+[0-9a-fA-F])", text, re.MULTILINE)
    return " ".join(["node", *([node_id[1]] if node_id else []), *([f"at {address[1]}"] if address else [])])


def _who(text: str) -> str:
    pid = re.search(r"^\s*pid: (\d+)", text, re.MULTILINE)
    ip = re.search(r"^\s*ip: (\S+)", text, re.MULTILINE)
    return f"process {pid[1]} on {ip[1] if ip else socket.gethostname()}" if pid else "its process"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class KernelKills:
    """Counts the processes that the kernel ends because memory ran out, on this machine or in our container."""

    def __init__(self) -> None:
        """Count from now on."""
        self._seen = _kernel_kills()

    def rose(self) -> bool:
        """Whether the kernel has ended one since the last call."""
        before, self._seen = self._seen, _kernel_kills()
        return self._seen > before


def _kernel_kills() -> int:
    """The kernel's count for our control group, or for the machine where the group has none."""
    try:
        group = Path("/proc/self/cgroup").read_text(encoding="utf-8").partition("0::/")[2].partition("\n")[0]
    except OSError:
        group = ""
    for path in (Path("/sys/fs/cgroup", group, "memory.events"), Path("/proc/vmstat")):
        try:
            counts = dict(line.split() for line in path.read_text(encoding="utf-8").splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0
