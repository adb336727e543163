"""Submitted sweeps as JSON documents have them."""

from ray.job_submission import JobDetails, JobStatus

from basis.documents.jobs import JobDocument, JobPart, JobState
from basis.documents.part import iso_time
from basis.documents.progress import StatusDocument
from sweep.submission.cluster import Cluster
from sweep.submission.submit import NAME, OUTPUT, VERSION

BY_EXIT_CODE: dict[int, JobState] = {
    0: "done",
    2: "refused",
    129: "resumable",
    130: "resumable",
    143: "resumable",
}
"""How a sweep has ended, by the exit code of `sweep.run`; by any other it has failed."""


def state_of(job: JobDetails) -> JobState:
    """How far a job is, in words of ours."""
    match job.status:
        case JobStatus.PENDING:
            return "waiting"
        case JobStatus.RUNNING:
            return "running"
        case JobStatus.STOPPED:
            return "resumable"
        case JobStatus.SUCCEEDED:
            return "done"
    return "failed" if job.driver_exit_code is None else BY_EXIT_CODE.get(job.driver_exit_code, "failed")


def job_part(job: JobDetails) -> JobPart:
    """A job of ours."""
    metadata = job.metadata or {}
    return JobPart(
        id=str(job.submission_id),
        name=metadata.get(NAME, ""),
        output=metadata.get(OUTPUT, ""),
        state=state_of(job),
        began=_time(job.start_time),
        ended=_time(job.end_time),
        exit_code=job.driver_exit_code,
        version=metadata.get(VERSION, ""),
    )


def job_document(cluster: Cluster, job: str, sweep: StatusDocument | None = None) -> JobDocument:
    """The document of one job, as Ray knows it now."""
    return JobDocument(cluster=cluster.url, job=job_part(cluster.sweep_job(job)), sweep=sweep)


def _time(milliseconds: int | None) -> str | None:
    return iso_time(milliseconds / 1000) if milliseconds else None
