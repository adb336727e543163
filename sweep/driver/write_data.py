"""--write-data: the SFT set of a sweep as files."""

from pathlib import Path

from rich.console import Console

from sweep.data.dialogues import load_sft, write_sft
from sweep.machine.quiet import quiet_libraries
from sweep.preparation.sources import resolve_sources
from sweep.schema.sweep_spec import SweepSpec


def write_sft_set(spec: SweepSpec, cache_dir: Path, folder: Path, console: Console) -> list[Path]:
    """Write the SFT set of a spec into `folder`, see `write_sft`; returns the files.

    Raises:
        UserError: a source that is missing or broken, or a folder that can't be written to.
    """
    quiet_libraries()
    sources = resolve_sources(spec, cache_dir, lambda text: console.print(text, style="dim"))
    return write_sft(load_sft(sources.data), folder)
