"""How the process that sends says how it has ended, for who waits for it without importing pyarrow."""

EXIT_UNSENT = 1
"""Something could not be sent."""

EXIT_LOST = 3
"""Another sweep has taken the folder in the store."""
