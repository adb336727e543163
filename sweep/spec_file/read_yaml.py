"""YAML as a person means it: 1e-3 is a number, a key stands once, and a mistake is told in one line."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from basis.errors import UserError
from sweep.trial.part import LARGEST

MOST_BYTES = 128 * 2**10
"""Largest file of a person; a larger one takes seconds to read."""
MOST_KEPT_BYTES = 2**20
"""Largest file of a sweep, which has a line for each value."""
MOST_VALUES = 100_000
"""Most values of a text. A value that aliases repeat counts each time."""
MOST_LEVELS = 40
"""Deepest nesting of lists and mappings."""
Location = tuple[int | str, ...]
"""Keys and indices that lead to a value."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,19}|0b[01]{1,64}|0x[0-9a-fA-F]{1,16})")


class Read(NamedTuple):
    """The mapping in a file, and the line in which each of its values begins."""

    content: dict[str, Any]
    lines: dict[Location, int]


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that no spec can hold."""


def _refused(node: yaml.Node, problem: str) -> _Refused:
    return _Refused(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """A SafeLoader that reads 1e-3 as a number. In YAML 1.1 a float needs a dot, and 1e-3 is text."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As YAML has it, and count the level."""
        self.level += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.level -= 1
        return node

    def compose_sequence_node(self, anchor: Any) -> yaml.SequenceNode:
        """As YAML has it, down to MOST_LEVELS."""
        self._check_level()
        return super().compose_sequence_node(anchor)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As YAML has it, down to MOST_LEVELS, and without a key that stands twice. YAML lets the last one win."""
        self._check_level()
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value]
                raise _refused(key, f"{_quoted(key.value)} stands twice, first in line {first}")
            lines[key.tag, key.value] = key.start_mark.line + 1
        return node

    def _check_level(self) -> None:
        if self.level > MOST_LEVELS:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            problem = "lists or mappings are nested too deeply; no key of a spec takes more than a few levels"
            raise _Refused(problem=problem, problem_mark=mark)


_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, place: str) -> Any:
    """The value of a YAML text. Only plain values are accepted, no tags.

    Args:
        text: the YAML.
        place: where it stands, for messages.

    Raises:
        UserError: it is not YAML, or holds what no spec can.
    """
    return _parse(text, place)[0]


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: see `read_lines`.
    """
    return read_lines(path, MOST_KEPT_BYTES).content


def read_lines(path: Path, most_bytes: int = MOST_BYTES) -> Read:
    """The mapping in a YAML file, and the line of each value.

    Raises:
        UserError: the file is missing, too long, not UTF-8 or not YAML, or does not hold a mapping.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
        if len(raw) > most_bytes:
            raise UserError(f"{path}: is too long for a spec; accepted: {most_bytes // 2**10} KiB at most")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    content, node = _parse(text, str(path))
    if not isinstance(content, dict):
        found = "an empty file" if content is None else "a list" if isinstance(content, list) else _quoted(content)
        raise UserError(f"{path}: a spec is a mapping of keys to values, such as 'extends: demo', not {found}")
    return Read(content, dict(_lines(node, ())))


def _parse(text: str, place: str) -> tuple[Any, yaml.Node | None]:
    loader = None
    try:
        loader = _Loader(text)  # a SafeLoader, so nothing but plain values
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check(node, {})
        return loader.construct_document(node), node
    except _Refused as error:
        raise UserError(f"{place}{_line(error, text)}: {error.problem}") from None
    except yaml.constructor.ConstructorError as error:
        raise UserError(
            f"{place}{_line(error, text)}: YAML's tags and other extras are not accepted; write plain values"
        ) from None
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"
        raise UserError(f"{place}{_line(error, text)}: not valid YAML: {problem}") from None
    except (ValueError, LookupError) as error:  # of a tag such as !!float whose text is none
        raise UserError(f"{place}: not valid YAML: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Count the values of a node, those behind aliases too, and refuse what no spec can hold.

    Args:
        node: the node.
        known: by node, its count; None while it is being counted, so that an alias within itself is seen.

    Returns:
        The number of values.

    Raises:
        _Refused: at the node concerned.
    """
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise _refused(node, "an alias lies within what it stands for; write plain values")
        return count
    known[id(node)] = None
    total = 1
    if node.tag == f"{_TAG}timestamp":
        raise _refused(node, f"{_short(node.value)} is read as a date; write it in quotes")
    if node.tag not in _PLAIN_TAGS or (node.tag in (f"{_TAG}map", f"{_TAG}seq")) == isinstance(node, yaml.ScalarNode):
        raise _refused(node, "YAML's tags and other extras are not accepted; write plain values")
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_check(item, known) for item in node.value)
    else:
        for key, value in node.value:
            _check_key(key)
            total += _check(value, known) + 1
    if total > MOST_VALUES:
        raise _refused(node, f"it holds more than {MOST_VALUES:,} values, those repeated by aliases counted each time")
    known[id(node)] = total
    return total


def _check_key(key: yaml.Node) -> None:
    if not isinstance(key, yaml.ScalarNode):
        raise _refused(key, "a list or mapping is not accepted as a key; accepted: names")
    _check(key, {})
    if key.tag == f"{_TAG}bool":
        raise _refused(key, f"the key {key.value} is read as true or false; write it in quotes")
    if key.tag not in (f"{_TAG}str", f"{_TAG}merge"):
        raise _refused(key, f"the key {_short(key.value)} is not accepted; accepted: names")


def _check_scalar(node: yaml.ScalarNode) -> None:
    text = node.value
    if node.tag == f"{_TAG}str":
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise _refused(node, f"{_quoted(text)} holds a character that no text has (NUL, or half a surrogate pair)")
    elif node.tag == f"{_TAG}bool":
        if text.lower() not in yaml.SafeLoader.bool_values:
            raise _refused(node, f"{_short(text)} is not accepted; accepted: true or false")
    elif node.tag in (f"{_TAG}int", f"{_TAG}float"):
        plain = text.replace("_", "")
        if ":" in text:
            raise _refused(node, f"{_short(text)} is read as a number in base sixty; write it in quotes")
        if node.tag == f"{_TAG}int" and re.fullmatch(r"[-+]?0[0-7]+", plain):
            raise _refused(node, f"{_short(text)} is read in base eight; write it without the 0 in front")
        if not (_is_whole(plain) if node.tag == f"{_TAG}int" else _is_finite(plain)):
            raise _refused(node, f"{_short(text) or 'nothing'} is no number that a spec can hold")


def _is_whole(text: str) -> bool:
    return bool(_WHOLE.fullmatch(text)) and abs(int(text, 0)) < LARGEST


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))  # neither .inf nor .nan, which Python spells otherwise
    except ValueError:
        return False


def _lines(node: yaml.Node | None, location: Location) -> Iterator[tuple[Location, int]]:
    """The line of each value within a node; for a value of a mapping the line of its key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            within = (*location, key.value)
            yield within, key.start_mark.line + 1
            yield from _lines(value, within)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*location, index), item.start_mark.line + 1
            yield from _lines(item, (*location, index))


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


def _quoted(value: object) -> str:
    return repr(_short(value))
