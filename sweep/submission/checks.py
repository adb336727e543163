"""What is checked on a cluster before a sweep is sent there: in half a minute, and in one line each."""

import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from basis.errors import UserError, shortened
from basis.packages import ROOT
from sweep.cluster.privacy import without_secrets
from sweep.cluster.probe import await_resources
from sweep.hub.pin import hub_names
from sweep.provenance.code_version import PROJECT
from sweep.submission.answer import versions
from sweep.submission.cluster import FLAG, Cluster
from sweep.submission.inputs import Sent, are_small
from sweep.submission.package import pack
from sweep.submission.resolved import Resolved

ANSWER_SECONDS = 25
"""For which an answer is awaited; an idle head takes five."""
CALLED = {"python": "Python", "ray": "Ray", "torch": "torch"}


def check_cluster(
    cluster: Cluster, found: Resolved, named: Sequence[Sent], output: str, variables: Mapping[str, str]
) -> tuple[dict[str, int], str | None]:
    """Check that a cluster can run a sweep.

    Args:
        cluster: where.
        found: the sweep.
        named: what it names on this machine.
        output: its experiment directory on the cluster, or its address.
        variables: what goes along with it.

    Returns:
        The sizes there of what is too much to be sent, and a remark if trials must wait for the cluster to grow.

    Raises:
        UserError: what the cluster lacks.
    """
    remark = await_resources(cluster.nodes(), found.plan.spec.resources)
    asked = {
        "elsewhere": found.kinds_elsewhere,
        "hub": [[list(name), kind, key] for name, kind, key in hub_names(found.local)],
        "sized": [] if are_small(named) else [str(one.path) for one in named],
    }
    sizes: dict[str, int] = _told(cluster, output, asked, variables)["sizes"]
    return sizes, remark


def check_begun(cluster: Cluster, output: str, variables: Mapping[str, str]) -> None:
    """Check that a cluster can go on with the sweep in `output`.

    Raises:
        UserError: what it lacks, or no sweep has begun there.
    """
    if not _told(cluster, output, {"elsewhere": {}, "hub": [], "sized": []}, variables)["begun"]:
        raise UserError(f"{output}: no sweep has begun there; submit it again")


def _told(cluster: Cluster, output: str, asked: Mapping[str, Any], variables: Mapping[str, str]) -> Mapping[str, Any]:
    """What the cluster answers, once nothing that is always asked speaks against it."""
    question = {"versions": versions(), "libraries": libraries(), "output": output, **asked}
    with tempfile.TemporaryDirectory(prefix="sft-sweep-") as folder:
        pack(Path(folder), variables, question)
        answer = cluster.ask(["sweep.submission.answer"], Path(folder), ANSWER_SECONDS)
    if answer.told is None:
        said = (answer.log.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"{FLAG} {cluster.url}: our code can't run there (it said: {without_secrets(said)})")
    _check_answer(answer.told, question, cluster.url)
    return answer.told


def _check_answer(told: Mapping[str, Any], question: Mapping[str, Any], url: str) -> None:
    for name, here in question["versions"].items():
        if (there := told["versions"].get(name)) != here:
            raise UserError(f"{FLAG} {url}: has {CALLED[name]} {there}, and here is {here}; accepted: the same")
    if told["lacking"]:
        names = shortened(", ".join(told["lacking"]), 100)
        raise UserError(f"{FLAG} {url}: lacks what our code needs ({names}); accepted: nodes with {PROJECT} installed")
    if "refused" in told:
        raise UserError(told["refused"])


def libraries() -> list[str]:
    """The libraries that our code needs, as this package declares them; a checkout's own word counts."""
    pyproject = ROOT / "pyproject.toml"
    if pyproject.is_file():
        declared = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("dependencies", [])
    else:
        try:
            declared = [line for line in requires(PROJECT) or [] if "extra ==" not in line]
        except PackageNotFoundError:
            declared = []
    return sorted(match[0] for line in declared if (match := re.match(r"[\w.-]+", line)))
