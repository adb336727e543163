"""What can be done with a submitted sweep from afar: its status, its end, another start, its results."""

import base64
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.job_submission import JobDetails, JobStatus

from basis.documents.progress import ProgressDocument, StatusDocument
from basis.errors import UserError
from sweep.machine.output_folders import check_writable, local_path
from sweep.provenance.code_version import code_version
from sweep.submission.act import ANSWER, DATA
from sweep.submission.checks import ANSWER_SECONDS, check_begun
from sweep.submission.cluster import FLAG, Cluster
from sweep.submission.package import named_variables, pack
from sweep.submission.submit import OUTPUT, SPEC, VERSION, running_in, send

ACT = "sweep.submission.act"
STOP_SECONDS = 180
"""For which the end of a sweep that was stopped is awaited: trials write their checkpoints, and then its report."""


def output_of(job: JobDetails) -> str:
    """The experiment directory of a job of ours, on the cluster."""
    return str(job.metadata[OUTPUT])


def sweep_status(cluster: Cluster, job: JobDetails) -> StatusDocument | None:
    """How far the sweep of a job is; None: it has not begun.

    Raises:
        UserError: the cluster can't tell.
    """
    told = _ask(cluster, "status", job)["status"]
    return None if told is None else StatusDocument.model_validate(told)


def stop(cluster: Cluster, job: JobDetails) -> str:
    """End a sweep as Ctrl-C would, and wait for it; returns what was said.

    A sweep that runs no trial yet is ended by Ray, which gives it three seconds: there is nothing to keep.

    Raises:
        UserError: it has not ended in time.
    """
    name = str(job.submission_id)
    if job.status.is_terminal():
        return "it has ended already"
    told = (
        {"runs": False, "said": "it had not begun"} if job.status == JobStatus.PENDING else _ask(cluster, "stop", job)
    )
    if not told["runs"] and not cluster.client.get_job_status(name).is_terminal():
        cluster.client.stop_job(name)
    if not cluster.await_end(name, STOP_SECONDS):
        raise UserError(f"{name}: was asked to stop, and has not ended within {STOP_SECONDS} s; see its status")
    return str(told["said"])


def resume(cluster: Cluster, job: JobDetails, env: Sequence[str]) -> str:
    """Go on with the sweep of a job, with our code as it is here; returns the id of the job that runs it.

    Raises:
        UserError: it has not begun, the cluster lacks something, or another sweep runs in its directory.
    """
    output = output_of(job)
    if (running := running_in(cluster, output, job.metadata[SPEC])) is not None:
        return str(running.submission_id)
    variables = named_variables(env)
    check_begun(cluster, output, variables)
    metadata = {**job.metadata, VERSION: code_version().version}
    return send(cluster, output, lambda folder: pack(folder, variables), metadata)


def check_fetched_into(text: str) -> Path:
    """The folder that an experiment is fetched into.

    Raises:
        UserError: it is no folder, or something lies in it.
    """
    folder = local_path("FOLDER", text)
    check_writable("FOLDER", folder)
    if os.path.isdir(folder) and any(folder.iterdir()):
        raise UserError(f"FOLDER {folder}: is not an empty directory; name a new one")
    return folder


def fetch(cluster: Cluster, job: JobDetails, folder: Path) -> str:
    """Copy the experiment of a job into a folder here; returns what was copied, and what was not.

    Raises:
        UserError: it is too large, has not begun, or did not come through as it was.
    """
    digest, told = hashlib.sha256(), None
    with tempfile.TemporaryFile() as archive:
        with _listening(cluster, "fetch", job) as lines:
            for line in lines:
                if line is not None and line.startswith(DATA):
                    content = base64.b64decode(line.removeprefix(DATA))
                    digest.update(content)
                    archive.write(content)
                elif line is not None and line.startswith(ANSWER):
                    told = json.loads(line.removeprefix(ANSWER))
                    break
        if told is None or told.get("sha256", digest.hexdigest()) != digest.hexdigest():
            raise UserError(f"{FLAG} {cluster.url}: the experiment did not come through whole; ask again")
        if "refused" in told:
            raise UserError(told["refused"])
        archive.seek(io.SEEK_SET)
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=archive, mode="r:gz") as packed:
            packed.extractall(folder, filter="data")
    return f"{told['files']} files; {told['left']}" if told["left"] else f"{told['files']} files"


def watch(cluster: Cluster, job: JobDetails) -> Iterator[ProgressDocument]:
    """What has happened in the sweep of a job, and then what happens, until it has ended."""
    with _listening(cluster, "watch", job) as lines:
        for line in lines:
            if line is None and cluster.client.get_job_status(str(job.submission_id)).is_terminal():
                return
            if line is not None and line.startswith('{"schema_version"'):
                yield ProgressDocument.model_validate_json(line)


@contextmanager
def _listening(cluster: Cluster, action: str, job: JobDetails) -> Iterator[Iterator[str | None]]:
    with tempfile.TemporaryDirectory(prefix="sft-sweep-") as folder:
        pack(Path(folder), {})
        with cluster.listening([ACT, action, output_of(job)], Path(folder)) as lines:
            yield lines


def _ask(cluster: Cluster, action: str, job: JobDetails) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sft-sweep-") as folder:
        pack(Path(folder), {})
        answer = cluster.ask([ACT, action, output_of(job)], Path(folder), ANSWER_SECONDS)
    if answer.told is None:
        said = (answer.log.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"{FLAG} {cluster.url}: could not be asked (it said: {said})")
    return answer.told
