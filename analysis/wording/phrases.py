"""Parts of sentences that several findings are made of."""

MOST_PARTS = 8
"""How many arms a sentence names one by one before it only counts them."""


def count(number: int, noun: str) -> str:
    """A number with its noun, such as "2 arms"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join(parts: list[str], word: str = "and") -> str:
    """An enumeration such as "a, b and c", cut where it would be long."""
    if len(parts) > MOST_PARTS + 1:
        parts = [*parts[:MOST_PARTS], f"{len(parts) - MOST_PARTS} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def holm_adjusted(number: int, noun: str, looks: int) -> str:
    """How p-values were adjusted, such as "Holm-adjusted for 6 pairs"."""
    times = f", each p-value first multiplied by {looks} looks at the data" if looks > 1 else ""
    return f"Holm-adjusted for {count(number, noun)}{times}"
