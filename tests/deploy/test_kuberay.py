"""The job for KubeRay: as Ray's own autoscaler reads it, and against KubeRay's published schema where that is at hand.

`SFT_SWEEP_KUBERAY_CRD` names the file of the schema: `ray.io_rayjobs.yaml` of KubeRay's Helm chart, or what
`kubectl get crd rayjobs.ray.io -o yaml` prints.
"""

import copy
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from ray._private.ray_constants import RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from basis.packages import ROOT
from sweep.schema.resources import MOST_AUTO_CPUS
from sweep.storage.checkpoint import URGENT_SECONDS
from sweep.worker.node_watch import ASK_SECONDS, NOTICE_FILE, NOTICE_VARIABLE, file_notice
from tests.deploy.test_cluster_files import PINNED

CRD = os.environ.get("SFT_SWEEP_KUBERAY_CRD")
CLAIM, JOB = yaml.safe_load_all((ROOT / "deploy" / "kuberay-rayjob.yaml").read_text(encoding="utf-8"))
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


def strict(schema: Any) -> Any:
    """A schema of Kubernetes as JSON Schema that refuses unknown fields, as the API server does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        made.pop("type", None)  # a pattern is for strings alone in JSON Schema, too
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="module")
def published() -> Draft202012Validator:
    if CRD is None:
        pytest.skip("SFT_SWEEP_KUBERAY_CRD names no schema of KubeRay's")
    with open(CRD, encoding="utf-8") as file:
        crd = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    [version] = [version for version in crd["spec"]["versions"] if version["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # which the API server itself knows
    return Draft202012Validator(schema)


def test_kuberays_schema_accepts_the_job(published: Draft202012Validator) -> None:
    assert [f"{error.json_path}: {error.message}" for error in published.iter_errors(JOB)] == []


@pytest.mark.parametrize(
    "path",
    [
        ("spec",),
        ("spec", "rayClusterSpec"),
        ("spec", "rayClusterSpec", "headGroupSpec"),
        ("spec", "rayClusterSpec", "workerGroupSpecs", 0),
        ("spec", "rayClusterSpec", "workerGroupSpecs", 1, "template", "spec", "containers", 0, "volumeMounts", 0),
    ],
)
def test_kuberays_schema_refuses_a_misspelt_field(published: Draft202012Validator, path: tuple[str | int, ...]) -> None:
    job = copy.deepcopy(JOB)
    part = job
    for key in path:
        part = part[key]
    part["minReplica"] = 0
    assert any("minReplica" in error.message for error in published.iter_errors(job))


def test_a_pod_that_is_taken_away_tells_its_trials_and_leaves_them_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NOTICE_VARIABLE, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for group in CLUSTER["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        assert command[-1] == f"/tmp/{NOTICE_FILE}"
        assert (
            ASK_SECONDS + URGENT_SECONDS < RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S < pod["terminationGracePeriodSeconds"]
        )
        assert file_notice() is None
        subprocess.run([*command[:-1], tmp_path / NOTICE_FILE], check=True)
        assert file_notice() is not None
        (tmp_path / NOTICE_FILE).unlink()


def test_rays_autoscaler_reads_groups_that_can_hold_a_trial() -> None:
    cluster = {"metadata": {"name": "sft-sweep", "namespace": "default"}, "spec": CLUSTER}
    kinds = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    head, *workers = kinds.values()
    assert head["resources"]["CPU"] == 0
    assert [kind["resources"]["GPU"] for kind in workers] == [1, 1]
    assert all(kind["resources"]["CPU"] >= MOST_AUTO_CPUS for kind in workers)
    assert all(kind["min_workers"] == 0 < kind["max_workers"] for kind in workers)
    assert CLUSTER["enableInTreeAutoscaling"] is True
    assert PINNED
    assert CLUSTER["rayVersion"] == PINNED[1]


def test_all_nodes_see_one_folder_and_the_job_writes_there_and_can_begin_again() -> None:
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    for group in GROUPS:
        pod = group["template"]["spec"]
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]] == [
            CLAIM["metadata"]["name"]
        ]
        assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/shared"]
        assert pod["securityContext"]["runAsNonRoot"] is True
    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[words.index("--output") + 1].startswith("/shared/")
    assert "--or-resume" in words
    assert 0 < JOB["spec"]["backoffLimit"] <= 10


def test_kueue_takes_the_job() -> None:
    """Its webhook refuses autoscaling without the annotation, and a cluster that stays after the job."""
    assert "kueue.x-k8s.io/queue-name" in JOB["metadata"]["labels"]
    assert JOB["metadata"]["annotations"]["kueue.x-k8s.io/elastic-job"] == "true"
    assert JOB["spec"]["shutdownAfterJobFinishes"] is True
    assert "suspend" not in JOB["spec"]
    assert len(CLUSTER["workerGroupSpecs"]) <= 17
