"""The one exception whose message is meant for the user: printed as a single line, without a traceback."""


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and what would be accepted."""
