"""sweep.machine.compiler: what torch.compile needs, in one line where it is missing."""

import sysconfig
from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.machine.compiler import check_compiler


def test_compiling_is_refused_without_a_compiler_and_without_pythons_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "g++"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(UserError, match=r"compile: true needs a C\+\+ compiler, .* accepted: \$CXX, g\+\+ or clang"):
        check_compiler()
    compiler.touch(mode=0o755)
    with pytest.raises(UserError, match=rf"headers, and {tmp_path}/Python.h is not there; .* python3\.\d+-dev"):
        check_compiler()
    (tmp_path / "Python.h").touch()
    check_compiler()
