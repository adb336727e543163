"""Turns errors of the hub's client into one line that says what the user can do."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from basis.errors import UserError, first_line
from sweep.schema.hub_names import HubName
from sweep.schema.places import folder_hint

Kind = Literal["model", "dataset"]
"""Kinds of repositories; tokenizers and reward models are models."""


@contextmanager
def explained(name: HubName, kind: Kind, key: str) -> Iterator[None]:
    """Turn any error within a `with` block into one line that says what the user can do.

    Args:
        name: the repository that is asked for.
        kind: the kind of repository that it should be.
        key: the key of the spec that the line names.

    Raises:
        UserError: instead of any other exception.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the client, the network and the disk raise a dozen unrelated types
        hint = folder_hint(name.name) if kind == "model" else ""
        raise UserError(f"{key}: {name.shown!r} {_reason(error, name, kind)}{hint}") from error


def _reason(error: BaseException, name: HubName, kind: Kind) -> str:
    """Why the repository can't be had and what the user can do, as the rest of a sentence that begins with its name."""
    hub, cache = f"the hub ({constants.ENDPOINT})", constants.HF_HUB_CACHE
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name.name}"
    what = "data set" if kind == "dataset" else "model"
    causes = list(_causes(error))
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return f"is not (whole) in the cache {cache}, and HF_HUB_OFFLINE forbids downloading it"
    for cause in causes:
        match cause:
            case GatedRepoError() if cause.response.status_code == 403:
                return f"is gated, and you are not among those who may read it: ask for access at {page}"
            case GatedRepoError():
                return f"is gated: ask for access at {page}, then log in with `hf auth login` or set HF_TOKEN"
            case RevisionNotFoundError():
                return f"has no revision {name.revision!r}; accepted: a branch, tag or commit of {page}"
            case RemoteEntryNotFoundError():
                break  # a file that its own list names: the hub's fault, and no answer to whether the name is right
            case HfHubHTTPError() if isinstance(cause, RepositoryNotFoundError) or _is_no_repository(cause):
                return (
                    f"is no {what} on {hub} that you may see; check the name, or if it is private or gated "
                    "log in with `hf auth login` or set HF_TOKEN"
                )
            case HFValidationError():
                return "is no name on the hub; accepted: 'name' or 'owner/name'"
            case HfHubHTTPError() if cause.response.status_code == 401:
                mend = "correct or unset HF_TOKEN" if os.environ.get("HF_TOKEN") else "`hf auth login` sets another"
                return f"can't be had: {hub} does not know your token; {mend}"
            case HfHubHTTPError() if cause.response.status_code == 429:
                return f"can't be had now: {hub} takes no more requests (429); wait, or log in, which raises the limit"
            case HfHubHTTPError() if cause.response.status_code == 403:
                return f"may not be read by you: {hub} answers 403 Forbidden; ask for access at {page}"
            case OSError(errno=28):
                return f"does not fit on the disk of {cache}; make room, or set HF_HOME to another"
            case OSError() if cause.filename:
                return f"can't be kept in {cache} ({cause.strerror}); set HF_HOME to another folder"
    unreachable = (RevisionResolutionError, LocalEntryNotFoundError, IncompleteSnapshotError)
    if any(isinstance(cause, unreachable) for cause in causes):
        return f"can't be had: {hub} does not answer ({first_line(causes[-1])}), and it is not in the cache {cache}"
    told = f"{hub} answers {answered.status_code}" if (answered := _answer(causes)) else first_line(error)
    return f"could not be downloaded ({told}); what has come is kept, so run the command again"


def _answer(causes: Sequence[BaseException]) -> Any:
    """The hub's response if it was an error; its status is clearer than the client's message. None without one."""
    return next((cause.response for cause in causes if isinstance(cause, HfHubHTTPError)), None)


def _is_no_repository(error: HfHubHTTPError) -> bool:
    """Whether an error is a 404 for a repository, and not for a file in storage elsewhere."""
    return error.response.status_code == 404 and "/api/" in str(error.response.url)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and the errors that led to it, the last one first."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
