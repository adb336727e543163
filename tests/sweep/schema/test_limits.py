"""What a sweep may take at once, from words and back."""

import argparse

import pytest

from sweep.schema.limits import UNLIMITED, Limits, add_limits, limits_of


@pytest.mark.parametrize("limits", [UNLIMITED, Limits(trials=2), Limits(gpus=1.0), Limits(1_234_567, 2.0000125)])
def test_the_words_of_limits_say_the_same_limits(limits: Limits) -> None:
    parser = argparse.ArgumentParser()
    add_limits(parser)
    assert limits_of(parser.parse_args(limits.words)) == limits
