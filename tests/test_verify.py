"""`python -m vaeglow.verify`: a clean tree passes, and each way to change one is found and named."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_tools import ROOT, Run, prepare
from verify_tools import DATA

from vaeglow import verify
from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_file, write_json
from vaeglow.provenance import SEAL, seal
from vaeglow.verification.report import UNSEALED

RESULTS, TINY = Path("results"), Path("results/tiny/blobs")
VAE, LAYERED = TINY / "vae/seed0", TINY / "vaeglow/seed0"
METRICS = VAE / "metrics/test-12-64/T0.0.json"
SAMPLES = VAE / "samples/T0.0.npz"
TABLE, COPY = RESULTS / "tiny/tables/table2.csv", RESULTS / "table2.csv"
EMPTY = hashlib.sha256().hexdigest()  # of no tensors


@pytest.fixture
def tree(results_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to break, the current folder."""
    shutil.copytree(results_tree, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def check(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    """Exit status and lines of a verification."""
    capsys.readouterr()
    status = 0
    try:
        verify.main(["results", "--data", "resources/data", *options])
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, capsys.readouterr().out.splitlines()


def mismatches(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("mismatch: ")]


def absent(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("not there: ")]


# ------------------------------------------------------------------------------------------- ways to break a tree


def flip(path: Path, position: float = 0.9) -> None:
    """Change one bit of a file."""
    content, at = bytearray(path.read_bytes()), int(position * path.stat().st_size)
    while path.suffix == ".json" and content[at : at + 1].isdigit():  # another last digit can mean the same number
        at += 1
    content[at] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, **values: object) -> None:
    write_json(path, read_json(path) | values)


def reseal(path: Path, **values: object) -> None:
    """What the step that wrote it would write another time."""
    write_json(path, seal(read_json(path) | values))


def edit_cell(path: Path, column: str, value: str, row: int = -1) -> None:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row][column] = value
    write_rows(path, rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def drop_row(path: Path) -> None:
    with open(path, newline="") as file:
        write_rows(path, list(csv.DictReader(file))[:-1])


def change_pixel(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["images"][0, 0, 0, 0] ^= 1
    np.savez(path, **arrays)


def pickled(path: Path) -> None:
    with np.load(path) as archive:
        metadata = archive["metadata"]
    np.savez(path, images=np.array([{"an": "object"}], dtype=object), metadata=metadata)


def craft(path: Path, header: dict, length: int | None = None) -> None:
    """A safetensors file of a header alone, its length perhaps a lie."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", length or len(text)) + text)


def described(about: object) -> dict:
    """A header with no tensors, and a description that has the right hash."""
    text = json.dumps(about)
    return {"__metadata__": {"vaeglow": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}}


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


WRITTEN, NO_TENSORS = "its content is not what was written", "truncated or no safetensors file"
MODEL, CONFIG, HISTORY, LIKELIHOOD = (
    VAE / name for name in ("model.safetensors", "config.json", "history.csv", "likelihood.json")
)
KEPT, TIMING = VAE / "snapshots.safetensors", TINY / "timing.json"
CLAIMS, FIGURE, COLLECTED = (
    RESULTS / "tiny/claims.csv",
    RESULTS / "tiny/figures/samples.png",
    RESULTS / "tables/table2.csv",
)
TENSOR = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
# What is done: to which file, how, and words of the one line that names it.
TAMPERED: dict[str, tuple[Path, Callable[[Path], object], str]] = {
    "a byte of the weights": (MODEL, flip, "its tensors are not what was written"),
    "a byte of kept weights": (KEPT, flip, "its description is not what was written"),
    "a number of metrics": (METRICS, lambda path: edit(path, fid=1.0), WRITTEN),
    "a number of the likelihood": (LIKELIHOOD, lambda path: edit(path, bits_per_dim=3.0), WRITTEN),
    "a number of the timing": (TIMING, lambda path: edit(path, threads=2), WRITTEN),
    "a provenance": (
        METRICS,
        lambda path: edit(path, provenance=read_json(path)["provenance"] | {"commit": "f"}),
        WRITTEN,
    ),
    "a cell of a table": (TABLE, lambda path: edit_cell(path, "fid", "1.00"), "row 7 (Ours"),
    "a published number": (TABLE, lambda path: edit_cell(path, "fid", "1.00", 0), "row 1 (PixelCNN"),
    "a row taken away": (TABLE, drop_row, "every row"),
    "a row cut short": (TABLE, lambda path: path.write_text(path.read_text()[:-200]), "rows of different length"),
    "a cell of the claims": (CLAIMS, lambda path: edit_cell(path, "verdict", "certain"), "row 1 (likelihood"),
    "a cell of a copy": (
        COPY,
        lambda path: edit_cell(path, "fid", "1.00"),
        "not a copy of results/other/tables/table2.csv or",
    ),
    "a stale text": (RESULTS / "table2.md", lambda path: path.write_text("old"), "not a copy of"),
    "a stale collected copy": (COLLECTED, flip, "not a copy of"),
    "a figure": (FIGURE, lambda path: flip(path, 0.5), "cannot be read"),
    "another run's config": (
        CONFIG,
        lambda path: shutil.copy(LAYERED / "config.json", path),
        "model in the file and in its",
    ),
    "a key of a config": (
        CONFIG,
        lambda path: edit(path, format=9),
        "its config_sha256 is not what it was (says results/tiny",
    ),
    "another seed's result": (
        LIKELIHOOD,
        lambda path: shutil.copy(TINY / "vae/seed1/likelihood.json", path),
        "seed in the file and in its path differ: expected 0, found 1",
    ),
    "a loss of the history": (
        HISTORY,
        lambda path: edit_cell(path, "bits_per_dim", "1.0"),
        f"its content is not what it was (says {VAE}/training.json",
    ),
    "a pixel of the samples": (SAMPLES, change_pixel, WRITTEN),
    "a byte of the samples": (SAMPLES, lambda path: flip(path, 0.3), "cannot be read"),
    "truncated samples": (SAMPLES, truncate, "cannot be read"),
    "pickled samples": (SAMPLES, pickled, "allow_pickle=False"),
    "truncated JSON": (METRICS, truncate, "not JSON"),
    "JSON of another form": (METRICS, lambda path: path.write_text("[1]"), "not a JSON object"),
    "JSON too deep": (METRICS, lambda path: path.write_text("[" * 100_000), "recursion depth"),
    "a dead link": (METRICS, replace_by_link, "not JSON"),
    "a truncated model": (MODEL, truncate, NO_TENSORS),
    "a header longer than its file": (MODEL, lambda path: craft(path, {}, 2**40), NO_TENSORS),
    "a tensor beyond its file": (MODEL, lambda path: craft(path, {"w": TENSOR}), NO_TENSORS),
    "someone else's tensors": (MODEL, lambda path: craft(path, {}), "not one of vaeglow's"),
    "a description that is a list": (MODEL, lambda path: craft(path, described([1])), "cannot be read"),
    "a description without config": (
        MODEL,
        lambda path: craft(path, described({"weights_sha256": EMPTY})),
        "cannot be read",
    ),
    "a description of another form": (
        MODEL,
        lambda path: craft(path, described({"weights_sha256": EMPTY, "config": [], "data": {}})),
        "its description is of another form",
    ),
    "a byte of the data": (DATA / "test.npy", flip, "not the array that dataset.json describes"),
    "truncated data": (DATA / "train.npy", truncate, "no whole array"),
    "a truncated dataset.json": (DATA / "dataset.json", truncate, "no whole description"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_named_in_one_line(what, tree, capsys):
    path, tamper, words = TAMPERED[what]
    tamper(path)
    status, lines = check(capsys)
    (line,) = mismatches(lines)
    assert status == 1 and line.startswith(f"mismatch: {path}: ") and words in line, line
    assert "expected " in line and ", found " in line and line.count(": ") >= 4, line
    assert " 1 mismatches, " in lines[-1]


def test_a_clean_tree(tree, capsys):
    status, lines = check(capsys)
    assert status == 0 and not mismatches(lines) and not absent(lines)
    assert "files checked: 0 mismatches, 0 not there, " in lines[-1]
    assert any(line.endswith(": resume state of training, no result") for line in lines)
    every = "\n".join(check(capsys, "--all")[1])
    assert len(every) > len("\n".join(lines)) and "results/tiny/figures/samples.pdf" in every


def test_whatever_is_flipped_is_found(tree, capsys):
    """A bit in the middle of every file that is not on the list of what is not checked."""
    unchecked = "\n".join(line for line in check(capsys, "--all")[1] if line.startswith("not checked"))
    files = [path for path in sorted(RESULTS.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    checked = [path for path in files if str(path) not in unchecked]
    by_others = [*RESULTS.rglob("config.json"), *RESULTS.rglob("history.csv"), *RESULTS.glob("*.*"), COLLECTED]
    assert len(checked) > 60 and len(by_others) > 15
    for some in (by_others, [path for path in checked if path not in by_others]):
        contents = {path: path.read_bytes() for path in some}
        for path in some:
            flip(path, 0.5)
        lines = mismatches(check(capsys)[1])
        assert [path for path in some if not any(line.startswith(f"mismatch: {path}: ") for line in lines)] == []
        for path, content in contents.items():
            path.write_bytes(content)


def test_swapped_configs_of_two_seeds_and_replaced_data(tree, capsys):
    swap(VAE / "config.json", TINY / "vae/seed1/config.json")
    assert len(mismatches(check(capsys)[1])) == 2
    swap(VAE / "config.json", TINY / "vae/seed1/config.json")
    shutil.rmtree(DATA)
    prepare(DATA, seed=9, name="blobs")
    status, lines = check(capsys)
    (line,) = mismatches(lines)
    assert status == 1 and line.startswith(f"mismatch: {DATA}/dataset.json: its data_sha256 is not what it was (says ")
    assert "more)" in line


def test_metrics_made_anew_under_an_old_table(tree, capsys):
    """And old claims and figures: each is named."""
    reseal(LIKELIHOOD, bits_per_dim=1.0)
    (line,) = mismatches(check(capsys)[1])
    assert line.startswith(
        f"mismatch: {LIKELIHOOD}: its content is not what it was (says {CLAIMS} and 1 more): expected "
    )
    CLAIMS.unlink()
    (RESULTS / "claims.csv").unlink()
    assert f"(says {TABLE})" in mismatches(check(capsys)[1])[0]


def test_a_run_trained_again_under_its_old_results(tree, capsys):
    """Whatever was made of the old weights says so: measurements, and the layer that stands on them."""
    again = Run(VAE, {**read_json(CONFIG), "seed": 0}, DATA)
    shutil.rmtree(again.state)
    again.config["training"]["learning_rate"] = 0.004
    write_json(CONFIG, again.config)
    again.train()
    lines = mismatches(check(capsys)[1])
    for key, path in (("weights_sha256", MODEL), ("config_sha256", CONFIG)):
        (line,) = [line for line in lines if line.startswith(f"mismatch: {path}: its {key} is not what it was")]
        assert " more): expected " in line
    assert any(f", {LAYERED}/model.safetensors" in line for line in mismatches(check(capsys, "--all")[1]))


def test_a_copy_may_be_of_either_preset(tree, capsys):
    shutil.copy(RESULTS / "other/tables/table2.csv", COPY)
    assert check(capsys)[0] == 0


def test_what_is_not_there_is_no_mismatch(tree, capsys):
    """Samples that were deleted as temporary, a model that was not kept, an array of the data, all of the data."""
    for path in RESULTS.rglob("samples/*.npz"):
        path.unlink()
    (DATA / "val.npy").unlink()
    shutil.rmtree(RESULTS / "other/tables")
    status, lines = check(capsys)
    assert status == 0, lines
    named = absent(lines)
    assert any("samples/T0.0.npz and 4 more (samples), named by" in line for line in named), named
    assert any(f"{DATA}/val.npy (prepared data)" in line for line in named)
    assert "0 mismatches, 6 not there" in lines[-1]
    shutil.rmtree(DATA.parent)
    verify.main(["results"])
    assert "not checked: prepared data: give their folder with --data" in capsys.readouterr().out


def test_results_of_an_older_vaeglow(tree, capsys):
    """Files without a hash of their own: said so, and what they say of other files is still compared."""
    for path in [
        *RESULTS.rglob("likelihood.json"),
        *RESULTS.rglob("metrics/*/*.json"),
        *RESULTS.rglob("training.json"),
    ]:
        provenance = {key: value for key, value in read_json(path)["provenance"].items() if key != SEAL}
        edit(path, provenance=provenance)
    for path in RESULTS.rglob("*.csv"):
        if "evidence" in path.read_text():
            with open(path, newline="") as file:
                rows = [{k: v for k, v in row.items() if "sha256" not in k} for row in csv.DictReader(file)]
            write_rows(path, rows)
    for path in RESULTS.rglob("*.png"):
        path.unlink()
    status, lines = check(capsys)
    assert status == 0, lines
    assert any(line.endswith(UNSEALED) for line in lines)
    edit(METRICS, weights_sha256="0" * 64)
    (line,) = mismatches(check(capsys)[1])
    assert line.startswith(f"mismatch: {VAE}/model.safetensors: its weights_sha256 is not what it was (says {METRICS})")
    METRICS.write_text('{"config_sha256": 1, "seed": {}, "temperature": "x", "samples_sha256": "s", "protocol": "p"}')
    assert f"mismatch: {METRICS}: " in mismatches(check(capsys)[1])[0]


def test_no_results_are_said_in_one_line_with_status_2(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "results/tiny").mkdir(parents=True)
    (tmp_path / "results/.gitkeep").touch()
    command = [sys.executable, "-m", "vaeglow.verify", str(tmp_path / "results")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "holds no results: give the folder" in done.stderr
    for folder in ("empty", "nowhere"):
        with pytest.raises(UserError, match="holds no results"):
            verify.main([str(tmp_path / folder)])


def test_a_folder_without_data(tree):
    with pytest.raises(UserError, match="holds no prepared data"):
        verify.main(["results", "--data", "results"])


def test_help_and_nothing_written(tree, capsys):
    before = {path: (path.stat().st_mtime_ns, sha256_file(path)) for path in Path().rglob("*") if path.is_file()}
    check(capsys)
    assert before == {
        path: (path.stat().st_mtime_ns, sha256_file(path)) for path in Path().rglob("*") if path.is_file()
    }
    with pytest.raises(SystemExit) as stop:
        verify.parse(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "Exit status: 0" in text and "--data" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tree, capsys):
    METRICS.chmod(0)
    (line,) = mismatches(check(capsys)[1])
    assert f"mismatch: {METRICS}: not JSON" in line
    METRICS.chmod(0o600)
