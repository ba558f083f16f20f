"""Prepared data: the arrays against the hashes in dataset.json. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaeglow.data.arrays import INFO_FILE, SPLITS, array_sha256, read_info
from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.verification.report import Mismatch, Report

TODO = "delete the folder and prepare the data again"


def datasets(data: Path) -> list[Path]:
    """The folders of prepared data.

    Raises:
        UserError: there are none.
    """
    found = sorted(path.parent for path in data.glob(f"*/{INFO_FILE}"))
    if not found:
        raise UserError(f"{data} holds no prepared data: give the folder of the datasets' folders (resources/data)")
    return found


def check(folder: Path, report: Report) -> str | None:
    """Re-hash one dataset.

    Args:
        folder: that holds its dataset.json.
        report: where mismatches go.

    Returns:
        `data_sha256` as results carry it; None: dataset.json cannot be read.
    """
    path = folder / INFO_FILE
    report.files += 1
    try:
        info = read_info(folder)
        hashes = {split: info["sha256"][split] for split in SPLITS}
        if info["name"] != folder.name:
            raise Mismatch("name in the file and of its folder differ", folder.name, str(info["name"]), TODO)
    except Mismatch as mismatch:
        report.mismatch(path, mismatch)
        return None
    except (UserError, KeyError, TypeError) as error:
        report.mismatch(path, Mismatch("no whole description of data", "a whole file", str(error), TODO))
        return None
    for split, expected in hashes.items():
        array = folder / f"{split}.npy"
        if not array.exists():
            report.absent(array, "prepared data", path)
            continue
        report.files += 1
        try:
            found = array_sha256(np.lib.format.open_memmap(array, mode="r"))
        except (ValueError, EOFError, OSError) as error:
            report.mismatch(array, Mismatch("no whole array", "a whole file", str(error), TODO))
            continue
        if found != expected:
            report.mismatch(array, Mismatch("not the array that dataset.json describes", expected, found, TODO))
    return sha256_json(info["sha256"])
