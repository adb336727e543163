"""The job server of a Ray cluster: reached by Ray's own client, asked in jobs that leave nothing behind."""

import asyncio
import http.client
import json
import logging
import os
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from basis.errors import UserError, first_line, shortened
from sweep.cluster.privacy import without_secrets
from sweep.cluster.probe import Node
from sweep.cluster.resources import LONGEST_WORDS
from sweep.machine.environment import pass_proxies_by, variables_restored

FLAG = "--cluster"
VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where Ray's own commands of jobs find an address. Its client obeys them before what it is given."""
PYTHON = "python"
"""As `ray start` and its jobs find it on the head."""
CONNECT_SECONDS = 5
POLL_SECONDS = 0.25
SILENT_SECONDS = 2
FORGET_SECONDS, MOST_DELETIONS = 1.5, 5
"""Ray looks after a job once a second, and writes one that was deleted meanwhile down again, as lost."""
ANSWER = "ANSWER "
"""What the line begins with in which a job of ours answers."""
OURS = "sft-sweep"
"""Key of a job's metadata that says what it is to us: a sweep, or a question."""
SILENCED = (RuntimeError, OSError, ClientError, RayStateApiException)
"""What Ray's clients raise of a cluster that refuses, or answers no more."""

MOST_NODES = 10_000
"""Of a cluster that are asked for; Ray's own limit is 100."""

T = TypeVar("T")
ACCEPTED = "accepted: the job server of a running cluster, such as http://HEAD:8265"


@dataclass(frozen=True)
class Answer:
    """What a job of ours said.

    Attributes:
        told: the last line in which it answered; None: it did not.
        log: all that it printed.
    """

    told: dict[str, Any] | None
    log: str


class Cluster:
    """A cluster whose job server answers."""

    def __init__(self, url: str, client: JobSubmissionClient) -> None:
        """Keep the client of the server at `url`."""
        self.url = url
        self.client = client

    def nodes(self) -> list[Node]:
        """The living nodes, as `ray.nodes` describes them."""
        with variables_restored():
            _forget_addresses()
            alive = [("state", "=", "ALIVE")]
            found = self._asked(lambda: list_nodes(address=self.url, filters=alive, limit=MOST_NODES))
        return [{"Alive": True, "Resources": node.resources_total or {}, "Labels": node.labels or {}} for node in found]

    def submit(self, words: Sequence[str], folder: Path, metadata: Mapping[str, str]) -> str:
        """Have the cluster run a module of ours in a copy of `folder`; returns the job's id.

        Raises:
            UserError: the cluster refuses the job.
        """
        entrypoint = shlex.join([PYTHON, "-m", *words])
        try:
            return str(
                self.client.submit_job(
                    entrypoint=entrypoint, runtime_env={"working_dir": str(folder)}, metadata=dict(metadata)
                )
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{FLAG} {self.url}: the job is refused ({_words_of(error)})") from None

    def ask(self, words: Sequence[str], folder: Path, seconds: float) -> Answer:
        """Run a module of ours on the head and wait for its answer; the job is gone afterwards.

        Raises:
            UserError: it does not end within so many seconds, or can't run there.
        """
        job = self.submit(words, folder, {OURS: "question"})
        try:
            if not self.await_end(job, seconds):
                raise UserError(f"{FLAG} {self.url}: did not answer within {seconds:g} s; is its head busy?")
            log = self._asked(lambda: self.client.get_job_logs(job))
            message = self._asked(lambda: str(self.client.get_job_info(job).message or ""))
        finally:
            self._remove(job)
        answers = [line for line in log.splitlines() if line.startswith(ANSWER)]
        return Answer(json.loads(answers[-1].removeprefix(ANSWER)) if answers else None, log or message)

    @contextmanager
    def listening(self, words: Sequence[str], folder: Path) -> Iterator[Iterator[str | None]]:
        """Run a module of ours on the head for the duration of a block; yields what it prints, see `lines_of`."""
        job = self.submit(words, folder, {OURS: "question"})
        try:
            with closing(self.lines_of(job)) as lines:
                yield lines
        finally:
            self._remove(job)

    def lines_of(self, job: str) -> Generator[str | None, None, None]:
        """What a job prints, line by line as it does, until it ends; None each time that it was silent for a while."""
        chunks, text = self.client.tail_job_logs(job), ""
        with asyncio.Runner() as runner:

            async def chunk(reading: "asyncio.Future[str] | None") -> "tuple[asyncio.Future[str], bool]":
                reading = reading or asyncio.ensure_future(anext(chunks))
                done, _ = await asyncio.wait([reading], timeout=SILENT_SECONDS)
                return reading, bool(done)

            reading = None
            while True:
                reading, done = runner.run(chunk(reading))
                if not done:
                    yield None
                    continue
                try:
                    text += reading.result()
                except StopAsyncIteration:
                    break
                except SILENCED as error:
                    raise self._no_answer(error) from None
                reading = None
                *lines, text = text.split("\n")
                yield from lines
        if text:
            yield text

    def await_end(self, job: str, seconds: float) -> bool:
        """Wait for the end of a job; False: it has not come within so many seconds."""
        end = time.monotonic() + seconds
        while not self._asked(lambda: self.client.get_job_status(job)).is_terminal():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def sweep_job(self, job: str) -> JobDetails:
        """What Ray knows of a job of ours.

        Raises:
            UserError: there is none of this id.
        """
        found = next((one for one in self.sweep_jobs() if one.submission_id == job), None)
        if found is None:
            raise UserError(
                f"{job}: no sweep of this id was submitted to {self.url}; accepted: an id that `list` prints"
            )
        return found

    def sweep_jobs(self) -> list[JobDetails]:
        """The jobs that are sweeps of ours, the youngest first."""
        jobs = [job for job in self._asked(self.client.list_jobs) if (job.metadata or {}).get(OURS) == "sweep"]
        return sorted(jobs, key=lambda job: job.start_time or 0, reverse=True)

    def _asked(self, ask: Callable[[], T]) -> T:
        """What the cluster answers; a head that has gone, or refuses, is told in one line."""
        try:
            return ask()
        except SILENCED as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> UserError:
        return UserError(f"{FLAG} {self.url}: gives no answer any more ({_words_of(error)})")

    def _remove(self, job: str) -> None:
        with suppress(UserError, *SILENCED):  # the cluster has ended meanwhile
            if not self.client.get_job_status(job).is_terminal():
                self.client.stop_job(job)
                self.await_end(job, 2 * CONNECT_SECONDS)
            for _ in range(MOST_DELETIONS):  # until the client raises: there is no such job any more
                self.client.delete_job(job)
                time.sleep(FORGET_SECONDS)
                self.client.get_job_info(job)


def reach(given: str | None) -> Cluster:
    """The cluster at an address, or at the one that Ray's own commands of jobs would take.

    Raises:
        UserError: no address, or one at which no job server of our Ray answers.
    """
    address = given or next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if address is None:
        raise UserError(f"{FLAG} is missing, and {VARIABLES[0]} is not set; {ACCEPTED}")
    shown = without_secrets(address)
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise UserError(f"{FLAG}: the address has a login in it, which logs would show; {ACCEPTED}")
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{FLAG} {shown}: is no address of a job server; {ACCEPTED}")
    pass_proxies_by()
    _check_version(address.rstrip("/"), shown)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("ray.")]:
        logging.getLogger(name).setLevel(logging.ERROR)  # the client tells of each package that it sends
    try:
        with variables_restored():
            _forget_addresses()
            return Cluster(address.rstrip("/"), JobSubmissionClient(address.rstrip("/")))
    except AuthenticationError:
        raise UserError(
            f"{FLAG} {shown}: asks for a token, and takes not the one that is set here; accepted: RAY_AUTH_MODE=token "
            "with the cluster's token in ~/.ray/auth_token, or where RAY_AUTH_TOKEN_PATH says"
        ) from None
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{FLAG} {shown}: no Ray cluster answers there ({_words_of(error)}); {ACCEPTED}") from None


def _check_version(address: str, shown: str) -> None:
    """Refuse what is no job server, before Ray's client waits for it without end, and one of another Ray."""
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=CONNECT_SECONDS) as answer:
            version = str(json.loads(answer.read(4096))["ray_version"])
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # it asks for a token, which Ray's client has; a question is told the version
            return
        raise UserError(f"{FLAG} {shown}: no Ray cluster answers there (HTTP {error.code}); {ACCEPTED}") from None
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{FLAG} {shown}: no Ray cluster answers there ({_words_of(error)}); {ACCEPTED}") from None
    if version != ray.__version__:
        raise UserError(f"{FLAG} {shown}: runs Ray {version}, and here is Ray {ray.__version__}; accepted: the same")


def _forget_addresses() -> None:
    for name in VARIABLES:
        os.environ.pop(name, None)


def _words_of(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    said = first_line(reason) if isinstance(reason, BaseException) else first_line(error)
    return shortened(without_secrets(said), LONGEST_WORDS)
