"""How one signs in to Ray's dashboard, which asks for a token.

Ray 2.60 takes it from a box of its page or from a request's headers, and from no address (`/api/authenticate` in
ray/dashboard/http_server_head.py), so no link can sign anybody in.
"""

import os
import shlex
from pathlib import Path

from sweep.cluster.privacy import TOKEN_PATH


def described_dashboard(url: str | None, is_own: bool, is_terminal: bool) -> list[str]:
    """Where Ray's dashboard is, and the token that it asks for, line by line.

    Args:
        url: its address; None: a cluster that has none.
        is_own: whether Ray is our own, whose token we know.
        is_terminal: whether a person reads the lines and no file keeps them; the token itself goes there alone.
    """
    if url is None:
        return ["Ray's dashboard: the cluster has none"]
    if not is_own:
        return [f"Ray's dashboard: {url} (if it asks for a token: `ray get-auth-token` prints it on the cluster)"]
    token_file = Path(os.environ[TOKEN_PATH])
    if not is_terminal:
        return [f"Ray's dashboard: {url} (it asks for a token: `cat {shlex.quote(str(token_file))}` prints it)"]
    return [f"Ray's dashboard: {url}; it asks for this token:", token_file.read_text(encoding="utf-8")]
