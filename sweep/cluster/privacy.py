"""What a Ray of our own leaves to nobody else: a folder that its owner alone can look into, and no secrets in it.

Ray's processes write much of their environment into logs, and Ray Tune sends cloud keys along with every trial. A trial
needs neither: what has to be fetched has been, when Ray starts.
"""

import functools
import os
import re
import secrets
import site
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from basis.packages import ROOT
from sweep.cluster.environment import TMPDIR
from sweep.machine.environment import variables_restored
from sweep.machine.owned_folders import OwnedFolders

PRIVATE_FOLDERS = OwnedFolders(prefix="sft-", lock="sft-sweep.lock", kept_when_named=True)
"""Ray's own folder, for its owner alone. It stays when an error names it, for whoever looks into its logs."""

TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"

NEEDED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "PWD", "HOSTNAME"),
    *("TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "NO_PROXY", "no_proxy"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
    *("LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX"),
    *("CC", "CXX", "SDKROOT", "DEVELOPER_DIR", "LRU_CACHE_CAPACITY"),
)
"""What the system, a compiler and oneDNN read, by its name."""

NEEDED_FAMILIES = (
    *("LC_", "LD_", "DYLD_", "PYTHON", "CONDA_", "MALLOC_", "GLIBC_", "COVERAGE_", "COV_CORE_", "MPL", "NIX_"),
    *("CUDA", "CUDNN", "CUBLAS", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "ROCM_", "HSA_", "GPU_", "ZE_", "ONEAPI_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "VECLIB_", "ATEN_"),
    *("TORCH", "PYTORCH_", "TRITON_", "KINETO_", "TRANSFORMERS_", "TOKENIZERS_", "HF_", "HUGGINGFACE_"),
    *("RAY_", "TUNE_", "GRPC_", "SFT_SWEEP_", "SSL_CERT_"),
)
"""What Python, Ray, torch and the libraries under them read, by the beginning of its name."""

_SECRET_WORD = re.compile(r"(^|_)((API)?KEYS?|[A-Z]*(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?|PASS|PAT)(_|$)")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is a secret by its name, or has a login in its value, as a URL may."""
    return bool(_SECRET_WORD.search(name.upper()) or _LOGIN.search(value))


def is_needed(name: str, value: str) -> bool:
    """Whether the processes of a Ray of our own need a variable, and may know it."""
    return (name in NEEDED or name.startswith(NEEDED_FAMILIES)) and not is_secret(name, value)


def without_secrets(text: str) -> str:
    """A text for a file, without the logins of its URLs and without what the environment holds as secret."""
    values = {value for name, value in os.environ.items() if len(value) >= 8 and _SECRET_WORD.search(name.upper())}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return re.sub(r"\bhf_\w{16,}", "***", _LOGIN.sub("***@", text))


@contextmanager
def kept_private(address: str | None) -> Iterator[None]:
    """Within, this process has no secrets in its environment, and a Ray of our own has a folder and a token of its own.

    Args:
        address: of a cluster to attach to, which has folders of its own and may want Ray's variables; None for a Ray
            of our own.
    """
    with variables_restored():
        if address is not None:
            _forget(name for name, value in os.environ.items() if is_secret(name, value) and name[:4] != "RAY_")
            yield
            return
        with PRIVATE_FOLDERS.new(Path(os.environ.get(TMPDIR, "/tmp"))) as folder:
            _forget(name for name, value in os.environ.items() if not is_needed(name, value))
            os.environ[TMPDIR] = str(folder)
            os.environ[TOKEN_PATH] = str(folder / "token")
            os.environ["PYTHONPATH"] = os.pathsep.join(_module_folders(os.environ.get("PYTHONPATH", "")))
            with umask(0o077):
                (folder / "token").write_text(_token(), encoding="utf-8")
            yield


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Within, files that this process makes, and those of processes that it starts, lack the permissions of `mask`."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def own_umask() -> int:
    """The umask of this process, which can only be read by setting it."""
    before = os.umask(0o077)
    os.umask(before)
    return before


@contextmanager
def started_privately() -> Iterator[None]:
    """Within, a Ray of our own may start. Its processes inherit what holds here: files are for their owner alone, and
    modules are looked for in Ray's own folder and not in the user's, which may have some of the same names."""
    with umask(0o077), chdir(os.environ[TMPDIR]):
        yield


def _module_folders(given: str) -> list[str]:
    """PYTHONPATH for processes that start elsewhere: what was given, absolute, and where this project's code lies."""
    ours = str(ROOT)
    kept = [os.path.abspath(folder) for folder in given.split(os.pathsep) if folder]
    return kept if ours in _site_folders() else list(dict.fromkeys([ours, *kept]))


def _site_folders() -> list[str]:
    """Where packages are installed, in which every Python of this environment looks by itself."""
    return [*site.getsitepackages(), site.getusersitepackages()]


@functools.cache
def _token() -> str:
    """By which Ray's processes know each other. Ray reads it once in the life of a process."""
    return secrets.token_hex(32)


def _forget(names: Iterator[str]) -> None:
    for name in list(names):
        del os.environ[name]
