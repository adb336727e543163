"""Options: the value of a field that is a mapping, such as `optimizer_options: {rho: 0.1}`; it does not change."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from basis.errors import shown
from sweep.trial.part import LARGEST, AcceptedWords


class Options(Mapping[str, Any]):
    """Plain values by name, in the order of the names, so that equal mappings are written alike.

    Values are truth values, numbers, texts, null, and lists and mappings of such. As JSON, and in `model_dump`, it is
    a dict.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take over the values.

        Raises:
            ValueError: a name is no text, or a value is none of those above.
        """
        if odd := next((name for name in values if not isinstance(name, str)), None):
            raise ValueError(f"accepted: options by name; {shown(odd)} is no name")
        self._values = {name: _frozen(values[name]) for name in sorted(values)}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return repr(self.plain())

    def plain(self) -> dict[str, Any]:
        """The same as dicts and lists."""
        return {name: _thawed(value) for name, value in self._values.items()}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(cls.plain)
        )

    @classmethod
    def _validated(cls, value: object) -> "Options":
        if isinstance(value, Mapping):
            return value if isinstance(value, cls) else cls(value)
        raise ValueError("accepted: options by name, such as {eps: 1e-6}")


OptionsField = Annotated[Options, AcceptedWords("options by name, such as {eps: 1e-6}")]


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Options(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and -LARGEST < value < LARGEST:
        return value
    raise ValueError(f"accepted: numbers, texts, true, false, null, and lists and mappings of such, not {shown(value)}")


def _thawed(value: Any) -> Any:
    if isinstance(value, Options):
        return value.plain()
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value
