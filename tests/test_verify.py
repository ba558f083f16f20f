"""`python -m vaeglow.verify`: a clean tree passes, and each way to change one is found and named."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from run_tools import Run, prepare, refused
from table_tools import change
from verify_tools import DATA
from waiting import call

from vaeglow import verify
from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_file, write_json

RESULTS = Path("results")
TINY = Path("results/tiny/blobs")
VAE = TINY / "vae/seed0"
LAYERED = TINY / "vaeglow/seed0"
METRICS = VAE / "metrics/test-12-64/T0.0.json"
SAMPLES = VAE / "samples/T0.0.npz"
MODEL, CONFIG, HISTORY, LIKELIHOOD = (
    VAE / name for name in ("model.safetensors", "config.json", "history.csv", "likelihood.json")
)
TABLE, FULL = (RESULTS / f"tiny/tables/table2{ending}" for ending in (".csv", ".full.csv"))
CLAIMS = RESULTS / "tiny/claims.csv"


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


def flip(path: Path, position: float = 0.9) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    at = int(position * path.stat().st_size)
    if path.suffix == ".npz":  # the archive's own fields, such as a member's date, are not content
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda member: member.compress_size)
        at = largest.header_offset + largest.compress_size
    while path.suffix == ".json" and content[at : at + 1].isdigit():  # another last digit can mean the same number
        at += 1
    content[at] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_cell(path: Path, column: str) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[len(table) - 1, column] = "1.00"
    table.to_csv(path, index=False)


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


FIGURE = RESULTS / "tiny/figures/samples.png"
COPY = RESULTS / "table2.csv"
# What is done: to which file, how, and words of the one line that names it.
TAMPERED: dict[str, tuple[Path, Callable[[Path], object], str]] = {
    "a byte of the weights": (MODEL, lambda path: flip(path, 0.999), "is corrupt"),
    "no weights": (MODEL, truncate, "truncated"),
    "a number": (METRICS, lambda path: change(path, fid=1.0), "is not what was written: its hash is"),
    "no seal": (METRICS, lambda path: change(path, provenance={}), "lacks 'content_sha256'"),
    "what a figure was drawn from": (FIGURE, lambda path: Image.open(path).save(path), "no hash"),
    "a cell of a table": (TABLE, lambda path: edit_cell(path, "fid"), "not the first columns of table2.full.csv"),
    "a row away": (TABLE, lambda p: p.write_text("".join(p.read_text().splitlines(keepends=True)[:-1])), "not the"),
    "a column away": (TABLE, lambda p: pd.read_csv(p, dtype=str).iloc[:, :-1].to_csv(p, index=False), "not the first"),
    "a cell of all columns": (FULL, lambda path: edit_cell(path, "precision"), "row 7 (Ours"),
    "a row cut short": (FULL, lambda path: path.write_text(path.read_text()[:-200]), "is not what was written"),
    "a cell of the claims": (CLAIMS, lambda path: edit_cell(path, "verdict"), "not the first columns of claims."),
    "a cell of a copy": (COPY, lambda path: edit_cell(path, "fid"), "not the first columns of table2.full.csv"),
    "a copy's evidence": (COPY, lambda path: path.with_suffix(".full.csv").unlink(), "no hash"),
    "a key of a config": (CONFIG, lambda path: change(path, format=9), f"has changed (says {VAE}/training.json"),
    "another's config": (CONFIG, lambda path: shutil.copy(LAYERED / "config.json", path), "model in the file and in"),
    "a loss": (HISTORY, lambda path: edit_cell(path, "bits_per_dim"), f"has changed (says {VAE}/training.json"),
    "truncated JSON": (METRICS, truncate, "not valid JSON"),
    "JSON too deep": (METRICS, lambda path: path.write_text("[" * 100_000), "recursion depth"),
    "a dead link": (METRICS, lambda path: (path.unlink(), path.symlink_to("nowhere")), "does not exist"),
    "a byte of the data": (DATA / "test.npy", flip, f"has changed (says {DATA}/dataset.json"),
    "truncated data": (DATA / "train.npy", truncate, "ValueError("),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_named_in_one_line(what, tree, capsys):
    path, tamper, words = TAMPERED[what]
    tamper(path)
    status, lines = check(capsys)
    (line,) = mismatches(lines)
    assert status == 1 and line.startswith(f"mismatch: {path}: ") and words in line, line
    assert "expected " in line and ", found " in line and line.endswith(f": {verify.REDO}"), line
    assert " 1 mismatches, " in lines[-1]


def test_a_clean_tree_and_nothing_written(tree, capsys):
    before = {path: (path.stat().st_mtime_ns, sha256_file(path)) for path in Path().rglob("*") if path.is_file()}
    status, lines = check(capsys)
    assert status == 0 and not [line for line in lines if line.startswith(("mismatch: ", "not there: "))], lines
    assert "files checked: 0 mismatches, 0 not there, " in lines[-1]
    (unchecked,) = [line for line in check(capsys, "--all")[1] if line.startswith("not checked: ")]
    assert "results/tiny/figures/samples.pdf" in unchecked and "/state/" in unchecked
    assert before == {path: (path.stat().st_mtime_ns, sha256_file(path)) for path in before}


def test_whatever_is_flipped_is_found(tree, capsys):
    """A bit in the middle of every file that is not on the list of what is not checked."""
    unchecked = "\n".join(line for line in check(capsys, "--all")[1] if line.startswith("not checked"))
    files = [path for path in sorted(RESULTS.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    checked = [path for path in files if str(path) not in unchecked]
    by_others = [*RESULTS.rglob("config.json"), *RESULTS.rglob("history.csv")]
    assert len(checked) > 60 and len(by_others) == 10
    assert {RESULTS / name for name in ("table2.csv", "samples.png", "claims.csv")} <= {*checked}
    for some in (by_others, [path for path in checked if path not in by_others]):
        contents = {path: path.read_bytes() for path in some}
        for path in some:
            flip(path, 0.5)
        lines = mismatches(check(capsys)[1])
        assert [path for path in some if not any(line.startswith(f"mismatch: {path}: ") for line in lines)] == []
        for path, content in contents.items():
            path.write_bytes(content)


def test_swapped_files_and_replaced_data(tree, capsys):
    likelihoods = LIKELIHOOD, TINY / "vae/seed1/likelihood.json"
    for one, other in [(CONFIG, TINY / "vae/seed1/config.json"), (SAMPLES, LAYERED / "samples/T1.0.npz"), likelihoods]:
        swap(one, other)
        assert len(mismatches(check(capsys)[1])) == 2
        swap(one, other)
    shutil.rmtree(DATA)
    prepare(DATA, seed=9, name="blobs")
    status, lines = check(capsys)
    (line,) = mismatches(lines)
    assert status == 1 and line.startswith(f"mismatch: {DATA}/dataset.json: its content has changed (says ")
    assert "more)" in line


def test_a_run_trained_again_under_its_old_results(tree, capsys):
    """Whatever was made of the old weights says so, also where the samples in between are gone."""
    again = Run(VAE, {**read_json(CONFIG), "seed": 0}, DATA)
    shutil.rmtree(again.state)
    again.config["training"]["learning_rate"] = 0.004
    write_json(CONFIG, again.config)
    again.train()
    SAMPLES.unlink()
    (line,) = [line for line in mismatches(check(capsys, "--all")[1]) if line.startswith(f"mismatch: {MODEL}: its con")]
    assert all(str(path) in line for path in (LIKELIHOOD, METRICS, LAYERED / "training.json"))


def test_what_is_not_there_is_no_mismatch(tree, capsys):
    """Samples that were deleted as temporary, an array of the data, all of the data."""
    samples = list(RESULTS.rglob("samples/*.npz"))
    for path in [*samples, DATA / "val.npy"]:
        path.unlink()
    shutil.rmtree(RESULTS / "other/tables")
    status, lines = check(capsys)
    assert status == 0, lines
    for path in [*samples, DATA / "val.npy"]:
        assert any(line.startswith(f"not there: {path}, named by ") for line in lines), path
    shutil.rmtree(DATA.parent)
    verify.main(["results"])
    assert "not checked: prepared data: give their folder with --data" in capsys.readouterr().out


def test_the_folder_may_have_moved(tree, capsys, monkeypatch):
    (tree / "results").rename(tree / "kept")
    monkeypatch.chdir("/")
    verify.main([str(tree / "kept")])
    assert " 0 mismatches, " in capsys.readouterr().out
    flip(tree / "kept/tiny/blobs/vae/seed0/history.csv")
    with pytest.raises(SystemExit, match="1"):
        verify.main([str(tree / "kept")])


def test_no_results_are_said_in_one_line_with_status_2(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "results/tiny").mkdir(parents=True)
    (tmp_path / "results/.gitkeep").touch()
    command = [sys.executable, "-m", "vaeglow.verify", str(tmp_path / "results")]
    done = call(command)
    assert "holds no results: give the folder" in refused(done) and done.stdout == ""
    for folder in ("empty", "nowhere"):
        with pytest.raises(UserError, match="holds no results"):
            verify.main([str(tmp_path / folder)])
