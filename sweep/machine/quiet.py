"""Keeps progress bars, warnings and retries of libraries out of a sweep's output."""

import logging


def quiet_libraries() -> None:
    """Make transformers, datasets and the hub's client print errors only. A sweep says itself what a user must know."""
    import datasets
    import huggingface_hub
    import transformers
    from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]  # documented all the same

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(logging.CRITICAL)
    huggingface_hub.utils.logging.set_verbosity(logging.CRITICAL)
    if not huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()  # of downloads, which transformers has turned off too: gigabytes take long
