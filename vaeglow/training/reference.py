"""Bits/dim of earlier runs with the same settings, by tools/reference.py: config/reference/{preset}.csv."""

from pathlib import Path

from vaeglow.files import read_csv, sha256_json
from vaeglow.models.kinds import Config

FOLDER = Path(__file__).parents[2] / "config/reference"
CHECK = "see if steps were skipped above, if dataset.json has the usual hashes, and what changed in the code"


def settings(config: Config) -> str:
    """A short hash of what decides a run's losses, except for its seed."""
    plain = {key: value for key, value in config.items() if key not in ("seed", "base")}
    training = config.get("training", {})  # none in the base of joint training
    plain["training"] = {key: value for key, value in training.items() if key not in ("validate_every", "snapshots")}
    plain["base"] = config["base"] and settings(config["base"])
    return sha256_json(plain)[:16]


def note(config: Config, epoch: int, bits_per_dim: float) -> str:
    """A line to print where an epoch's bits/dim are outside the band of earlier runs; empty inside, or without one."""
    path = FOLDER / f"{config['preset']}.csv"
    share = round(epoch / config["training"]["epochs"], 4)
    if not path.is_file():
        return ""
    own = settings(config)
    for row in read_csv(path):
        if row["settings"] != own or float(row["fraction"]) != share:
            continue
        mean = row["bits_per_dim"]
        band = row["band"]
        if not abs(bits_per_dim - float(mean)) <= float(band):  # NaN is outside, too
            outside = f"\nnote: {bits_per_dim:.3f} bits/dim at {share:.0%} of the run, outside the reference"
            return f"{outside}, {mean} +- {band} (config/reference/{path.name}): {CHECK}"
    return ""
