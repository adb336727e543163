"""`job` and `jobs`: sweeps that were submitted to a cluster."""

from typing import Literal

from pydantic import Field

from basis.documents.part import Document, Part
from basis.documents.progress import StatusDocument

JobState = Literal["waiting", "running", "done", "failed", "refused", "resumable"]
"""How far a submitted sweep is; the last four are ends."""


class JobPart(Part):
    """A sweep that was submitted to a cluster."""

    id: str = Field(description="The job's id.")
    name: str = Field(description="The sweep's name.")
    output: str = Field(description="Its experiment directory on the cluster.")
    state: JobState = Field(
        description="done: every trial succeeded; failed: as exit code 1 tells; refused: as 2; resumable: it was "
        "stopped, and can be resumed."
    )
    began: str | None = Field(description="When it was submitted, as ISO 8601 in UTC.")
    ended: str | None = Field(description="When it ended; null while it has not.")
    exit_code: int | None = Field(description="Of the sweep; null while it has none.")
    version: str = Field(description="Of this package, which runs it.")


class JobDocument(Document):
    """The answer about one submitted sweep: of `sweep.submit`, and of what asks for its status, stops or resumes it."""

    document: Literal["job"] = "job"
    cluster: str = Field(description="The job server's address.")
    job: JobPart
    sweep: StatusDocument | None = Field(description="How far it is; null where that was not asked, or nothing began.")


class JobsDocument(Document):
    """All submitted sweeps of a cluster, the youngest first."""

    document: Literal["jobs"] = "jobs"
    cluster: str = Field(description="The job server's address.")
    jobs: list[JobPart]
