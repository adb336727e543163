"""The presets: specs that the package brings along."""

from sweep.schema.places import PRESETS
from sweep.spec_file.read_yaml import read_yaml


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_about(name: str) -> str:
    """The one line that describes a preset."""
    return str(read_yaml(PRESETS / f"{name}.yaml").get("about", ""))
