"""What the driver sends for the nodes: the files that trials read, and nothing that they have from elsewhere."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from basis.errors import UserError
from sweep.hub.fetch import Snapshot
from sweep.inputs import SweepInputs
from sweep.storing.on_driver import files_needed, store_at_hand
from tests.conftest import Parts

WEIGHTS = "model.safetensors"


def test_the_judges_weights_go_along_whoever_has_its_tokenizer_and_no_others_do(
    inputs: SweepInputs, parts: Parts, tmp_path: Path
) -> None:
    judge, tokenizer = (shutil.copytree(parts.reward_model, tmp_path / name) for name in ("judge", "tokenizer"))
    (judge / "optimizer.pt").write_bytes(b"of nobody's need")
    judged = replace(inputs, tokenizer=str(judge), reward=inputs.reward.model_copy(update={"model": str(judge)}))
    needed = files_needed([judged])
    assert needed.keys() == {inputs.train_tokens.parent, parts.model, judge}
    assert {parts.model / WEIGHTS, judge / WEIGHTS, judge / "tokenizer.json"} <= needed[parts.model] | needed[judge]
    assert judge / "optimizer.pt" not in needed[judge]
    alone = files_needed([replace(judged, tokenizer=str(tokenizer))])
    assert tokenizer / WEIGHTS not in alone[tokenizer]
    assert tokenizer / "tokenizer.json" in alone[tokenizer]


def test_what_nodes_have_from_the_hub_is_not_sent(inputs: SweepInputs, parts: Parts) -> None:
    name = str(parts.model)
    of_hub = replace(inputs, snapshots={name: Snapshot("owner/name", "0" * 40, parts.model)})
    assert parts.model not in files_needed([of_hub])


def test_a_store_that_refuses_is_told_in_a_line_and_asked_again(
    inputs: SweepInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with store_at_hand("s3://bucket/out?endpoint_override=ftp://nowhere", tmp_path) as store:
        assert store is not None
        for _ in range(2):
            with pytest.raises(UserError, match=r"^object storage s3://bucket/out: "):
                store.bring("trial")
