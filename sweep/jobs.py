"""The command line `python -m sweep.jobs ACTION`: what can be done with submitted sweeps from afar."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

import argparse

from rich.console import Console
from rich.text import Text

from basis.documents.documents import JSON_FLAG, print_document
from basis.documents.jobs import JobsDocument
from basis.documents.progress import ProgressDocument, StatusDocument
from basis.scripts import as_called
from sweep.command import run_command
from sweep.machine.environment import speak_utf8
from sweep.requests import OneLineParser

if TYPE_CHECKING:
    from sweep.submission.cluster import Cluster

EXAMPLES = """examples:
  jobs list --cluster http://HEAD:8265     the sweeps that were submitted there
  jobs status ID                           how far one is
  jobs logs ID --follow                    what it prints, as it does
  jobs watch ID                            what happens in it, and who leads
  jobs stop ID                             it ends as after Ctrl-C, with its report, and can be resumed
  jobs resume ID                           it goes on, with the code that is here
  jobs fetch ID FOLDER                     its experiment directory, copied here

Without --cluster: $RAY_API_SERVER_ADDRESS, or $RAY_ADDRESS, as Ray's own commands of jobs.
Exit code: 0 done, 2 refused, 130 interrupted; the sweep goes on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(
        lambda console: _answer(_parser().parse_args(words), console), words, "interrupted; the sweep goes on"
    )


def _answer(arguments: argparse.Namespace, console: Console) -> int:
    from sweep.submission.cluster import reach  # imports Ray

    if arguments.action == "fetch":
        from sweep.submission.jobs import check_fetched_into

        check_fetched_into(arguments.folder)
    cluster = reach(arguments.cluster)
    match arguments.action:
        case "list":
            return _list(cluster, arguments, console)
        case "logs":
            return _logs(cluster, arguments)
        case "watch":
            return _watch(cluster, arguments, console)
        case "fetch":
            return _fetch(cluster, arguments, console)
    return _tell_of_one(cluster, arguments, console)


def _list(cluster: "Cluster", arguments: argparse.Namespace, console: Console) -> int:
    from sweep.submission.documents import job_part

    parts = [job_part(job) for job in cluster.sweep_jobs()]
    if arguments.json:
        print_document(JobsDocument(cluster=cluster.url, jobs=parts), sys.stdout)
        return 0
    for part in parts:
        line = f"{part.id}  {part.state:9}  {(part.began or '')[:16]}  {part.name}  {part.output}"
        console.print(Text(line), soft_wrap=True)
    if not parts:
        console.print(Text(f"no sweep was submitted to {cluster.url}"), soft_wrap=True)
    return 0


def _tell_of_one(cluster: "Cluster", arguments: argparse.Namespace, console: Console) -> int:
    """What is answered with one job: its status, its end, or another start."""
    from sweep.submission.documents import job_document
    from sweep.submission.jobs import resume, stop, sweep_status

    job, sweep, said = cluster.sweep_job(arguments.id), None, ""
    name = arguments.id
    match arguments.action:
        case "status":
            sweep = sweep_status(cluster, job)
        case "stop":
            said = stop(cluster, job)
        case "resume":
            name = resume(cluster, job, arguments.env)
    document = job_document(cluster, name, sweep)
    if arguments.json:
        print_document(document, sys.stdout)
        return 0
    part = document.job
    ended = "" if part.exit_code is None else f" (exit code {part.exit_code})"
    lines = [f"{part.id}: {part.state}{ended}; {part.name} in {part.output}", *([said] if said else [])]
    lines += [_progress(sweep)] if sweep else []
    if part.state in ("resumable", "failed"):
        lines += [f"continue with: {as_called('sweep.jobs', 'resume', part.id, '--cluster', cluster.url)}"]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    return 0


def _progress(told: StatusDocument | ProgressDocument) -> str:
    """How far a sweep is, in a line."""
    counts = ", ".join(f"{number} {state}" for state, number in told.counts if number)
    left = "" if told.seconds_left is None else f"; about {told.seconds_left / 60:.0f} min left"
    leader = told.leader
    leads = "" if leader is None else f"; {leader.arm} leads, {leader.metric} {leader.loss:.4f}"
    return f"{counts or 'nothing yet'} of {told.total} trials{left}{leads}"


def _logs(cluster: "Cluster", arguments: argparse.Namespace) -> int:
    cluster.sweep_job(arguments.id)
    if arguments.follow:
        for line in cluster.lines_of(arguments.id):
            if line is not None:
                print(line, flush=True)
    else:
        print(cluster.client.get_job_logs(arguments.id), end="", flush=True)
    return 0


def _watch(cluster: "Cluster", arguments: argparse.Namespace, console: Console) -> int:
    from sweep.submission.jobs import watch

    before = ""
    for document in watch(cluster, cluster.sweep_job(arguments.id)):
        if arguments.json:
            print_document(document, sys.stdout)
        elif (line := _progress(document)) != before:
            console.print(Text(f"{document.time[11:19]}  {line}"), soft_wrap=True)
            before = line
    return 0


def _fetch(cluster: "Cluster", arguments: argparse.Namespace, console: Console) -> int:
    from sweep.submission.jobs import check_fetched_into, fetch

    folder = check_fetched_into(arguments.folder)
    console.print(Text(f"{folder}: {fetch(cluster, cluster.sweep_job(arguments.id), folder)}"), soft_wrap=True)
    return 0


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog=as_called("sweep.jobs"),
        description="List, follow, stop, resume and fetch sweeps that were submitted to a Ray cluster.",
        epilog=EXAMPLES.replace("  jobs", f"  {as_called('sweep.jobs')}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, about in (
        ("list", "the sweeps that were submitted to the cluster"),
        ("status", "how far a sweep is"),
        ("logs", "what a sweep has printed"),
        ("watch", "what happens in a sweep, until it has ended"),
        ("stop", "end a sweep as after Ctrl-C, and wait for its report"),
        ("resume", "go on with a sweep, with the code that is here"),
        ("fetch", "copy the experiment directory of a sweep"),
    ):
        one = actions.add_parser(action, help=about)
        if action != "list":
            one.add_argument("id", metavar="ID", help="the job's id, as submit and list print it")
        if action == "fetch":
            one.add_argument("folder", metavar="FOLDER", help="a new folder of this machine")
        if action == "logs":
            one.add_argument("--follow", action="store_true", help="go on printing until the sweep has ended")
        if action == "resume":
            one.add_argument("--env", action="append", default=[], metavar="NAME", help="send this variable along")
        if action not in ("logs", "fetch"):
            one.add_argument(JSON_FLAG, action="store_true", help="print JSON documents (see docs/json.md)")
        one.add_argument("--cluster", metavar="URL", help="the cluster's job server, such as http://HEAD:8265")
    return parser


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
