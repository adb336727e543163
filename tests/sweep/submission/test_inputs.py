"""What goes along with a spec: named by its content, and refused where it is too much."""

import os
import stat
from pathlib import Path

import pytest

from basis.errors import UserError
from basis.packages import PACKAGES
from sweep.spec_file.load import parse_spec
from sweep.submission.begin import SENT_FOLDER, place_sent
from sweep.submission.inputs import Sent, named_here, to_send, with_sent
from sweep.submission.package import pack
from sweep.submission.resolved import resolved
from sweep.submission.variables import VARIABLES_FILE, take_variables
from tests.conftest import Parts

OUTPUT = "/shared/out"


def test_a_file_is_named_by_its_content_and_leads_into_the_experiment(parts: Parts, tmp_path: Path) -> None:
    spec = parse_spec(parts.spec(), {})
    named = named_here(spec)
    assert {one.key for one in named} == {"data.train", "data.test", "model.name", "reward.model", "reward.prompts"}
    values = with_sent(spec.model_dump(mode="json"), spec, named, OUTPUT)
    assert values["data"]["train"] == [f"/shared/out/inputs/{Sent('', parts.train, 0).name}"]
    assert values["model"]["name"].startswith("/shared/out/inputs/")
    assert str(parts.train.parent) not in str(values)
    same = tmp_path / "train.jsonl"
    same.write_bytes(parts.train.read_bytes())
    assert Sent("", same, 0).name == Sent("", parts.train, 0).name
    same.write_text("other")
    assert Sent("", same, 0).name != Sent("", parts.train, 0).name


def test_too_much_is_refused_unless_the_cluster_has_it_at_the_same_path() -> None:
    large, small = (
        Sent("data.train", Path("/data/large.jsonl"), 95 * 2**20),
        Sent("data.test", Path("/data/x.jsonl"), 9),
    )
    assert to_send([small], {}) == [small]
    assert to_send([large, small], {"/data/large.jsonl": 95 * 2**20}) == [small]
    with pytest.raises(UserError, match=r"^data.train /data/large.jsonl: is too large to go along .*put it on storage"):
        to_send([large, small], {"/data/large.jsonl": 1})


def test_what_lies_on_the_cluster_alone_keeps_its_path_and_is_asked_for_there(parts: Parts, tmp_path: Path) -> None:
    data = {"train": ["/shared/data", "/shared/more-*.jsonl.gz", str(parts.train)], "test": "/shared/test.parquet"}
    spec = parts.write_spec(tmp_path, data=data, model=[{"name": "/shared/models/base"}, {"name": str(parts.model)}])
    with resolved(str(spec), ("reward.prompts=/shared/prompts.csv",)) as found:
        plain = found.plain
        assert plain["data"]["train"] == data["train"]
        assert plain["data"]["test"] == ["/shared/test.parquet"]
        assert (plain["model"][0]["name"], plain["model"][0]["label"]) == ("/shared/models/base", "base")
        assert found.kinds_elsewhere == {
            "/shared/data": "train", "/shared/more-*.jsonl.gz": "train", "/shared/test.parquet": "test",
            "/shared/models/base": "model", "/shared/prompts.csv": "prompts",
        }  # fmt: skip
        assert {one.key for one in named_here(found.local)} == {"data.train", "model[1].name", "reward.model"}


def test_a_package_has_our_code_and_variables_that_only_its_owner_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFT_OF_THE_TEST", "before")
    pack(tmp_path, {"SFT_OF_THE_TEST": "secret"})
    assert {path.name for path in tmp_path.iterdir()} == {*PACKAGES, "pyproject.toml", VARIABLES_FILE}
    assert stat.S_IMODE((tmp_path / VARIABLES_FILE).stat().st_mode) == 0o600
    take_variables(tmp_path)
    assert os.environ["SFT_OF_THE_TEST"] == "secret"
    assert not (tmp_path / VARIABLES_FILE).exists()
    take_variables(tmp_path)  # a second start of the same package


def test_what_was_sent_is_put_into_the_experiment_once_and_never_into_another_one(tmp_path: Path) -> None:
    sent = tmp_path / "package" / SENT_FOLDER / "0123456789abcdef"
    sent.mkdir(parents=True)
    (sent / "train.jsonl").write_text("{}")
    for _ in range(2):
        place_sent(tmp_path / "package", str(tmp_path / "out"))
    [placed] = (tmp_path / "out").rglob("*.jsonl")
    assert placed == tmp_path / "out" / "inputs" / "0123456789abcdef" / "train.jsonl"
    (tmp_path / "out" / "spec.yaml").touch()
    sent.rename(sent.with_name("fedcba9876543210"))
    with pytest.raises(UserError, match=r"holds another sweep: train.jsonl is not what it was begun with"):
        place_sent(tmp_path / "package", str(tmp_path / "out"))
