"""sweep.schema.places and what the command says of folders: one line, before anything else has happened."""

import os
from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.machine.output_folders import check_writable, folder_name, local_path
from tests.conftest import Here, Parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://bucket/run", "--output s3://bucket/run: is no folder of this machine"),
        ("gs:/bucket", "is no folder of this machine"),
        ("~nosuchuser/x", "--output ~nosuchuser/x: names no path (no such user has a home here)"),
        ("", "--output '': names no path"),
        ("a\0b", "names no path"),
        ("/tmp/\udcff", "names a path that is not spelled in UTF-8"),
    ],
)
def test_words_that_name_no_path_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        local_path("--output", text)
    assert message in str(refused.value)


def test_a_deleted_working_directory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UserError, match="--output x: names no path"):
        local_path("--output", "x")


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_writable("--output", tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    for folder, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "x", "Not a directory"),
        (tmp_path / ("n" * 256), "File name too long"),
        (Path("/proc/nowhere"), "No such file"),
    ):
        named = f".../{tmp_path.name}/nnnn" if len(folder.name) > 255 else folder  # what is long gives way
        with pytest.raises(UserError, match=rf"^--output {named}.*: can't be written to \({reason}"):
            check_writable("--output", folder)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("sweep (1)", "sweep-1"), ("Übung/../α", "Ubung-..-"), ("-x", "x"), ("猫", "sweep"), ("n" * 300, "n" * 80)],
)
def test_a_folders_name_is_one_that_any_file_system_takes(name: str, folder: str) -> None:
    found = folder_name(name)
    assert found.startswith(f"{folder.strip('-.')}-2")
    assert "/" not in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--output", "ftp://host/x"),
            "--output ftp://host/x: unknown scheme ftp; accepted: a folder, or one of s3://",
        ),
        (("--output", "/proc/nowhere"), "--output /proc/nowhere: can't be written to"),
        (("--output", ""), "--output '': names no path"),
        (("--write-data", "gs://bucket/x"), "--write-data gs://bucket/x: is no folder of this machine"),
    ],
)
def test_the_command_refuses_where_it_could_not_write_before_it_prepares_anything(
    arguments: tuple[str, ...], message: str, parts: Parts, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parts.write_spec(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, output, errors = here(spec, *arguments)
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {message}")
    assert len(errors.splitlines()) == 1
    assert os.listdir() == ["tiny.yaml"]


@pytest.mark.parametrize("flag", ["--resume", "--reproduce"])
def test_a_whole_bucket_is_no_experiment(flag: str, here: Here) -> None:
    code, _, errors = here(flag, "s3://bucket")
    assert code == 2
    assert errors == f"error: {flag} s3://bucket: names no folder in a bucket; accepted: s3://BUCKET/PATH\n"


@pytest.mark.parametrize("name", ["sweep (1)", "Übung", "n" * 250, "-x", "a.b"])
def test_a_spec_file_may_have_any_name(name: str, parts: Parts, here: Here, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    text = parts.write_spec(tmp_path).read_text(encoding="utf-8").replace("name: tiny\n", "")
    path.write_text(text, encoding="utf-8")
    code, output, errors = here(path, "--dry-run")
    assert (code, errors) == (0, "")
    assert output.startswith(f"{name}: 2 trials")
