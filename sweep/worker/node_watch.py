"""Whether the machine of this process is about to be taken away, as spot instances are.

A notice is a file that whoever takes the machine away makes, or what the cloud says to the machine itself:

- AWS: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html, two minutes ahead.
- Google Cloud: https://cloud.google.com/compute/docs/instances/create-use-preemptible#detecting_if_a_vm_was_preempted,
  thirty seconds ahead.

A machine that is no cloud's is asked nothing.
"""

import functools
import json
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

NOTICE_VARIABLE = "SFT_SWEEP_NOTICE"
"""Names the file that is a notice; without it the file is NOTICE_FILE in the temporary directory."""
NOTICE_FILE = "sft-sweep-notice"
AWS_VARIABLE, GOOGLE_VARIABLE, AWS_DISABLED = (
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "GCE_METADATA_HOST",
    "AWS_EC2_METADATA_DISABLED",
)
"""Where the clouds' own libraries look for another address of the service that tells a machine about itself."""
ASK_SECONDS, ANSWER_SECONDS = 5.0, 2.0
NOTICE_SECONDS = 3600.0
TOKEN_SECONDS = 21_600
MAKER_FILES = tuple(Path("/sys/class/dmi/id", name) for name in ("sys_vendor", "bios_vendor", "bios_version"))

Ask = Callable[[], str | None]
"""Why the machine will be taken away; None: nothing says so. Raises OSError where nobody answers."""


class NodeWatch:
    """Asks every few seconds, in a thread of its own, whether the machine will be taken away."""

    def __init__(self, asks: Sequence[Ask], every_seconds: float = ASK_SECONDS) -> None:
        """Begin to ask, so often."""
        self._asks = asks
        self._every_seconds = every_seconds
        self._notice: str | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def notice(self) -> str | None:
        """Why the machine will be taken away; None while nothing says so. What was said once stays."""
        return self._notice

    def _watch(self) -> None:
        waits = threading.Event()
        while self._notice is None:
            self._notice = first_notice(self._asks)
            waits.wait(self._every_seconds)


@functools.cache
def node_watch() -> NodeWatch:
    """The one of this process."""
    return NodeWatch(sources())


def first_notice(asks: Sequence[Ask]) -> str | None:
    """What the first one says that has something to say. Who doesn't answer now may answer next time."""
    for ask in asks:
        try:
            if (notice := ask()) is not None:
                return notice
        except (
            OSError,
            HTTPException,
            ValueError,
            LookupError,
            TypeError,
        ):  # a service that is away, or is none of that kind
            continue
    return None


def sources() -> list[Ask]:
    """Whom to ask on this machine."""
    asks: list[Ask] = [file_notice]
    maker = " ".join(_read(path) for path in MAKER_FILES).lower()
    if os.environ.get(AWS_DISABLED, "").lower() != "true" and (AWS_VARIABLE in os.environ or "amazon" in maker):
        asks.append(AwsNotice(os.environ.get(AWS_VARIABLE, "http://169.254.169.254").rstrip("/")))
    if GOOGLE_VARIABLE in os.environ or "google" in maker:
        asks.append(GoogleNotice(f"http://{os.environ.get(GOOGLE_VARIABLE, '169.254.169.254')}"))
    return asks


def file_notice() -> str | None:
    """The file, if this user or root has made it within the last hour: an old one came to nothing."""
    path = Path(os.environ.get(NOTICE_VARIABLE) or Path(tempfile.gettempdir(), NOTICE_FILE))
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    is_meant = found.st_uid in (0, os.getuid()) and time.time() - found.st_mtime < NOTICE_SECONDS
    return f"{path} says so" if is_meant else None


class AwsNotice:
    """Asks the instance metadata service of AWS, version 2."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._token = ""

    def __call__(self) -> str | None:
        """See `Ask`."""
        self._token = self._token or self._new_token()
        path = f"{self._address}/latest/meta-data/spot/instance-action"
        try:
            said = _answer(urllib.request.Request(path, headers={"X-aws-ec2-metadata-token": self._token}))
        except urllib.error.HTTPError as error:
            if error.code == 404:  # no notice
                return None
            self._token = ""  # it has expired: the next time asks for another
            raise
        told = json.loads(said)
        return f"AWS will {told['action']} it at {told['time']}"

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        return _answer(urllib.request.Request(f"{self._address}/latest/api/token", headers=headers, method="PUT"))


class GoogleNotice:
    """Asks the metadata server of Google Cloud."""

    def __init__(self, address: str) -> None:
        self._address = f"{address}/computeMetadata/v1/instance/preempted"

    def __call__(self) -> str | None:
        """See `Ask`."""
        said = _answer(urllib.request.Request(self._address, headers={"Metadata-Flavor": "Google"}))
        return "Google Cloud is taking it back" if said.strip() == "TRUE" else None


def _answer(request: urllib.request.Request) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy would answer for another machine
    with direct.open(request, timeout=ANSWER_SECONDS) as answer:
        text: str = answer.read(4096).decode("utf-8", errors="replace")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
