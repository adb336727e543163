"""Right and wrong answers are told apart as a reader would, and a reference that can't be used is named."""

import pytest

from basis.errors import UserError
from sweep.judge.answer_match import check_references, is_right
from sweep.schema.reward import Match


@pytest.mark.parametrize(
    ("match", "response", "reference", "right"),
    [
        ("exact", " Paris\n", "Paris", True),
        ("exact", "Paris.", "Paris", False),
        ("exact", "paris", "Paris", False),
        ("contains", "It is Paris, of course.", "Paris", True),
        ("contains", "It is Rome.", "Paris", False),
        ("regex", "It is a 12-year-old.", r"\b1[0-9]\b", True),
        ("regex", "It is 123.", r"\b1[0-9]\b", False),
        ("number", "She sells 9 and earns $1,018.00 a day.", "9 * 2 = 18, so 1018\n#### 1018", True),
        ("number", "2 + 3 = 5\n#### 5 of 7 eggs", "5", True),
        ("number", "It is 5. #### none", "5", False),
        ("number", "The loss is -3.", "#### -3", True),
        ("number", "10-3", "#### 3", True),
        ("number", "about .5", "0.50", True),
        ("number", "1,2", "2", True),
        ("number", "I do not know.", "2", False),
        ("number", "", "2", False),
    ],
)
def test_a_response_is_right_by_its_reference(match: Match, response: str, reference: str, right: bool) -> None:
    assert is_right(match, response, reference) is right


@pytest.mark.parametrize(
    ("match", "reference", "said"),
    [
        ("exact", " ", "the reference of prompt 2 is empty"),
        ("number", "a dozen", "the reference of prompt 2 has no number: 'a dozen'"),
        ("regex", "(", r"the reference of prompt 2 is no regular expression \(missing \), .*\): '\('"),
    ],
)
def test_a_reference_that_no_response_can_be_held_to_is_named(match: Match, reference: str, said: str) -> None:
    check_references(match, ["12"])
    with pytest.raises(UserError, match=said):
        check_references(match, ["12", reference])
