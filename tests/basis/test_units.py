"""Numbers as people write them."""

import pytest

from basis.units import show_decimals


@pytest.mark.parametrize(
    ("value", "digits", "form", "shown"),
    [
        (0.38641, 4, "", "0.3864"),
        (99_999.5, 4, ",", "99,999.5000"),
        (40_811_224.2578, 4, ",", "4.08e+07"),
        (-51_468_717.7, 4, "+z", "-5.15e+07"),
        (441_299, 0, ",", "441,299"),
    ],
)
def test_a_loss_that_went_astray_has_no_decimals(value: float, digits: int, form: str, shown: str) -> None:
    assert show_decimals(value, digits, form) == shown
