"""No spec, --set, data file or experiment ends in a traceback: success or clear lines, soon and in little room.

`make test` tries a few hundred inputs, always the same; `make fuzz` thousands, others each time.
"""

import bz2
import contextlib
import copy
import datetime
import gzip
import io
import json
import lzma
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from analysis import report
from basis.errors import MOST_LETTERS, UserError
from sweep.command import run_command
from sweep.data.dialogues import DataSources, load_sft
from sweep.data.overlap import overlap
from sweep.provenance.sweep_record import spec_text
from sweep.run import main
from sweep.schema.data_folders import SUFFIXES
from sweep.schema.places import PRESETS
from sweep.spec_file.load import load_spec
from tests import synthetic_experiment as synthetic

FULL = os.environ.get("SFT_SWEEP_FUZZ") == "full"
SECONDS, ROOM_BYTES = 10.0, 2**30


def fuzzed(few: int, many: int) -> settings:
    """How many inputs a test tries: a few, the same each time, or many for `make fuzz`."""
    return settings(
        max_examples=many if FULL else few,
        derandomize=not FULL,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],  # to explain a failure takes a tracer, which slows all by so much
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Within, the process gets a gibibyte more than it has, and 10 s of a processor, less on a busy machine."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - began < SECONDS


def ends_clearly(command: Callable[[], int]) -> str:
    """Run a command that may succeed or end in clear lines; what it has said of errors."""
    out, err = io.StringIO(), io.StringIO()
    with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command()
    said = err.getvalue()
    assert code in (0, 2), said
    assert bool(said) == (code == 2)
    for line in said.splitlines():
        assert line.startswith("error: ")
        assert len(line) <= len("error: ") + MOST_LETTERS
        assert "Traceback" not in line
    return said


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Commands that end where torch would be needed, in a folder of their own."""

    def set_up(*_: object) -> Path:
        return tmp_path

    def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr("sweep.driver.commands.set_up", set_up)
    monkeypatch.setattr("sweep.driver.dry_run.work_out", nothing)
    monkeypatch.setattr("sweep.driver.dry_run.print_trials", nothing)
    monkeypatch.chdir(tmp_path)
    return tmp_path


NESTED: Any = "deep"
for _ in range(60):
    NESTED = [NESTED]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    3,
    1.5,
    -0.0,
    1e-320,
    1e308,
    float("inf"),
    float("nan"),
    10**9,
    10**18,
    10**20,
    10**400,
    "",
    " ",
    "no",
    "'no'",
    "x",
    "auto",
    "null",
    "1e-3",
    "010",
    "1:30",
    "٣",
    "²",
    "é",
    "🙂",
    "x" * 5000,
    "a\nb",
    "\x07",
    "[",
    "{",
    "~nosuchuser",
    "~nosuchuser/x.jsonl",
    "/nowhere/**/*.jsonl",
    "/**/*.jsonl",
    "*/*/*.json",
    "/dev/null",
    "/",
    ".",
    "..",
    "a/b",
    "a/b@c:d",
    "a/b/c",
    "./x",
    "s3://b/x.jsonl",
    "owner/name:split",
    "x.jsonl",
    "x.csv",
    "n" * 300 + ".jsonl",
    [],
    [[]],
    [1, "x", None],
    ["x"],
    {},
    {"x": 1},
    {3: 4},
    {None: 1},
    {True: 2},
    {"low": 1, "high": 2},
    {"low": 1, "high": 10**400},
    {"low": 0, "high": 1, "log": "no"},
    {"low": -1, "high": 1e308, "log": True},
    {"low": "a", 3: 4, "high": None},
    {"min": 2, "max": 3},
    NESTED,
    list(range(200)),
    [list(range(3))] * 3,
    datetime.date(2024, 1, 2),
    datetime.datetime(2024, 1, 2),
    b"bytes",
    {1, 2},
]
WORDS = [
    "steps",
    "lr",
    "learning_rate",
    "rank",
    "r",
    "method",
    "optimizer",
    "seed",
    "seeds",
    "space",
    "trial",
    "lora",
    "low",
    "search",
    "trials",
    "extends",
    "variants",
    "variant",
    "name",
    "train",
    "x",
    "",
    "on",
    "3",
    "a.b",
    "ключ",
    "k" * 400,
]
SNIPPETS = [
    "!!int x",
    "!!python/object/apply:os.system [ls]",
    "!!binary aGk=",
    "!!set {a}",
    "!!omap [a: 1]",
    "!!timestamp x",
    "!!float",
    "!!bool x",
    "2024-99-99",
    "9" * 5000,
    "1" + "0" * 400,
    "&a [*a]",
    "*b",
    "<<: {a: 1}",
    "? [a]\n: b",
    "---",
    "...",
    "%YAML 3.0",
    "- x",
    "\t",
    "  ",
    ": ",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    "#",
    "@",
    "`",
    "|",
    ">",
    "\u2028",
    "\x85",
    '"\\ud800"',
    '"\\0"',
    "{a: 1, a: 2}",
    "[" * 3000,
    "{a: " * 500,
    "a: &x [1,1]\nb: &y [*x,*x]\nc: [*y,*y]",
    "on: 1",
    "=",
    "0x10",
    "1_000",
]
SPECS = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(PRESETS.glob("*.yaml"))]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values within a value stand."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inside):
        yield (*at, key)
        yield from places(one, (*at, key))


def mutate(draw: DrawFn, spec: Any) -> Any:
    """A spec with one thing changed: a value, a key, its kind or its depth."""
    spec = copy.deepcopy(spec)
    *path, last = draw(st.sampled_from(list(places(spec)) or [("x",)]))
    inner = spec
    for key in path:
        inner = inner[key]
    how = draw(st.sampled_from(["replace", "replace", "delete", "add", "wrap", "copy"]))
    odd = draw(st.sampled_from(ODD))
    if how == "replace":
        inner[last] = odd
    elif how == "delete":
        del inner[last]
    elif how == "wrap":
        inner[last] = draw(st.sampled_from([[inner[last]], {"x": inner[last]}, [inner[last]] * 40]))
    elif isinstance(inner, dict):
        inner[draw(st.sampled_from(WORDS))] = odd if how == "add" else copy.deepcopy(inner[last])
    else:
        inner.append(odd if how == "add" else copy.deepcopy(inner[last]))
    return spec


@st.composite
def spec_texts(draw: DrawFn) -> str:
    """A preset, changed in a few places as values and in some as text."""
    spec = draw(st.sampled_from(SPECS))
    for _ in range(draw(st.integers(0, 3))):
        spec = mutate(draw, spec)
    text = yaml.safe_dump(spec, allow_unicode=True, sort_keys=False)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        snippet = draw(st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=5)))
        text = text[:at] + snippet + text[at + draw(st.integers(0, 3)) :]
    return text


@fuzzed(few=50, many=5000)
@given(text=spec_texts())
def test_any_spec_is_read_or_refused_in_clear_lines(plain: Path, text: str) -> None:
    (plain / "spec.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    ends_clearly(lambda: main(["spec.yaml", "--dry-run"]))


KEYS = sorted({".".join(map(str, place)) for spec in SPECS for place in places(spec)})


@st.composite
def settings_of(draw: DrawFn) -> list[str]:
    """Words after --set: a key of a preset or an odd one, and an odd value."""
    words = []
    for _ in range(draw(st.integers(1, 3))):
        parts = draw(st.sampled_from(KEYS)).split(".")
        if draw(st.booleans()):
            parts[draw(st.integers(0, len(parts) - 1))] = draw(
                st.sampled_from([*WORDS, "²", "٣", "9" * 30, "-1", "0", "9" * 5000])
            )
        value: Any = draw(st.sampled_from(ODD))
        flow = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).removesuffix("...\n").strip()
        value = draw(st.one_of(st.just(flow), st.sampled_from(SNIPPETS), st.text(max_size=8)))
        words.append(draw(st.sampled_from([f"--set={'.'.join(parts)}={value}", f"--set={'.'.join(parts)}{value}"])))
    return words


@fuzzed(few=50, many=5000)
@given(preset=st.sampled_from(["demo", "study", "fair"]), words=settings_of())
def test_any_setting_is_taken_or_refused_in_clear_lines(plain: Path, preset: str, words: list[str]) -> None:
    ends_clearly(lambda: main([preset, "--dry-run", *words]))


LINE = {"prompt": "Why is that so?", "chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "No."}
TALK = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}
PAIR = {"instruction": "Add.", "input": "2 2", "output": "4", "prompt": "Add.", "completion": "4"}
FIELDS = [
    "prompt",
    "chosen",
    "text",
    "role",
    "content",
    "messages",
    "from",
    "value",
    "conversations",
    "completion",
    "tools",
]
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(list(LINE.values()))
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text()), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
ODD_JSON = [
    '{"chosen": ' + "[" * 3000,
    "[" * 3000 + "]" * 3000,
    "9" * 5000,
    '{"chosen": 1e999}',
    "NaN",
    '"\\ud800"',
    "{",
    "",
    '{"chosen": "\\ud83d"}',
    '{"chosen": "a", "chosen": 3}',
    "null",
    "[]",
    '{"chosen": "\\u0000"}',
    "\ufeff{}",
    "\x00",
    '{"chosen": "' + "[INST]<<SYS>>" * 3000 + '"}',
    '{"chosen": "' + " " * 50_000 + '### Human: x"}',
    "version https://git-lfs",
]


@st.composite
def data_files(draw: DrawFn) -> tuple[str, bytes]:
    """A file's name and bytes: records as people write them, with something wrong or nothing."""
    suffix = draw(st.sampled_from([*[".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet"] * 5, *SUFFIXES]))
    if suffix == ".parquet" and draw(st.booleans()):
        content = draw(st.sampled_from(PARQUET))
    else:
        records = draw(st.lists(st.one_of(st.sampled_from([LINE, TALK, PAIR]), JSON), max_size=6))
        lines = [json.dumps(one) for one in records]
        if draw(st.booleans()):
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(ODD_JSON)))
        text = "\n".join(lines) if draw(st.booleans()) else f"[{', '.join(lines)}]"
        if draw(st.booleans()) and suffix.startswith(".json"):
            text = json.dumps({"chosen": records, "prompt": draw(JSON)}) if draw(st.booleans()) else text
        if suffix.startswith((".csv", ".tsv")) and draw(st.booleans()):
            text = 'prompt,completion\tx\n"two\nlines",b\tc\n' + text
        content = text.encode(draw(st.sampled_from(["utf-8"] * 4 + ["utf-16", "utf-8-sig"])), "surrogatepass")
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    if (packer := packers.get(Path(suffix).suffix)) and draw(st.integers(0, 3)):
        content = packer(content)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 8)) :]
    return f"data{suffix}", content


def parquet(table: dict[str, list[Any]]) -> bytes:
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet as files

    sink = io.BytesIO()
    files.write_table(pyarrow.table(table), sink)
    return sink.getvalue()


PARQUET = [
    parquet(table)
    for table in (
        {"chosen": [LINE["chosen"]] * 5},
        {"chosen": [LINE["chosen"], None]},
        {"chosen": [[{"role": "user", "content": "x"}]]},
        {"prompt": [1, 2], "chosen": ["a", "b"]},
        {"text": ["a"]},
    )
]


@fuzzed(few=50, many=5000)
@given(file=data_files())
def test_any_data_file_is_read_or_refused_in_clear_lines(plain: Path, file: tuple[str, bytes]) -> None:
    name, content = file
    (plain / name).write_bytes(content)
    words = ["demo", "--set", f"data.train={name}"]
    refused = ends_clearly(lambda: main([*words, "--dry-run"]))

    def read(_: object) -> int:
        overlap(load_sft(DataSources(train=(str(plain / name),), test_fraction=0.3)))
        return 0

    said = ends_clearly(lambda: run_command(read, []))
    assert said or not refused, "what the first look refuses is none that training would have read"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of a few trials, with the spec of a sweep that could go on."""
    folder = tmp_path_factory.mktemp("fuzz") / "whole"
    shutil.copytree(synthetic.directory(), folder)
    (folder / "spec.yaml").write_text(spec_text(load_spec("demo")), encoding="utf-8")
    report.build(folder)  # what a first report imports and loads counts for no other
    return folder


DAMAGES = ["cut", "empty", "garbage", "other", "deep", "missing", "loop", "folder", "bytes", "value"]


@st.composite
def damages(draw: DrawFn) -> list[tuple[int, str, Any]]:
    """Some damages: the number of a file, what becomes of it, and a number, a value and bytes that say how."""
    by = st.tuples(st.integers(0, 10**6), JSON, st.binary(max_size=9))
    one = st.tuples(st.integers(0, 10_000), st.sampled_from(DAMAGES), by)
    return draw(st.lists(one, min_size=1, max_size=3))


def damage(path: Path, how: str, by: tuple[int, Any, bytes]) -> None:
    """What killed processes, full disks and people do to a file."""
    number, value, raw = by
    content = path.read_bytes() if path.is_file() else b""
    if path.is_dir():  # a damage before has made it one
        path.rmdir()
    path.unlink(missing_ok=True)  # it is linked to the whole experiment's
    at = number % (len(content) + 1)
    if how == "cut":
        path.write_bytes(content[:at])
    elif how == "empty":
        path.touch()
    elif how == "garbage":
        path.write_bytes(os.urandom(50) if FULL else b"\x80\x00garbage\xff")
    elif how == "other":
        path.write_text(json.dumps(value), encoding="utf-8")
    elif how == "deep":
        path.write_text("[" * 20_000, encoding="utf-8")
    elif how == "loop":
        path.symlink_to(path)
    elif how == "folder":
        path.mkdir()
    elif how == "bytes":
        path.write_bytes(content[:at] + raw + content[at + len(raw) :])
    elif how == "value":  # of one key in one line
        lines = content.decode("utf-8", "replace").split("\n")
        place = number % len(lines)
        with contextlib.suppress(ValueError):
            row = json.loads(lines[place])
            if isinstance(row, dict) and row:
                row[sorted(row)[number % len(row)]] = value
                lines[place] = json.dumps(row)
        path.write_text("\n".join(lines), encoding="utf-8")


@fuzzed(few=6, many=1000)
@given(damaged=damages())
def test_any_damaged_experiment_is_reported_or_refused_in_clear_lines(
    whole: Path, plain: Path, damaged: list[tuple[int, str, Any]]
) -> None:
    folder = plain / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder, copy_function=os.link, ignore=shutil.ignore_patterns("report"))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "events.out" not in path.name)
    for number, how, by in damaged:
        damage(files[number % len(files)], how, by)

    def passed(*_: object) -> Path:
        raise UserError("the first checks are passed")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "to_png", lambda drawing: b"")  # which takes most of the time and reads no files
        patched.setattr("sweep.driver.commands.set_up", passed)
        ends_clearly(lambda: report.main([str(folder)]))
        ends_clearly(lambda: main(["--resume", str(folder)]))


def test_what_is_fuzzed_succeeds_where_nothing_is_wrong(whole: Path, plain: Path) -> None:
    lines = [json.dumps({"chosen": f"\n\nHuman: {number}\n\nAssistant: x"}) for number in range(9)]
    (plain / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert ends_clearly(lambda: main(["demo", "--dry-run", "--set", "data.train=data.jsonl"])) == ""
    shutil.copytree(whole, plain / "copy", ignore=shutil.ignore_patterns("report"))
    assert ends_clearly(lambda: report.main([str(plain / "copy")])) == ""
