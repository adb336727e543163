"""Keeps a Ray of our own private: only its owner can read its folder, and its processes know no secrets.

Ray's processes write much of their environment into logs, and Ray Tune sends cloud keys along with every trial. No
trial needs either, because everything has been fetched before Ray starts.
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
    *("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED", "GCE_METADATA_HOST"),
)
"""Names of variables that the system, a compiler, oneDNN or `sweep.worker.node_watch` reads."""

NEEDED_FAMILIES = (
    *("LC_", "LD_", "DYLD_", "PYTHON", "CONDA_", "MALLOC_", "GLIBC_", "COVERAGE_", "COV_CORE_", "MPL", "NIX_"),
    *("CUDA", "CUDNN", "CUBLAS", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "ROCM_", "HSA_", "GPU_", "ZE_", "ONEAPI_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "VECLIB_", "ATEN_"),
    *("TORCH", "PYTORCH_", "TRITON_", "KINETO_", "TRANSFORMERS_", "TOKENIZERS_", "HF_", "HUGGINGFACE_"),
    *("RAY_", "TUNE_", "GRPC_", "SFT_SWEEP_", "SSL_CERT_"),
)
"""Beginnings of names of variables that Python, Ray, torch or a library under them reads."""

_SECRET_WORD = re.compile(r"(^|_)((API)?KEYS?|[A-Z]*(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?|PASS|PAT)(_|$)")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is secret: its name says so, or its value has a login in it, as a URL may."""
    return bool(_SECRET_WORD.search(name.upper()) or _LOGIN.search(value))


def is_needed(name: str, value: str) -> bool:
    """Whether the processes of a Ray of our own need a variable and may know its value."""
    return (name in NEEDED or name.startswith(NEEDED_FAMILIES)) and not is_secret(name, value)


def secret_values() -> list[str]:
    """The values of this process's secret variables, the longest first."""
    values = {value for name, value in os.environ.items() if len(value) >= 8 and _SECRET_WORD.search(name.upper())}
    return sorted(values, key=len, reverse=True)


def without_secrets(text: str) -> str:
    """A text with *** for the logins of its URLs and for the values of secret variables; it may go into a file."""
    for value in secret_values():
        text = text.replace(value, "***")
    return re.sub(r"\bhf_\w{16,}", "***", _LOGIN.sub("***@", text))


def for_others(text: str) -> str:
    """A text without secrets, and with ~ for the user's home directory; others may read it."""
    if not text:
        return text
    home = re.escape(os.path.expanduser("~").rstrip("/"))
    return re.sub(rf"(?<![\w/.-]){home}(?=/|$|\W)", "~", without_secrets(text)) if home else without_secrets(text)


@contextmanager
def kept_private(address: str | None) -> Iterator[None]:
    """Within, this process has no secrets in its environment, and a Ray of our own has a private folder and a token.

    Args:
        address: of a cluster to attach to; it has its own folders and may need Ray's variables. None: a Ray of our own.
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
    """Within, this process and those that it starts make files without the permissions in `mask`."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def own_umask() -> int:
    """The umask of this process. It can only be read by setting it."""
    before = os.umask(0o077)
    os.umask(before)
    return before


@contextmanager
def started_privately() -> Iterator[None]:
    """Within, a Ray of our own may start. Its processes inherit the umask and the working directory.

    So only their owner can read their files, and Python looks for modules in Ray's folder. The user's folder may hold
    modules with the same names.
    """
    with umask(0o077), chdir(os.environ[TMPDIR]):
        yield


def _module_folders(given: str) -> list[str]:
    """PYTHONPATH for processes that start in another folder: the given folders, absolute, and this project's."""
    ours = str(ROOT)
    kept = [os.path.abspath(folder) for folder in given.split(os.pathsep) if folder]
    return kept if ours in _site_folders() else list(dict.fromkeys([ours, *kept]))


def _site_folders() -> list[str]:
    """The folders of installed packages. Every Python of this environment looks there by itself."""
    return [*site.getsitepackages(), site.getusersitepackages()]


@functools.cache
def _token() -> str:
    """The token by which Ray's processes know each other. Ray reads it once in the life of a process."""
    return secrets.token_hex(32)


def _forget(names: Iterator[str]) -> None:
    for name in list(names):
        del os.environ[name]
