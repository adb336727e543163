"""What a cluster answers that can't run a sweep is told in one line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from basis.cache import CACHE_VARIABLE
from basis.errors import UserError
from sweep.submission.answer import answer, versions
from sweep.submission.checks import check_cluster, libraries
from sweep.submission.cluster import Answer, Cluster
from sweep.submission.resolved import resolved
from tests.conftest import Parts

HERE = versions()


class Answering(Cluster):
    """A cluster of one node that answers what it is told to."""

    def __init__(self, told: dict[str, Any] | None, log: str = "") -> None:
        self.url, self.answer = "http://head:8265", Answer(told, log)

    def nodes(self) -> list[Any]:
        return [{"Alive": True, "Resources": {"CPU": 8.0}, "Labels": {}}]

    def ask(self, words: Sequence[str], folder: Path, seconds: float) -> Answer:
        assert (folder / "sweep" / "submission" / "answer.py").is_file()
        return self.answer


@pytest.mark.parametrize(
    ("told", "log", "message"),
    [
        ({"versions": {**HERE, "torch": "2.1.0"}, "lacking": []}, "", "has torch 2.1.0, and here is .*; accepted: the"),
        ({"versions": {**HERE, "python": "3.9"}, "lacking": ["peft"]}, "", "has Python 3.9, and here is 3"),
        (
            {"versions": HERE, "lacking": ["peft", "optuna"]},
            "",
            r"lacks what our code needs \(peft, optuna\); acc",
        ),
        (None, "sh: 1: python: not found\n", r"our code can't run there \(it said: sh: 1: python: not found\)"),
        (None, "", r"our code can't run there \(it said: nothing\)"),
    ],
)
def test_a_cluster_that_is_not_like_this_machine_is_refused(
    told: dict[str, Any] | None, log: str, message: str, parts: Parts, tmp_path: Path
) -> None:
    with (
        resolved(str(parts.write_spec(tmp_path)), ()) as found,
        pytest.raises(UserError, match=rf"^--cluster http://head:8265: {message}"),
    ):
        check_cluster(Answering(told, log), found, [], "/shared/out", {})


def test_a_cluster_with_other_versions_is_asked_nothing_that_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))  # else the answer sets it for this process
    question = {"versions": {**HERE, "ray": "2.0.0"}, "libraries": ["ray", "no-such-library"]}
    assert answer(question) == {"versions": HERE, "lacking": ["no-such-library"]}
    alike = {"versions": HERE, "libraries": libraries(), "elsewhere": {}, "hub": [], "sized": []}
    told = answer({**alike, "output": str(tmp_path / "out")})
    assert (told["lacking"], told["sizes"], told["begun"]) == ([], {}, False)
    missing = answer({**alike, "output": str(tmp_path / "out"), "elsewhere": {"/none/model": "model"}})
    assert missing["refused"].startswith("/none/model: lies neither on this machine nor on the cluster")
    assert list(tmp_path.iterdir()) == []
