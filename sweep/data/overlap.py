"""How far the test set is not new: dialogues and opening turns that train has too, and dialogues that repeat."""

from dataclasses import dataclass

from sweep.data.dialogues import Dialogues
from sweep.data.examples import identity, opening_turn, text_digest


@dataclass(frozen=True)
class Overlap:
    """How far the test set is not new. Line ends and surrounding whitespace make no difference between dialogues.

    Attributes:
        exact: test dialogues that also occur in train.
        opening: test dialogues whose opening human turn also opens a train dialogue; includes the exact ones. None
            where the openings of most test or most train dialogues can't be told.
        test_dialogues: all test dialogues.
        test_openings_unknown: test dialogues without a recognised opening human turn.
        train_openings_unknown: such train dialogues.
        train_duplicates: train dialogues that repeat another one (copies beyond the first).
        test_duplicates: such test dialogues.
        validation_duplicates: such validation dialogues.
        validation_in_test: validation dialogues whose opening human turn also opens a test dialogue.
    """

    exact: int
    opening: int | None
    test_dialogues: int
    test_openings_unknown: int
    train_openings_unknown: int
    train_duplicates: int
    test_duplicates: int
    validation_duplicates: int
    validation_in_test: int


def overlap(dialogues: Dialogues) -> Overlap:
    """Count how many test dialogues also occur in train, exactly and by their opening human turn; see Overlap."""
    train, test = ([identity(example) for example in side] for side in (dialogues.train, dialogues.test))
    validation = {identity(example) for example in dialogues.validation}
    texts = set(train)
    train_openings, test_openings = (
        [opening_turn(example) for example in side] for side in (dialogues.train, dialogues.test)
    )
    unknown_in_train, unknown_in_test = train_openings.count(None), test_openings.count(None)
    openings = {text_digest(opening) for opening in train_openings if opening is not None}
    asked = {opening for opening in test_openings if opening is not None}
    alike = sum(
        text in texts or (opening is not None and text_digest(opening) in openings)
        for text, opening in zip(test, test_openings, strict=True)
    )
    told = 2 * unknown_in_train <= len(train) and 2 * unknown_in_test <= len(test)
    return Overlap(
        exact=sum(text in texts for text in test),
        opening=alike if told else None,
        test_dialogues=len(test),
        test_openings_unknown=unknown_in_test,
        train_openings_unknown=unknown_in_train,
        train_duplicates=len(train) - len(texts),
        test_duplicates=len(test) - len(set(test)),
        validation_duplicates=len(dialogues.validation) - len(validation),
        validation_in_test=sum(opening_turn(example) in asked for example in dialogues.validation),
    )
