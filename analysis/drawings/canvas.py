"""matplotlib as it comes, whatever the environment says: all figures are drawn through this module.

A user's MPLBACKEND, matplotlibrc or configuration directory may name a backend that isn't installed, ask for LaTeX, or
not be readable. None of that is about a report.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from basis.packages import ROOT

SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


@contextmanager
def _unconfigured() -> Iterator[None]:
    """While matplotlib is imported: no backend and no matplotlibrc of the user, and no warnings about either."""
    logger = logging.getLogger("matplotlib")
    level, before = logger.level, {name: os.environ.get(name) for name in SETTINGS}
    logger.setLevel(logging.CRITICAL)
    os.environ.update(SETTINGS)
    try:
        with _elsewhere():
            yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Out of a working directory with a matplotlibrc, which would come first, and into one whose files shadow none."""
    if not Path("matplotlibrc").exists():
        yield
        return
    with chdir(ROOT):
        yield


with _unconfigured():
    import matplotlib
    import matplotlib.font_manager  # reads its cache in the configuration directory
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_DEFAULTS: dict[Any, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}

__all__ = ["Axes", "Bbox", "Figure", "FigureCanvasAgg", "drawn_with", "pixels_per_point"]


@contextmanager
def drawn_with(style: Mapping[Any, Any]) -> Iterator[None]:
    """Within: matplotlib's own defaults and `style` on top, where a notebook or a user has set others.

    Not by `matplotlib.style`, which reads the user's styles when it is imported.
    """
    with matplotlib.rc_context({**_DEFAULTS, **style}):
        yield


def pixels_per_point() -> float:
    """Of a figure that is made now."""
    return float(matplotlib.rcParams["figure.dpi"]) / 72
