"""Sends a sweep to a cluster, once everything has been checked."""

import hashlib
import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ray.job_submission import JobDetails

from basis.directory import SPEC_FILE
from basis.errors import UserError
from sweep.provenance.code_version import code_version
from sweep.schema.limits import Limits
from sweep.schema.tracking import NOTIFY_VARIABLE, notify_url, notify_variable
from sweep.submission.begin import SENT_FOLDER
from sweep.submission.checks import check_cluster
from sweep.submission.cluster import OURS, Cluster, reach
from sweep.submission.inputs import Sent, named_here, to_send, with_sent
from sweep.submission.output import cluster_output
from sweep.submission.package import named_variables, pack
from sweep.submission.resolved import Resolved, resolved

NAME, OUTPUT, VERSION, SPEC, LIMITS = "name", "output", "version", "spec", "limits"
"""Keys of a sweep's job: its name, its experiment directory, our version, a hash of its spec, and flags of `Limits`."""
ENTRY = "sweep.submission.begin"


@dataclass(frozen=True)
class Submitted:
    """A sweep that runs on a cluster, or waits to.

    Attributes:
        job: its id.
        cluster: where.
        output: its experiment directory there, or its address in object storage.
        ran_already: whether this very sweep was there already, and nothing was sent.
    """

    job: str
    cluster: Cluster
    output: str
    ran_already: bool


def submit(
    spec: str,
    settings: Sequence[str],
    address: str | None,
    output: str,
    env: Sequence[str],
    limits: Limits,
    say: Callable[[str], None],
) -> Submitted:
    """Check a sweep and the cluster, and send the sweep; the same words while it runs send nothing.

    Args:
        spec: a preset's name or the path of a YAML file.
        settings: changes to it, each "key=value".
        address: of the cluster's job server; None: where Ray's own commands look.
        output: the experiment directory on the cluster, or an address in object storage.
        env: names of variables whose values go along.
        limits: what its running trials may take together.
        say: told what is out of the ordinary, one line at a time.

    Raises:
        UserError: what is wrong with any of it, in one line. Nothing is left on the cluster then.
    """
    place = cluster_output(output)
    variables = named_variables(env)
    with resolved(spec, tuple(settings)) as found:
        variables |= _of_notify(found.plan.spec.notify, variables)
        named = [one for one in named_here(found.local) if str(one.path) not in found.elsewhere]
        to_send(named, {str(one.path): one.size_bytes for one in named})
        cluster = reach(address)
        sizes, remark = check_cluster(cluster, found, named, place, variables)
        if remark:
            say(remark)
        sent = to_send(named, sizes)
        values = with_sent(found.plain, found.local, sent, place)
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        if (running := running_in(cluster, place, digest)) is not None:
            kept, wanted = running.metadata.get(LIMITS, ""), shlex.join(limits.words)
            if kept != wanted:
                say(f"it goes on as it was submitted: {kept or 'without limits'}, not {wanted or 'without limits'}")
            return Submitted(str(running.submission_id), cluster, place, ran_already=True)
        metadata = {**_metadata(found, place, digest), LIMITS: shlex.join(limits.words)}
        return Submitted(_send(cluster, values, sent, place, variables, metadata), cluster, place, ran_already=False)


def running_in(cluster: Cluster, output: str, digest: str) -> JobDetails | None:
    """The job that runs the very sweep in `output`; None: none runs there.

    Raises:
        UserError: another sweep runs there.
    """
    for job in cluster.sweep_jobs():
        if job.metadata[OUTPUT] == output and not job.status.is_terminal():
            if job.metadata[SPEC] == digest:
                return job
            raise UserError(f"--output {output}: another sweep runs there, {job.submission_id}; name another directory")
    return None


def send(cluster: Cluster, output: str, fill: Callable[[Path], None], metadata: Mapping[str, str]) -> str:
    """Send a package to the cluster as a sweep's job; `fill` puts into it what is needed. Returns the job's id."""
    with tempfile.TemporaryDirectory(prefix="sft-sweep-") as folder:
        fill(Path(folder))
        limits = shlex.split(metadata.get(LIMITS, ""))
        return cluster.submit([ENTRY, output, *limits], Path(folder), metadata)


def _send(
    cluster: Cluster,
    values: Mapping[str, Any],
    sent: Sequence[Sent],
    output: str,
    variables: Mapping[str, str],
    metadata: Mapping[str, str],
) -> str:
    def fill(folder: Path) -> None:
        pack(folder, variables)
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
        (folder / SPEC_FILE).write_text(text, encoding="utf-8")
        for one in sent:
            place = folder / SENT_FOLDER / one.name
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if one.path.is_dir() else shutil.copyfile)(one.path, place)

    return send(cluster, output, fill, metadata)


def _metadata(found: Resolved, output: str, digest: str) -> dict[str, str]:
    return {
        OURS: "sweep",
        NAME: found.plan.spec.name,
        OUTPUT: output,
        VERSION: code_version().version,
        SPEC: digest,
    }


def _of_notify(notify: str | None, variables: Mapping[str, str]) -> dict[str, str]:
    """The variable by which the cluster gets the URL of a spec's `notify`, which no file there has.

    Raises:
        UserError: the spec names a variable that does not go along.
    """
    if (name := notify_variable(notify)) is None:
        return {NOTIFY_VARIABLE: notify} if notify else {}
    if name not in variables:
        raise UserError(f"notify: ${name} does not go along; accepted: --env {name}, or a spec without notify")
    notify_url(notify)
    return {}
