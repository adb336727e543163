"""Pushes an export to the Hugging Face hub. Nothing else of this project sends anything there."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils.tqdm import disable_progress_bars

from basis.errors import UserError, first_line

NO_NAME = "is no name of a repository; accepted: OWNER/NAME, of letters, digits, single - and ., and _"


def check_push(repository: str) -> None:
    """Refuse a push that could not succeed, before anything is written.

    Raises:
        UserError: a name that is none, no token, or one that the hub does not know.
    """
    try:
        hf_hub_url(repository, "README.md")  # asks nobody, and checks the name as every call does
    except HFValidationError:
        raise UserError(f"--push {repository}: {NO_NAME}") from None
    if "/" not in repository:
        raise UserError(f"--push {repository}: {NO_NAME}")
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"--push {repository}: HF_HUB_OFFLINE forbids it; unset it")
    if get_token() is None:
        raise UserError(f"--push {repository}: no token; log in with `hf auth login`, or set HF_TOKEN")
    with _explained(repository, ""):
        HfApi().whoami()


def push(folder: Path, repository: str, say: Callable[[str], None]) -> str:
    """Push a folder's files as one commit; a repository that is new is private.

    Returns:
        The page of the repository.

    Raises:
        UserError: the hub refuses, or can't be reached. The folder stays as it is.
    """
    with _explained(repository, f"; the export stays in {folder}"):
        if not sys.stderr.isatty():
            disable_progress_bars()
        api = HfApi()
        made = api.create_repo(repository, private=True, exist_ok=True)
        say(f"pushing to {made}")
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Export of a sweep")
    return str(made)


@contextmanager
def _explained(repository: str, behind: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the client, the network and the disk raise a dozen unrelated types
        raise UserError(f"--push {repository}: {_reason(error, repository)}{behind}") from error


def _reason(error: Exception, repository: str) -> str:
    hub = f"the hub ({constants.ENDPOINT})"
    match error:
        case HFValidationError():
            return NO_NAME
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids it; unset it"
        case HfHubHTTPError(response=response) if response is not None and response.status_code == 401:
            return f"{hub} does not know your token; log in with `hf auth login`, or set another HF_TOKEN"
        case HfHubHTTPError(response=response) if response is not None and response.status_code == 403:
            return f"your token may not write to {repository}; accepted: a token of role write, and a name of your own"
        case HfHubHTTPError(response=response) if response is not None:
            return f"{hub} answers {response.status_code}"
    return f"{hub} can't be reached ({first_line(error)})"
