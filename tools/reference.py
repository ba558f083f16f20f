"""Write config/reference/{preset}.csv, the bits/dim that runs of a preset had at each tenth, from their histories.

    python -m tools.reference demo native/results avx2/results

The folders are those of results or of what `make study` keeps; for a study `study.update` does it, too.
A training that leaves the band says so in its log. Settings that fewer than three seeds were run with are left out.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from vaeglow.errors import UserError
from vaeglow.files import read_json
from vaeglow.reporting.columns import SEEDS
from vaeglow.steps import cli
from vaeglow.training.reference import FOLDER, settings

WIDTH, LEAST = 3, 0.05  # band: so many times the largest distance of a run from the mean; bits/dim


def write(preset: str, results: Iterable[Path], folder: Path = FOLDER) -> None:
    """Write a preset's file: a row for each model, dataset and tenth of a run, at the end of an epoch.

    Raises:
        UserError: there are no runs.
    """
    histories = []
    for path in sorted(path for root in results for path in root.glob(f"{preset}/*/*/seed*/history.csv")):
        config, history = read_json(path.with_name("config.json")), pd.read_csv(path)
        if "bits_per_dim" not in history:  # a PixelIQN has no likelihood
            continue
        run = {key: config[key] for key in ("model", "dataset", "seed")} | {"settings": settings(config)}
        epochs = config["training"]["epochs"]
        tenths = history["epoch"] * 10 // epochs
        history = history[tenths > tenths.shift(fill_value=0)]
        histories.append(history[["bits_per_dim"]].assign(fraction=(history["epoch"] / epochs).round(4), **run))
    if not histories:
        raise UserError(f"there are no runs of preset {preset} in these folders: give those that hold {preset}/")
    rows = []
    for names, runs in pd.concat(histories).groupby(["model", "dataset", "settings", "fraction"]):
        if runs["seed"].nunique() >= SEEDS:
            mean = runs["bits_per_dim"].mean()
            band = max(LEAST, WIDTH * (runs["bits_per_dim"] - mean).abs().max())
            rows.append([*names, f"{mean:.3f}", f"{band:.3f}", len(runs)])
    columns = ["model", "dataset", "settings", "fraction", "bits_per_dim", "band", "runs"]
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{preset}.csv", index=False)


@cli.step
def main(preset: str, results: list[Path]) -> None:
    """Write a preset's file.

    Args:
        preset: such as demo
        results: folders of results, or of what `make study` keeps
    """
    write(preset, results)
