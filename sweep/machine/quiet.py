"""What libraries say of their own accord stays out of a sweep's output: their bars, warnings, retries."""

import logging


def quiet_libraries() -> None:
    """Let transformers, datasets and the hub's client report errors alone; what a user has to know, we say."""
    import datasets
    import huggingface_hub
    import transformers
    from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]  # documented all the same

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(logging.CRITICAL)
    huggingface_hub.utils.logging.set_verbosity(logging.CRITICAL)
    if not huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS:  # transformers has turned off downloads' bars too,
        enable_progress_bars()  # which on a terminal tell how long gigabytes will take
