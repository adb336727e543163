"""A network of its own, for what would listen on every address."""

import subprocess

APART = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""Runs a command in a network of its own, which has nothing but loopback."""

NOT_APART = "needs unshare and ip, and to be allowed a network of its own"


def can_be_apart() -> bool:
    """Whether this machine has what it takes, and allows it."""
    try:
        return subprocess.run([*APART, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
