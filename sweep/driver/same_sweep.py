"""Whether a spec is that of a sweep that has begun already. Asks neither hub nor cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basis.errors import UserError, shown
from basis.fields import Precision
from sweep.schema.sweep_spec import SweepSpec
from sweep.space.precision import FIELD, asks_for_auto, settle_precision

SETTLED_AS: tuple[tuple[Precision, ...], ...] = (("bf16",), ("fp32",))
"""Precisions of devices by which `auto` becomes each of what it can become."""
MISSING = "nothing"
"""What a message has for a key that only one of two specs has."""
TOLD_ONLY = ("about",)
"""Keys that say something of a sweep, and make it no other one."""


def check_same_sweep(given: SweepSpec, kept: SweepSpec, experiment_dir: Path) -> None:
    """Refuse a spec that is not the one of the sweep in an experiment directory.

    A kept spec has commits where the given one has names on the hub, and a precision in place of each `auto`; neither
    makes it another sweep.

    Args:
        given: what is asked for now.
        kept: what the experiment keeps.
        experiment_dir: its directory.

    Raises:
        UserError: naming the first key that differs and both values.
    """
    from sweep.hub.pin import pin_as  # imports the hub's client

    pinned = pin_as(given, kept)
    meant = [settle_precision(pinned, native) for native in SETTLED_AS] if asks_for_auto(pinned) else [pinned]
    found = [_difference(_plain(spec), _plain(kept)) for spec in meant]
    differences = [difference for difference in found if difference is not None]
    if len(differences) < len(meant):
        return
    key, asked, there = min(differences, key=lambda difference: difference[0].endswith(FIELD))
    raise UserError(
        f"--output {experiment_dir}: holds another sweep: {key} is {_shown(there)} there and {_shown(asked)} here; "
        "name another directory, or the spec that began it"
    )


def _plain(spec: SweepSpec) -> dict[str, Any]:
    return {key: value for key, value in spec.model_dump(mode="json").items() if key not in TOLD_ONLY}


def _difference(asked: Any, there: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key at which two plain values differ, with both values; None: they don't."""
    if isinstance(asked, Mapping) and isinstance(there, Mapping):
        for name in dict.fromkeys([*asked, *there]):
            place = f"{key}.{name}" if key else str(name)
            if found := _difference(asked.get(name, MISSING), there.get(name, MISSING), place):
                return found
        return None
    if isinstance(asked, list) and isinstance(there, list) and len(asked) == len(there):
        pairs = enumerate(zip(asked, there, strict=True))
        return next((found for at, (one, other) in pairs if (found := _difference(one, other, f"{key}[{at}]"))), None)
    return None if asked == there else (key, asked, there)


def _shown(value: Any) -> str:
    return MISSING if value == MISSING else shown(value)
