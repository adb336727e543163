"""Posts JSON to a URL, again and again while that may help. No message names more of the URL than its host."""

import base64
import json
import time
from collections.abc import Callable
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

ANSWER_SECONDS = 10.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
MOST_TRIES, MOST_ASKED_SECONDS = 6, 60.0
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed."""


class NotPostedError(Exception):
    """Nobody has taken the body; the message says why, in a line without the URL."""


class _NoRedirects(HTTPRedirectHandler):
    """A redirect may lead to another host, which is not to have the body."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """None: it is an error."""
        return None


def post(
    url: str,
    body: dict[str, Any],
    sleep: Callable[[float], object] = time.sleep,
    until: Callable[[], float] = lambda: 0.0,
) -> None:
    """Post a body as JSON.

    Args:
        url: of http or https.
        body: what to post.
        sleep: waits so many seconds, or less where there is a reason to try at once. Retry-After is waited for in full.
        until: gives the time of `time.monotonic` after which no wait may end; 0: any may.

    Raises:
        NotPostedError: refused, or still not taken after MOST_TRIES.
    """
    host = urlsplit(url).hostname or ""
    wait, why = FIRST_WAIT_SECONDS, ""
    for attempt in range(MOST_TRIES):
        asked: float | None = None
        try:
            _post_once(url, body)
            return
        except HTTPError as error:
            error.close()
            why = f"{host} answers {error.code}"
            if 300 <= error.code < 400:
                raise NotPostedError(
                    f"{why}, a redirect, which is not followed; name the URL that it leads to"
                ) from None
            if error.code not in RETRIED:
                raise NotPostedError(why) from None
            asked = _retry_after(error.headers)
        except (OSError, HTTPException, ValueError) as error:
            why = f"{host} can't be reached ({_reason(error)})"
        if asked is not None and asked > MOST_ASKED_SECONDS:
            raise NotPostedError(f"{why} and asks to wait {asked:.0f} s")
        pause = max(wait, asked or 0.0)
        if attempt == MOST_TRIES - 1 or (until() and time.monotonic() + pause > until()):
            break
        (sleep if asked is None else time.sleep)(pause)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
    raise NotPostedError(why)


def _post_once(url: str, body: dict[str, Any]) -> None:
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json", "User-Agent": "sft-sweep"}
    if parts.username is not None:  # urllib would take it for a part of the host
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = Request(url, json.dumps(body).encode(), headers, method="POST")
    build_opener(_NoRedirects).open(request, timeout=ANSWER_SECONDS).close()


def _retry_after(headers: Message) -> float | None:
    """The seconds that an answer asks to wait: a number, or a date (RFC 9110, 10.2.3)."""
    asked = (headers.get("Retry-After") or "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _reason(error: Exception) -> str:
    """What an error says without an address: its type's name where it says nothing else."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "no answer in time" if isinstance(cause, TimeoutError) else type(cause).__name__
