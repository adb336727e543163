"""How trials end."""

OUT_OF_MEMORY = "OutOfMemoryError"
"""Name of the exception that a trial ends with when it has run out of memory for good."""
