"""The command line `python -m sweep.submit SPEC --cluster URL --output DIR`: has a cluster run a sweep by itself."""

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

import argparse

from rich.console import Console
from rich.text import Text

from basis.documents.documents import JSON_FLAG, print_document
from basis.scripts import as_called
from sweep.command import remarks_on, run_command
from sweep.machine.environment import speak_utf8
from sweep.requests import OneLineParser
from sweep.schema.limits import add_limits, limits_of

EPILOG = (
    "Before anything is sent, spec, versions, resources, storage, data and models are checked there. The sweep then "
    "needs this machine no more; the same command while it runs, or later, is the same sweep. "
    "Exit code: 0 it runs or waits to, 2 refused, and nothing is left on the cluster, 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda console: _submit(_parser().parse_args(words), console), words)


def _submit(arguments: argparse.Namespace, console: Console) -> int:
    from sweep.submission.submit import submit  # imports Ray

    sent = submit(
        arguments.spec,
        arguments.set,
        arguments.cluster,
        arguments.output,
        arguments.env,
        limits_of(arguments),
        remarks_on(console),
    )
    if arguments.json:
        from sweep.submission.documents import job_document

        print_document(job_document(sent.cluster, sent.job), sys.stdout)
        return 0
    how = "runs already" if sent.ran_already else "submitted"
    console.print(Text(f"{how}: {sent.job} on {sent.cluster.url}, into {sent.output}"), soft_wrap=True)
    follow = as_called("sweep.jobs", "logs", sent.job, "--follow", "--cluster", sent.cluster.url)
    console.print(Text(f"follow it with: {follow}"), soft_wrap=True)
    return 0


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog=as_called("sweep.submit"), description="Have a Ray cluster run a sweep by itself.", epilog=EPILOG
    )
    parser.add_argument("spec", metavar="SPEC", help="a preset's name or the path of a YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the spec")
    parser.add_argument(
        "--cluster",
        metavar="URL",
        help="the cluster's job server, such as http://HEAD:8265 (default: $RAY_API_SERVER_ADDRESS, or $RAY_ADDRESS)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="experiment directory, on storage that all nodes share"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME", help="send this variable of the environment along"
    )
    add_limits(parser)
    parser.add_argument(JSON_FLAG, action="store_true", help="print the answer as a JSON document (see docs/json.md)")
    return parser


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
