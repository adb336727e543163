"""The versions of libraries that are installed here. Imports nothing but Python's own."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "not installed"


def installed_versions(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of libraries by their names, with what a build adds to them, such as +cu130."""
    return {library: _version(library) for library in libraries}


def releases(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of libraries by their names, without what a build adds to them."""
    return {library: found.partition("+")[0] for library, found in installed_versions(libraries).items()}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return NOT_INSTALLED
