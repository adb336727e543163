"""What a fairness ledger flags of the data: what train, validation and test share, is left out, or drawn anew."""

from analysis.fairness.rows import ANEW, LedgerRows
from analysis.fairness.words import which


def leaked_dialogues(rows: LedgerRows) -> list[str]:
    """Test dialogues that also occur in train, or open as one of them does."""
    sentences = []
    for exact, opening, number in dict.fromkeys(
        tuple(row.fact(name) for name in ("overlap_exact", "overlap_opening", "test_dialogues")) for row in rows
    ):
        if exact:
            sentences.append(f"Test dialogues that also occur in train, word for word: {_share(exact, number)}.")
        if opening and (only := opening - (exact or 0)) > 0:
            sentences.append(
                f"Test dialogues that open with the same human turn as a train dialogue, and go on otherwise: "
                f"{_share(only, number)}. On these a model is tested on questions that it was trained to answer."
            )
    return sentences


def records_left_out(rows: LedgerRows) -> list[str]:
    """Records that could not be used and were skipped, as the spec asked for."""
    return [
        f"Broken records of the data that were left out (data.skip_broken): {skipped:,}."
        for skipped in dict.fromkeys(row.fact("skipped_records") for row in rows)
        if skipped
    ]


def examples_cut(rows: LedgerRows) -> list[str]:
    """Examples that are longer than a row, and what is left out of them."""
    parts = [
        f"{cut.side} rows of {cut.block_size:,} tokens{f' of {cut.model}' if cut.model else ''} cut "
        f"{_share(cut.truncated_examples, cut.examples)} by {cut.truncated_tokens:,} tokens and leave out "
        f"{_share(cut.dropped_examples, cut.examples)} with {cut.dropped_tokens:,} tokens"
        for cut in dict.fromkeys(cut for row in rows for cut in row.facts.get("cut_rows", ()))
        if cut.truncated_examples or cut.dropped_examples
    ]
    if not parts:
        return []
    return [
        f"Examples longer than a row: {'; '.join(parts)}. They are left out where no token of an answer would be in "
        "the row."
    ]


def shared_with_validation(rows: LedgerRows) -> list[str]:
    """Validation dialogues that open as a test dialogue does, so that what is chosen by them is not chosen blindly."""
    return [
        f"Validation dialogues, by which settings are chosen, that open with the same human turn as a test dialogue: "
        f"{_share(shared, number)}. The choice leans to what the test asks."
        for shared, number in dict.fromkeys(
            tuple(row.fact(name) for name in ("validation_openings_in_test", "validation_dialogues"))
            for row in rows
            if row.tuned
        )
        if shared
    ]


def untold_openings(rows: LedgerRows) -> list[str]:
    """Dialogues whose opening turn nobody can tell, so that test ones that open as train ones go unseen."""
    known = ("overlap_opening", "test_openings_unknown", "train_openings_unknown")
    return [
        f"The opening human turn of most dialogues can't be told ({test:,} test and {train:,} train dialogues have no "
        "turns that are recognised), so how many test dialogues open as a train dialogue is not known."
        for opening, test, train in dict.fromkeys(tuple(row.fact(name) for name in known) for row in rows)
        if opening is None and (test or train)
    ]


def general_text_trained_on(rows: LedgerRows) -> list[str]:
    """Examples of general text that also occur in train, so that what is forgotten of them is not told."""
    return [
        f"Examples of general text that also occur in train: {_share(shared, number)}. What is trained on is not "
        "forgotten, so forgetting comes out too low."
        for shared, number in dict.fromkeys(
            tuple(row.fact(name) for name in ("general_in_train", "general_examples")) for row in rows
        )
        if shared
    ]


def windows_drawn_anew(rows: LedgerRows) -> list[str]:
    """Test windows that are another sample at every evaluation."""
    anew = [row.label for row in rows if ANEW in row.facts.get("test_windows_drawn", ())]
    if not anew:
        return []
    return [
        f"Test windows were drawn anew at every evaluation ({which(anew, rows)}): curves carry the noise of the draw, "
        "their minimum is too low, and rows are not paired."
    ]


def _share(part: int, whole: int | None) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else f"{part:,}"
