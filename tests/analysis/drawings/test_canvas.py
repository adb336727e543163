"""analysis.drawings.canvas: figures come out the same whatever backend, matplotlibrc or styles a user has."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

from analysis.drawings.canvas import Figure, drawn_with
from basis.packages import ROOT

DRAW = """
import io, sys
from analysis.drawings.canvas import Figure, drawn_with
with drawn_with({"svg.hashsalt": "same"}):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2], label="$a_b$ 1")
    file = io.BytesIO()
    figure.savefig(file, format="png")
sys.stdout.buffer.write(file.getvalue())
"""
RC = "backend: TkAgg\ntext.usetex: true\nfont.family: Comic Sans MS\nsavefig.dpi: 7\nlines.linewidth: many\nodd: 1\n"


def test_a_users_backend_matplotlibrc_and_styles_change_nothing_and_nothing_is_said_of_them(tmp_path: Path) -> None:
    with drawn_with({"svg.hashsalt": "same"}):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([1, 2], label="$a_b$ 1")
        expected = io.BytesIO()
        figure.savefig(expected, format="png")
    config = tmp_path / "config"
    (config / "stylelib").mkdir(parents=True)
    (config / "matplotlibrc").write_text(RC, encoding="utf-8")
    (config / "stylelib" / "broken.mplstyle").write_bytes(b"\xff\xfe")
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")  # in the working directory, which matplotlib reads first
    ran = subprocess.run(
        [sys.executable, "-c", DRAW],
        capture_output=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a notebook's, which need not be installed here
            "MPLCONFIGDIR": str(config),
            "MATPLOTLIBRC": str(config),
            "PYTHONPATH": str(ROOT),
        },
    )
    assert ran.stderr.decode() == ""
    assert ran.stdout == expected.getvalue()


def test_what_a_notebook_has_set_comes_back(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"figure.dpi": 33}):
        with drawn_with({"font.size": 5}):
            assert (matplotlib.rcParams["figure.dpi"], matplotlib.rcParams["font.size"]) == (100, 5)
        assert matplotlib.rcParams["figure.dpi"] == 33


def test_matplotlib_is_imported_in_one_file() -> None:
    for path in (ROOT / "analysis").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        assert path.name == "canvas.py" or not [name for name in names if name.startswith("matplotlib")], path
