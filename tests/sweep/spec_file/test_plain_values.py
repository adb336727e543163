"""A spec that Python gives means what the same YAML means, and a value that no spec can hold is told by its key."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from basis.errors import UserError
from sweep.spec_file.load import load_spec
from sweep.spec_file.plain_values import plain_spec, settings_of
from tests.conftest import Parts


def test_a_mapping_is_read_as_its_yaml(parts: Parts, tmp_path: Path) -> None:
    spec = parts.spec()
    given = {**spec, "model": {"name": parts.model}, "trial": {**spec["trial"], "steps": np.int64(6)}}
    given["space"] = tuple({**branch, "lr": np.float64(branch["lr"])} for branch in spec["space"])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(spec))
    assert load_spec(given) == load_spec(str(tmp_path / "tiny.yaml"))


def test_paths_of_a_mapping_lead_from_the_working_directory(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my prompts.csv").write_bytes(parts.prompts.read_bytes())
    monkeypatch.chdir(tmp_path)
    spec = load_spec({**parts.spec(), "reward": {**parts.spec()["reward"], "prompts": "my prompts.csv"}})
    assert spec.reward.prompts == str(tmp_path / "my prompts.csv")
    with pytest.raises(UserError, match=r"reward\.prompts: .*other\.csv"):
        load_spec({**parts.spec(), "reward": {"prompts": "other.csv"}})


def test_a_mapping_extends_a_preset_and_takes_settings() -> None:
    spec = load_spec({"extends": "demo"}, settings_of({"trial.steps": 7, "about": "1: a", "space.0.lr": 1e-5}))
    assert (spec.name, spec.trial["steps"], spec.about, spec.space[0]["lr"]) == ("sweep", 7, "1: a", 1e-5)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"space": [{"rank": {1, 2}}]}, r"space\[0\]\.rank: \{1, 2\} is a set; accepted"),
        ({"model": {3: "x"}}, r"model: the key 3 is no text"),
        ({"about": "\ud800"}, r"about: .* is not spelled in UTF-8"),
        ({"trial": b"x"}, r"trial: b'x' is a bytes"),
    ],
)
def test_what_no_spec_can_hold_is_told_by_its_key(spec: dict[object, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        plain_spec(spec)


def test_a_list_within_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(UserError, match="nested too deeply"):
        plain_spec({"space": endless})
