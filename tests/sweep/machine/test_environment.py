"""sweep.machine.environment and sweep.cluster.environment: what a shell has set, and what a sweep makes of it."""

import os
import resource
import signal
from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.cluster.environment import sent_along, set_ray_environment
from sweep.machine.environment import (
    allow_open_files,
    ctrl_c_deferred,
    end_like_ctrl_c,
    handlers_restored,
    pass_proxies_by,
    variables_restored,
)
from sweep.run import main


def test_a_limit_of_open_files_is_raised_or_said(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(256, 512)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    allow_open_files(workers=8)
    assert limits[-1] == (512, 512)
    limits.append((64, 64))
    with pytest.raises(UserError, match=r"ulimit -n: 64 open files are too few .* 8 workers; accepted: 132 or more"):
        allow_open_files(workers=8)


@pytest.mark.parametrize(
    ("given", "passed_by"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "127.0.0.1,localhost,::1"),
        ({"all_proxy": "http://p:1", "no_proxy": "a.b, c", "NO_PROXY": "d"}, "a.b,c,d,127.0.0.1,localhost,::1"),
    ],
)
def test_what_runs_here_is_not_asked_for_through_a_proxy(
    given: dict[str, str], passed_by: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", given)
    pass_proxies_by()
    assert given.get("no_proxy") == given.get("NO_PROXY") == passed_by


@pytest.mark.parametrize(
    ("given", "allocator"),
    [
        ({}, {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
        ({"PYTORCH_CUDA_ALLOC_CONF": "a:1"}, {"PYTORCH_CUDA_ALLOC_CONF": "a:1"}),
        ({"PYTORCH_ALLOC_CONF": "a:1"}, {"PYTORCH_ALLOC_CONF": "a:1"}),
    ],
)
def test_workers_have_what_the_user_has_set_but_for_what_our_code_depends_on(
    given: dict[str, str], allocator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "1", "RAY_CHDIR_TO_TRIAL_DIR": "1", **given}
    monkeypatch.setattr(os, "environ", dict(chosen))
    set_ray_environment("auto", cpus=2.5)
    sent = sent_along()
    assert {name: value for name, value in sent.items() if "ALLOC" in name} == allocator
    assert sent["RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS"] == "1"
    assert sent["RAY_CHDIR_TO_TRIAL_DIR"] == "0"
    assert sent["TORCHINDUCTOR_COMPILE_THREADS"] == "2"
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "7")
    set_ray_environment("auto", cpus=2.5)
    assert sent_along()["TORCHINDUCTOR_COMPILE_THREADS"] == "7"


def test_a_ray_of_our_own_ignores_where_another_is_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_NAMESPACE"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    with variables_restored():
        assert set_ray_environment("auto") == []
        assert os.environ["RAY_ADDRESS"] == "other"
        [remark] = set_ray_environment(None)
        assert "RAY_ADDRESS" not in os.environ
    assert remark.startswith("ignored by a Ray of our own: RAY_ADDRESS, RAY_NAMESPACE; --address auto")
    assert os.environ["RAY_ADDRESS"] == "other"


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("folder", ["n" * 60, "missing", "file"])
def test_rays_sockets_get_a_folder_that_can_hold_them(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ("n" * 60)).mkdir()
    (tmp_path / "file").touch()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with variables_restored():
        os.environ[name] = str(tmp_path / folder)
        [remark] = set_ray_environment(None)
        assert remark == f"{name} can't hold Ray's sockets: its files lie in /tmp"
        assert os.environ["RAY_TMPDIR"] == "/tmp"


def test_a_request_to_end_and_a_closed_terminal_are_a_ctrl_c_and_rays_handlers_do_not_stay() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    for number in (signal.SIGTERM, signal.SIGHUP):
        with handlers_restored():
            end_like_ctrl_c()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Ray Tune leaves its own
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_ctrl_c_waits_where_it_would_leave_processes_behind() -> None:
    done = []

    def start() -> None:
        with ctrl_c_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done


def test_words_that_are_not_utf8_are_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--set", "about=\udcff"]) == 2
    assert capsys.readouterr().err == "error: 'about=\\udcff': is not spelled in UTF-8\n"
