"""The fields of a trial's config."""


def arm_label(config: dict[str, object]) -> str:
    """Short name of an arm for tables and figures, such as "full adamw" or "lora r10 adamw".

    `config` is a TrialConfig as a mapping. Fields beyond method, rank and optimizer are not named here;
    whoever shows several arms with the same label appends the fields in which they differ.
    """
    method = f"lora r{config['rank']}" if config["method"] == "lora" else str(config["method"])
    return f"{method} {config['optimizer']}"
