"""The files for `ray up`, as Ray itself checks them, and against what the study asks for."""

import re
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from basis.packages import ROOT
from sweep.schema.resources import MOST_AUTO_CPUS
from sweep.spec_file.load import load_spec

FILES = ("cluster.yaml", "deploy/cluster-gcp.yaml", "deploy/cluster-own-machines.yaml")
PINNED = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_cluster_and_refuses_one_with_an_unknown_key(name: str) -> None:
    validate_config(prepare_config(read(name)))
    with pytest.raises(Exception, match="colour"):
        validate_config(prepare_config({**read(name), "colour": "blue"}))


@pytest.mark.parametrize("name", FILES[:2])
def test_a_worker_can_hold_a_trial_of_the_study(name: str) -> None:
    worker, wanted = read(name)["available_node_types"]["gpu_worker"]["resources"], load_spec("study").resources
    assert (wanted.cpu, wanted.gpu) == ("auto", "auto")
    assert worker["CPU"] >= MOST_AUTO_CPUS
    assert worker["GPU"] >= 1


@pytest.mark.parametrize("name", FILES[:2])
def test_the_image_has_the_ray_that_the_project_is_tested_with(name: str) -> None:
    assert PINNED
    assert f"rayproject/ray:{PINNED[1]}-py311" in read(name)["docker"]["image"]


def test_all_machines_of_ones_own_are_workers() -> None:
    cluster = read(FILES[2])
    prepared = prepare_config(cluster)
    [kind] = prepared["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(cluster["provider"]["worker_ips"])
