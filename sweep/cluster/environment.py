"""Ray's switches. Ray reads them from the environment when it is imported, so set them before."""

import os
import tempfile
from pathlib import Path

from basis.errors import UserError
from sweep.machine.allocator import ALLOCATOR_NAMES, set_allocator
from sweep.schema.resources import MOST_AUTO_CPUS

FIXED = {
    "RAY_AIR_NEW_OUTPUT": "0",  # else Ray Tune prints tables of its own and not our live table
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # else a trial would look for relative paths in its own folder
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # else a row without a reward yet would end the sweep
}
"""What our code depends on, whatever the user's environment says."""
QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Keeps Ray's warnings out of the output, unless the user's environment says otherwise."""
COMPILE_THREADS = "TORCHINDUCTOR_COMPILE_THREADS"
"""How many processes compile for one process of torch.compile. torch itself starts one per CPU, 32 at most."""
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only switch that keeps Ray on loopback; it also bars other nodes
    "RAY_memory_monitor_refresh_ms": "0",  # Ray's own out-of-memory kill would end the whole sweep
    "RAY_USAGE_STATS_ENABLED": "0",
}
OF_ANOTHER_RAY = (
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
    "RAY_CLIENT_MODE",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    "RAY_NAMESPACE",
    "RAY_OVERRIDE_RESOURCES",
    "RAY_REDIS_ADDRESS",
    "RAY_RUNTIME_ENV",
    "RAY_RUNTIME_ENV_HOOK",
)
"""Variables that say where another Ray is, or how it runs a job. A Ray of our own would obey some of them."""

TMPDIR = "RAY_TMPDIR"
LONGEST_SOCKET = 107
"""Most bytes of a socket's path under Linux (`sun_path` in unix(7))."""
SOCKET = "sft-12345678/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"


def set_ray_environment(address: str | None, cpus: float = MOST_AUTO_CPUS) -> list[str]:
    """Set the variables of Ray and of torch in its workers. A Ray of our own also stays on this machine's loopback.

    What the user has set stays, but for what our code depends on.

    Args:
        address: of the cluster to attach to; None: a Ray of our own will start.
        cpus: of one trial, which compiles with no more.

    Returns:
        Lines to tell the user: variables that are ignored, and a folder that is not the usual one.

    Raises:
        UserError: a Ray of our own has no folder for its files.
    """
    os.environ.update(FIXED if address else FIXED | LOCAL)
    set_allocator()
    for name, value in {**QUIET, COMPILE_THREADS: str(max(1, int(cpus)))}.items():
        os.environ.setdefault(name, value)
    if address:
        return []
    remarks = []
    ignored = [name for name in OF_ANOTHER_RAY if os.environ.pop(name, "") not in ("", "0")]  # Ray itself sets zeros
    if ignored:
        attach = "; --address auto attaches to the Ray that runs here" if "RAY_ADDRESS" in ignored else ""
        remarks.append(f"ignored by a Ray of our own: {', '.join(ignored)}{attach}")
    return [*remarks, *_set_folder()]


def sent_along() -> dict[str, str]:
    """The variables that a cluster's workers get from this process, after `set_ray_environment`."""
    names = (*FIXED, *QUIET, *ALLOCATOR_NAMES, COMPILE_THREADS)
    return {name: os.environ[name] for name in names if name in os.environ}


def ray_folder() -> Path:
    """The folder in which a Ray of our own keeps its files."""
    return Path(os.environ.get(TMPDIR) or tempfile.gettempdir())


def _set_folder() -> list[str]:
    """Set RAY_TMPDIR to the first folder that suits Ray. Returns a remark if Ray would have taken another one."""
    names = [name for name in (TMPDIR, "TMPDIR") if os.environ.get(name)]
    usual = Path(os.environ[names[0]] if names else "/tmp")
    for folder in dict.fromkeys([usual, Path("/tmp"), Path("/var/tmp"), Path(tempfile.gettempdir())]):
        if _suits_ray(folder):
            os.environ[TMPDIR] = str(folder)
            return [] if folder == usual else [f"{names[0]} can't hold Ray's sockets: its files lie in {folder}"]
    raise UserError(
        f"{TMPDIR}: {usual} can't hold Ray's sockets; accepted: a folder that can be written to, of "
        f"{LONGEST_SOCKET - 1 - len(SOCKET)} bytes at most"
    )


def _suits_ray(folder: Path) -> bool:
    """Whether Ray can make its folder in `folder`, and the paths of its sockets there are short enough."""
    short = len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET
    return folder.is_absolute() and os.path.isdir(folder) and short and os.access(folder, os.W_OK | os.X_OK)
