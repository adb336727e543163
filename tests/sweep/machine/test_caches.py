"""sweep.machine.caches: where files are kept for a user without a home, and for one whose home can only be read."""

import getpass
import os
import pwd
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.machine.caches import set_up_caches

NAMES = ("SFT_SWEEP_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_DATASETS_CACHE")


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user with nowhere else to write, among temporary files of the test's own."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what is set in a test is taken back after it
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as at the start of a command, which has not imported it
    monkeypatch.delitem(sys.modules, "huggingface_hub")
    return tmp_path / f"sft-sweep-{os.getuid()}"


def test_with_a_home_nothing_is_said_or_moved(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = dict(os.environ)
    assert set_up_caches() == (tmp_path / "home" / ".cache" / "sft-sweep", [])
    assert dict(os.environ) == before
    assert not ours.exists()


def test_without_a_home_files_lie_in_a_folder_of_the_users_own(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)  # as for a number that a container runs under
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    cache, [remark] = set_up_caches()
    assert cache == ours / "cache"
    assert str(cache) in remark
    assert "SFT_SWEEP_CACHE" in remark
    assert Path.home() == ours
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    assert getpass.getuser() == f"uid{os.getuid()}"


def test_a_home_that_cant_be_written_to_is_still_home(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc/nowhere")
    cache, remarks = set_up_caches()
    assert cache == ours / "cache"
    assert len(remarks) == 2
    assert os.environ["HOME"] == "/proc/nowhere"
    assert os.environ["HF_HOME"] == str(cache / "huggingface")
    assert set_up_caches()[0] == cache


def test_where_the_hubs_client_has_read_its_environment_nothing_is_promised(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setitem(sys.modules, "huggingface_hub", object())
    _, remarks = set_up_caches()
    assert "HF_HOME" not in os.environ
    assert remarks[-1].endswith("can't be written to: nothing can be downloaded (set HF_HOME before starting)")


def test_a_cache_of_the_users_choice_that_can_only_be_read_is_read(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/proc/tty")
    cache, remarks = set_up_caches()
    assert os.environ["HF_HOME"] == "/proc/tty"
    assert os.environ["HF_DATASETS_CACHE"] == str(cache / "huggingface" / "datasets")
    assert remarks[-1].startswith("/proc/tty can only be read: nothing can be downloaded into it")


def test_a_hugging_face_cache_that_can_only_be_read_is_read(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    monkeypatch.setattr(os, "access", lambda path, mode: True)  # root may read and write everything
    cache, remarks = set_up_caches()
    assert "HF_HOME" not in os.environ
    assert os.environ["HF_DATASETS_CACHE"] == str(cache / "huggingface" / "datasets")
    assert remarks == [
        "/proc/self/huggingface can only be read: nothing can be downloaded into it (HF_HOME chooses another cache)"
    ]


def test_a_folder_of_somebody_else_is_not_used(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc/nowhere")
    (tmp_path / "theirs").mkdir()
    ours.symlink_to(tmp_path / "theirs")
    with pytest.raises(UserError, match="is somebody else's"):
        set_up_caches()


@pytest.mark.parametrize("chosen", ["s3://bucket/cache", "/proc/nowhere", "~nosuchuser"])
def test_a_chosen_cache_is_used_or_refused(chosen: str, ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFT_SWEEP_CACHE", chosen)
    with pytest.raises(UserError, match=f"SFT_SWEEP_CACHE {chosen}: "):
        set_up_caches()
