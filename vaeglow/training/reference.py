"""Bits/dim of earlier runs with the same settings, by tools/reference.py: config/reference/{preset}.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.files import read_csv, sha256_json

FOLDER = Path(__file__).parents[2] / "config/reference"
CHECK = "see if steps were skipped above, if dataset.json has the usual hashes, and what changed in the code"


def settings(config: Mapping[str, Any]) -> str:
    """A short hash of what decides a run's losses, except for its seed."""
    plain = {key: value for key, value in config.items() if key not in ("seed", "base")}
    training = config.get("training", {}).items()  # none in the base of joint training
    training = {key: value for key, value in training if key not in ("validate_every", "snapshots")}
    return sha256_json({**plain, "training": training, "base": config["base"] and settings(config["base"])})[:16]


def note(config: Mapping[str, Any], epoch: int, bits_per_dim: float) -> str:
    """A line to print where an epoch's bits/dim are outside the band of earlier runs; empty inside, or without one."""
    path, share = FOLDER / f"{config['preset']}.csv", round(epoch / config["training"]["epochs"], 4)
    if not path.is_file():
        return ""
    own = settings(config)
    alike = [row for row in read_csv(path) if row["settings"] == own and float(row["fraction"]) == share]
    for row in alike:
        mean, band = row["bits_per_dim"], row["band"]
        if not abs(bits_per_dim - float(mean)) <= float(band):  # NaN is outside, too
            found = f"\nnote: {bits_per_dim:.3f} bits/dim at {share:.0%} of the run, outside the reference"
            return f"{found}, {mean} +- {band} (config/reference/{path.name}): {CHECK}"
    return ""
