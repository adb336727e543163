"""cluster.yaml as Ray itself checks it, and against what the study asks for."""

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from basis.packages import ROOT
from sweep.schema.resources import MOST_AUTO_CPUS
from sweep.spec_file.load import load_spec

CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def test_ray_accepts_the_cluster_and_refuses_one_with_an_unknown_key() -> None:
    validate_config(prepare_config(CLUSTER))
    with pytest.raises(Exception, match="colour"):
        validate_config(prepare_config({**CLUSTER, "colour": "blue"}))


def test_a_worker_can_hold_a_trial_of_the_study() -> None:
    worker, wanted = CLUSTER["available_node_types"]["gpu_worker"]["resources"], load_spec("study").resources
    assert (wanted.cpu, wanted.gpu) == ("auto", "auto")
    assert worker["CPU"] >= MOST_AUTO_CPUS
    assert worker["GPU"] >= 1
