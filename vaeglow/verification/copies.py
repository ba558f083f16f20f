"""Published copies: the same as a preset's table, figure or claims. No torch."""

from __future__ import annotations

from pathlib import Path

from vaeglow.files import sha256_file
from vaeglow.verification.places import Place
from vaeglow.verification.report import Mismatch, Report

COLLECTED = ("tables", "figures")  # folders of copies; in a preset's folder, of what is copied
TODO = "run snakemake again with the preset it is of, or delete it"


def check(root: Path, place: Place, report: Report) -> None:
    """Compare one copy with what it can be a copy of: any preset's file of its name.

    Args:
        root: the results folder.
        place: of the copy.
        report: where a difference goes.
    """
    name = place.path.name
    presets = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name not in COLLECTED]
    places = [folder / part / name for folder in presets for part in (*COLLECTED, ".")]
    sources = {path: sha256_file(path) for path in places if path.is_file() and not path.samefile(place.path)}
    if not sources:
        report.unchecked(place.path, "no table, figure or claims of a preset has its name")
        return
    report.files += 1
    found = sha256_file(place.path)
    if found not in sources.values() and not report.bad & sources.keys():
        shown = " or ".join(map(str, sources))
        report.mismatch(place.path, Mismatch(f"not a copy of {shown}", next(iter(sources.values())), found, TODO))
