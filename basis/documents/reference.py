"""docs/json.md and docs/json-schema.json, made from the documents' models.

python -m basis.documents.reference docs    writes both anew
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from basis.documents.documents import json_schema

PAGE, SCHEMA = "json.md", "json-schema.json"

INTRODUCTION = """\
# For machines: JSON

| command | standard output |
| --- | --- |
| `python -m sweep.run SPEC --dry-run --json` | one `plan` |
| `python -m sweep.run SPEC --json` | a `progress` each time something happens, then a `verdict`, at last an `end` |
| `python -m sweep.control DIR status --json` | one `status` |
| `python -m sweep.submit SPEC --output DIR --json` | one `job` |
| `python -m sweep.jobs list --json` | one `jobs` |
| `python -m sweep.jobs status ID --json`, likewise `stop` and `resume` | one `job` |
| `python -m sweep.jobs watch ID --json` | a `progress` for each thing that has happened, and as it happens |
| `python -m analysis.report DIR --json` | one `verdict` |

- Standard output has JSON and nothing else: one document a line ([NDJSON](https://github.com/ndjson/ndjson-spec)).
  What a person would read goes to standard error.
- A command that fails prints an `error`, and ends with the same exit code as without `--json`.
- `document` says which one it is. `schema_version` is 1. It grows when a key goes or means something else. New keys
  leave it as it is, so pass over keys that you don't know.
- Numbers are numbers; null is a number that is unknown. Names end in their unit: bytes, seconds. Losses are in the unit
  that stands beside them, or in nats per token. Times are ISO 8601 in UTC. Paths are as you gave them, or absolute.
- A reader that leaves (`| head`) ends nothing: a sweep goes on to its end.
- With `--resume` a sweep tells of a trial that had finished before only what it has not told yet. All counts have it.

[json-schema.json](json-schema.json) has the same as JSON Schema. Both files are made from the models
(`python -m basis.documents.reference docs`), and a test holds every command's output to them.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | every trial succeeded or was stopped by request; the question was answered |
| 1 | some trial failed or could not be judged, the report could not be built, or Ray died |
| 2 | a bad spec, bad data, a machine that can't run it, a refused request, or words that don't go together |
| 129, 130, 143 | ended by SIGHUP, by Ctrl-C, by SIGTERM |
"""


def reference() -> str:
    """docs/json.md."""
    schema = json_schema()
    parts: dict[str, Any] = schema["$defs"]
    blocks = [INTRODUCTION]
    for name, part in sorted(parts.items(), key=lambda named: "document" not in named[1]["properties"]):
        document = part["properties"].get("document", {}).get("const")
        title = f"`{document}`" if document else name
        blocks.append(f"## {title}\n\n{' '.join(part.get('description', '').split())}\n")
        blocks.append("| key | type | meaning |\n| --- | --- | --- |\n" + "".join(_rows(part)))
    return "\n".join(blocks)


def _rows(part: dict[str, Any]) -> Iterator[str]:
    for key, value in part["properties"].items():
        meaning = value.get("description", "").replace("|", "\\|")
        yield f"| `{key}` | {_type(value)} | {meaning} |\n"


def _type(value: dict[str, Any]) -> str:
    """The type of a value in words, such as "list of PlacePart" or "number or null"."""
    if "$ref" in value:
        return str(value["$ref"].rpartition("/")[2])
    if "anyOf" in value:
        return " or ".join(map(_type, value["anyOf"]))
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return " or ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    match value.get("type"):
        case "array":
            return f"list of {_type(value['items'])}"
        case "object":
            inner = value.get("additionalProperties")
            return f"object of {_type(inner)}" if isinstance(inner, dict) else "object"
        case None:
            return "any value"
        case kind:
            return str(kind)


def files() -> dict[str, str]:
    """The two files by name."""
    return {PAGE: reference(), SCHEMA: json.dumps(json_schema(), indent=2) + "\n"}


if __name__ == "__main__":
    for name, text in files().items():
        Path(sys.argv[1], name).write_text(text, encoding="utf-8")
