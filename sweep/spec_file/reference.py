"""What each key of a spec means."""

from basis.errors import UserError


def explain_key(key: str) -> str:
    """What a key of a spec means, such as "trial.lr".

    Raises:
        UserError: there is no such key.
    """
    raise UserError(f"--explain {key}: no such key")
