"""What can be refused without torch is refused first: in one line, before caches, models or Ray are touched."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.errors import UserError
from basis.packages import ROOT
from sweep.cluster.resources import check_cpus
from sweep.machine.hardware import allowed_cpus
from sweep.preparation.first_look import check_cache_room, look_at_files
from sweep.schema.file_patterns import matching_files
from sweep.spec_file.load import load_spec
from tests.conftest import Here, Parts

GOOD = '{"chosen": "\\n\\nHuman: Why?\\n\\nAssistant: So."}\n'


@pytest.fixture
def nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if what is refused is refused too late."""

    def reached(*_: object) -> None:
        raise AssertionError("caches were set up")

    monkeypatch.setattr("sweep.driver.commands.set_up", reached)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.jsonl", GOOD * 3 + '{"chosen": 3}\n', "bad.jsonl, line 4: the field 'chosen' is 3, but text is needed"),
        ("deep.jsonl", '{"chosen": ' + "[" * 5000, "line 1: lists or objects are nested too deeply"),
        ("deep.json", "[" * 5000, "deep.json: lists or objects are nested too deeply"),
        ("big.jsonl", '{"chosen": ' + "9" * 5000 + "}", "line 1: a number has thousands of digits"),
        ("big.json", "9" * 5000, "big.json: a number has thousands of digits"),
        ("empty.jsonl", "", "empty.jsonl: is empty"),
        ("odd.jsonl", "[]", "line 1: a list where a record is needed"),
        ("torn.parquet", "PAR1", "torn.parquet: not a readable parquet file"),
    ],
)
@pytest.mark.usefixtures("nothing_is_prepared")
def test_data_that_cant_be_read_are_refused_before_anything_is_prepared(
    here: Here, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    for how in (("--output", tmp_path / "out"), ("--dry-run",), ("--write-data", tmp_path / "out")):
        code, _, error = here("demo", "--set", f"data.train={tmp_path / name}", *how)
        assert code == 2
        assert error.startswith("error: data.train: ")
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_general_text_is_looked_at_by_its_own_form(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(GOOD * 3)
    general = tmp_path / "general.jsonl"
    general.write_text('{"text": "The sea is blue."}\n')
    spec = load_spec("demo", [f"data={{train: {tmp_path}/train.jsonl, field: chosen, general: {general}}}"])
    assert "data.general: general.jsonl: 1 text in the field text, the first opens with" in look_at_files(spec)[-1]
    general.write_text('{"words": "The sea is blue."}\n')
    with pytest.raises(UserError, match=r"data\.general: .*line 1: no form is recognised by the fields 'words'"):
        look_at_files(spec)


@pytest.mark.usefixtures("nothing_is_prepared")
def test_all_files_that_cant_be_read_are_told_at_once(here: Here, parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{", encoding="utf-8")
    (tmp_path / "b.csv").write_text("text\nhello\n", encoding="utf-8")
    spec = parts.spec()
    spec["data"]["test"], spec["reward"]["prompts"] = [str(tmp_path / "a.jsonl")], str(tmp_path / "b.csv")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    code, _, error = here(tmp_path / "mine.yaml", "--output", tmp_path / "out")
    assert code == 2
    first, second = error.splitlines()
    assert first.startswith(f"error: data.test: {tmp_path / 'a.jsonl'}, line 1: not JSON")
    assert second.startswith(f"error: reward.prompts: {tmp_path / 'b.csv'}: no column 'prompt'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "n" * 256), "can't be written to (File name too long)"),
        (("--output", "/".join(["d" * 200] * 20)), "is a path of 4"),
        (("--output", "/dev/null"), "--output /dev/null: can't be written to (Not a directory)"),
        (
            ("--set", "resources.gpu=1"),
            "resources.gpu: 1 is more than the 0 GPUs of this machine; accepted: 0, or auto",
        ),
        (("--set", "resources.gpu=0.5"), "resources.gpu: 0.5 is more than the 0 GPUs of this machine"),
    ],
)
@pytest.mark.usefixtures("nothing_is_prepared")
def test_output_and_machine_are_looked_at_first(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweep.machine.ask_gpus.GPU_FOLDERS", (tmp_path / "none",))
    code, _, error = here("demo", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_refusal_takes_two_seconds_at_most_and_neither_torch_nor_ray(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{", encoding="utf-8")
    script = (
        "import sys\n"
        "from sweep.run import main\n"
        "code = main(sys.argv[1:])\n"
        "print(code, sorted({'torch', 'ray', 'transformers', 'pandas', 'datasets'} & sys.modules.keys()))\n"
    )
    words = ["demo", "--set", f"data.train={tmp_path / 'bad.jsonl'}", "--output", str(tmp_path / "out")]
    began = time.process_time() + os.times().children_user
    ran = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=ROOT)
    assert time.process_time() + os.times().children_user - began < 2
    assert ran.stdout == "2 []\n", ran.stderr


def test_a_cache_without_room_or_with_a_part_that_cant_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec("demo")
    check_cache_room(spec, tmp_path, "CACHE")
    (tmp_path / "tokens").touch()
    with pytest.raises(UserError, match=r"CACHE .*/tokens: can't be written to \(Not a directory\)"):
        check_cache_room(spec, tmp_path, "CACHE")
    (tmp_path / "tokens").unlink()
    usage = shutil.disk_usage(tmp_path)._replace(free=5 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"its disk has 5\.0 MiB left, and 16 MiB are needed"):
        check_cache_room(spec, tmp_path, "CACHE")
    (tmp_path / "demo" / "demo-made").mkdir(parents=True)
    check_cache_room(spec, tmp_path, "CACHE")
    with pytest.raises(UserError, match=r"16 MiB are needed"):
        check_cache_room(load_spec("demo", ["model.name=demo-chat"]), tmp_path, "CACHE")


def test_cpus_that_are_not_there_are_refused_and_auto_takes_what_there_are(here: Here, tmp_path: Path) -> None:
    most = allowed_cpus()
    for words, wanted in (((), 1000), (("--output", str(tmp_path / "new")), most + 1)):
        code, _, error = here("demo", "--set", f"resources.cpu={wanted}", *words)
        assert code == 2
        assert f"resources.cpu: {wanted} is more than the {most} CPUs that may be used here" in error
        assert f"accepted: at most {most}, or auto" in error
    check_cpus(load_spec("demo", [f"resources.cpu={most}"]).resources)
    study = load_spec("study")
    check_cpus(study.resources)
    assert [study.resources.with_cpus(there).cpu for there in (1, 2, 64)] == [1, 2, 4]
    assert load_spec("demo", ["resources.cpu=0.5"]).resources.with_cpus(2).cpu == 0.5


@pytest.mark.parametrize("cpu", ["1e-300", "0", "many", "1e300"])
def test_no_number_of_cpus_is_one_that_ray_can_t_count(cpu: str) -> None:
    with pytest.raises(UserError, match=r"resources\.cpu: .*accepted: auto, or a number from 0\.01 to 10000"):
        load_spec("demo", [f"resources.cpu={cpu}"])


def test_a_dry_run_says_what_the_first_records_hold(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Why is it so?", "chosen": "Well."}\n', encoding="utf-8")
    changes: dict[str, Any] = {"data": {"train": [str(parts.train)], "test": [str(tmp_path / "pairs.jsonl")]}}
    first, second = look_at_files(load_spec(str(parts.write_spec(tmp_path, **changes))))
    assert first.startswith("data.train: train.jsonl: 300 texts in the field chosen, as of HH-RLHF, the first")
    assert second == (
        "data.test: pairs.jsonl: 1 text in the field chosen, as of HH-RLHF, the first opens with 'Why is it so?', "
        "framed from 'prompt' and 'chosen'"
    )


def test_a_pattern_is_looked_for_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.jsonl", "a/b/2.jsonl", "a/b/.hidden.jsonl", ".c/3.jsonl", "a/4.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "b" / "round").symlink_to(tmp_path)
    found = [str(path.relative_to(tmp_path)) for path in matching_files(tmp_path / "**" / "*.jsonl")]
    assert found == ["a/1.jsonl", "a/b/2.jsonl"]
    assert len(matching_files(tmp_path / "*" / "[14].json*")) == 2
    monkeypatch.setattr("sweep.schema.file_patterns.MOST_ENTRIES", 5)
    with pytest.raises(UserError, match=r"\*\*/\*\.jsonl: more than 5 files would have to be looked through"):
        matching_files(tmp_path / "**" / "*.jsonl")


def test_a_pipe_is_no_data_and_no_word_is_waited_for(here: Here, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    code, _, error = here("demo", "--dry-run", "--set", f"data.train={tmp_path / 'pipe.jsonl'}")
    assert code == 2
    assert "pipe.jsonl: is no file that can be read again" in error
