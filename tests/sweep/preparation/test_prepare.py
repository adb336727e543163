"""A sweep's identity and provenance cover its general text where it has some, and change in nothing else."""

import json
from pathlib import Path

import pytest

from basis.directory import SWEEP_FILE
from basis.errors import UserError
from sweep.memory.device import Device
from sweep.preparation.prepare import PreparedSweep, prepare
from sweep.provenance.sweep_record import begin_sweep_record, check_identity
from sweep.spec_file.load import load_plan
from tests.conftest import Parts


def prepared(parts: Parts, folder: Path, *words: str) -> PreparedSweep:
    (folder / "general.jsonl").write_text("".join(json.dumps({"text": f"{word} " * 40}) + "\n" for word in words))
    general = {"general": [str(folder / "general.jsonl")]} if words else {}
    spec = parts.write_spec(folder, data={**parts.spec()["data"], **general})
    return prepare(load_plan(str(spec)), folder / "cache", lambda _: None)


def test_general_text_is_part_of_what_must_stay_the_same_where_there_is_some(parts: Parts, tmp_path: Path) -> None:
    without, with_some = prepared(parts, tmp_path), prepared(parts, tmp_path, "sea", "sky")
    general = with_some.bases[None].tokens.general
    assert general is not None
    assert without.identity.keys() == {"data", "base model", "reward"}
    assert with_some.identity.items() > without.identity.items()
    assert with_some.identity["general text"] == general.path.parent.name
    now, before = (one.bases[None].provenance for one in (with_some, without))
    assert now.hashes.keys() - before.hashes.keys() == {"general_tokens"}
    assert now.data_files.keys() - before.data_files.keys() == {"general:general.jsonl"}
    inputs = [one.inputs(tmp_path, Device("cpu"), cpus=1)[None].general_tokens for one in (without, with_some)]
    assert inputs == [None, general.path]


def test_what_rows_cut_and_leave_out_is_recorded_with_the_data(parts: Parts, tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So it is. " * 90}]
    talks = tmp_path / "talks.jsonl"
    talks.write_text("".join(json.dumps({"messages": [*asked, *asked[: 2 * long]]}) + "\n" for long in (0, 1)))
    spec = parts.write_spec(tmp_path, data={"train": [str(talks)], "test": [str(talks)]})
    made = prepare(load_plan(str(spec)), tmp_path / "cache", lambda _: None)
    begin_sweep_record(tmp_path, made.spec, "", made.statistics, made.identity)
    train, test = json.loads((tmp_path / SWEEP_FILE).read_text())["data"]["rows"]
    assert train == {**test, "side": "train"}
    assert (train["examples"], train["truncated_examples"], train["dropped_examples"]) == (2, 2, 0)


def test_a_sweep_is_not_continued_on_other_general_text(parts: Parts, tmp_path: Path) -> None:
    first = prepared(parts, tmp_path, "sea", "sky")
    begin_sweep_record(tmp_path, first.spec, "", first.statistics, first.identity)
    data = json.loads((tmp_path / SWEEP_FILE).read_text())["data"]
    assert (data["general_examples"], data["general_in_train"]) == (2, 0)
    check_identity(tmp_path, prepared(parts, tmp_path, "sea", "sky").identity)
    with pytest.raises(UserError, match="changed since the sweep began: general text"):
        check_identity(tmp_path, prepared(parts, tmp_path, "sea", "land").identity)
