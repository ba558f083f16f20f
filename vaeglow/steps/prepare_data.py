"""Prepare a dataset: `--name photos32 --settings '{its entry in config}' --output-dir data/photos32 --threads 1`."""

from pathlib import Path

from vaeglow.data import prepare
from vaeglow.steps import cli


@cli.step
def main(*, name: str, settings: dict, output_dir: Path, threads: int) -> None:
    """Prepare the dataset and print its counts.

    Args:
        name: the dataset's name in config
        settings: its entry in config, as JSON
        output_dir: where the arrays and dataset.json go
        threads: that decode image files; no value depends on it
    """
    info = prepare(name, settings, output_dir, threads)
    broken = info["source"].get("broken_files", {})
    for file, reason in broken.items():
        print(f"skipped {file}: {reason}")
    counts = ", ".join(f"{count} {split}" for split, count in info["counts"].items())
    skipped = f"; {len(broken)} broken files skipped" if broken else ""
    print(f"{name}: {counts} images of", "{channels}x{size}x{size}".format(**info) + skipped)
