"""What torch.compile needs of a machine."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from basis.errors import UserError


def check_compiler() -> None:
    """Refuse to compile without a C++ compiler and the headers of this Python. torch.compile needs both.

    Raises:
        UserError: naming which is missing, and what to install.
    """
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CXX", ""), "g++", "clang++")):
        raise UserError(
            "compile: true needs a C++ compiler, and none was found; accepted: $CXX, g++ or clang++ in $PATH "
            "(install g++)"
        )
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-dev"
        raise UserError(
            f"compile: true needs this Python's headers, and {header} is not there; accepted: an installed {package} "
            "(python3-devel on Red Hat)"
        )
