"""Whether a node computes with the libraries that the driver has, on whose versions losses depend."""

from collections.abc import Mapping

from basis.versions import releases

DECIDING = ("torch", "transformers", "peft", "loralib", "pytorch-optimizer")


def deciding_versions() -> dict[str, str]:
    """The releases of DECIDING here."""
    return releases(DECIDING)


def check_versions(drivers: Mapping[str, str]) -> None:
    """Refuse a node with other versions. Ray itself refuses another Python or Ray.

    Raises:
        RuntimeError: naming the library and both versions.
    """
    here = deciding_versions()
    for library, there in drivers.items():
        if here.get(library) != there:
            raise RuntimeError(
                f"this node has {library} {here.get(library)}, and the driver {there}; accepted: nodes with the same"
            )
