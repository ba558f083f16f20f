"""Bits/dim of earlier runs with the same settings, by tools/reference.py: config/reference/{preset}.csv."""

from vaeglow.config import without
from vaeglow.files import Config, read_csv, sha256_json
from vaeglow.paths import shipped

FOLDER = shipped("config/reference")
# Keys that change no loss.
WITHOUT_EFFECT = {"seed": None, "base": None, "training": {"validate_every": None, "snapshots": None}}
CHECK = "see if steps were skipped above, if dataset.json has the usual hashes, and what changed in the code"


def settings(config: Config) -> str:
    """A short hash of what decides a run's losses, except for its seed."""
    plain = {"training": {}, **without(config, WITHOUT_EFFECT)}  # the base of joint training has none
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
        mean = row["bits_per_dim"]
        band = row["band"]
        matches = row["settings"] == own and float(row["fraction"]) == share
        if matches and not abs(bits_per_dim - float(mean)) <= float(band):  # NaN is outside, too
            return (
                f"\nnote: {bits_per_dim:.3f} bits/dim at {share:.0%} of the run, outside the reference, {mean} +- "
                f"{band} (config/reference/{path.name}): {CHECK}"
            )
    return ""
