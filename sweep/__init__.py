"""Runs sweeps of fine-tuning trials. From Python: `from sweep import run, resume, load_results`.

Nothing is imported before a name is asked for. `run` is also the module of `python -m sweep.run`, which can be called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.api.results import load_results
    from sweep.api.sweeps import resume, run
else:

    def __getattr__(name: str) -> Any:
        """What has this name (PEP 562)."""
        if name == "run":
            return import_module("sweep.run")
        homes = {"load_results": "sweep.api.results", "resume": "sweep.api.sweeps"}
        if name in homes:
            return getattr(import_module(homes[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["load_results", "resume", "run"]
