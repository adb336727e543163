"""Reads YAML as a person means it: 1e-3 is a number, a key stands once, and what is wrong is said in one line."""

import re
from pathlib import Path
from typing import Any

import yaml

from sweep.errors import UserError


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a spec has no use for."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text, since its floats need a dot; here it is the number everybody means."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As YAML has it, but a key that stands twice is refused; by itself YAML lets the last one win."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value]
                raise _Refused(
                    problem=f"{key.value!r} stands twice, first in line {first}", problem_mark=key.start_mark
                )
            lines[key.tag, key.value] = key.start_mark.line + 1
        return node

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        """As YAML has it, but a number of thousands of digits is refused; Python reads none of them."""
        try:
            return self.construct_yaml_int(node)
        except ValueError:
            raise _Refused(
                problem=f"{_short(node.value)} is no number that can be read", problem_mark=node.start_mark
            ) from None

    def refuse_date(self, node: yaml.ScalarNode) -> None:
        """No key of a spec holds a date."""
        raise _Refused(
            problem=f"{_short(node.value)} is read as a date; write it in quotes", problem_mark=node.start_mark
        )


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.refuse_date)


def parse_yaml(text: str, place: str) -> Any:
    """The value of a YAML text: plain values alone.

    Args:
        text: the YAML.
        place: where it stands, for messages.

    Raises:
        UserError: it is not YAML, or holds what no spec can.
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader, so nothing but plain values
    except _Refused as error:
        raise UserError(f"{place}{_line(error, text)}: {error.problem}") from None
    except yaml.constructor.ConstructorError as error:
        raise UserError(
            f"{place}{_line(error, text)}: YAML's tags and other extras are not accepted; write plain values"
        ) from None
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"
        raise UserError(f"{place}{_line(error, text)}: not valid YAML: {problem}") from None
    except RecursionError:
        raise UserError(
            f"{place}: lists or mappings are nested too deeply; no key of a spec takes more than a few levels"
        ) from None
    except ValueError as error:  # of a tag such as !!float whose text is none
        raise UserError(f"{place}: not valid YAML: {error}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is missing, is not UTF-8, is not YAML, or does not hold a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        found = "an empty file" if content is None else "a list" if isinstance(content, list) else repr(_short(content))
        raise UserError(f"{path}: a spec is a mapping of keys to values, such as 'extends: demo', not {found}")
    return content


def _line(error: yaml.YAMLError, text: str) -> str:
    if "\n" not in text:
        return ""
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        return f", line {mark.line + 1}"
    return f", line {text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
