from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from vaeglow import provenance
from vaeglow.errors import UserError
from vaeglow.reporting.markdown import to_markdown
from vaeglow.reporting.tables import build_table
from vaeglow.steps import publish, table, write_config

PUBLISHED = Path(__file__).parents[1] / "resources/published.csv"
SPEC = {
    "name": "table2",
    "title": "Table 2",
    "preset": "demo",
    "dataset": "photos32",
    "protocol": "test-500-64",
    "split": "test",
    "images": 500,
    "features": 64,
    "seeds": [0],
    "rows": [
        {"model": "glow", "temperature": 1.0},
        {"model": "vae", "temperature": 0.0},
        {"model": "vaeglow", "temperature": 0.5},
        {"model": "vaeglow", "temperature": 1.0},
    ],
    "published": "table2",
}
EPOCHS = {"glow": [10], "vae": [5], "vaeglow": [5, 4]}


def save(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: Path, **values) -> None:
    save(path, json.loads(path.read_text()) | values)


def write_run(root: Path, model: str, temperatures: list[float], seed: int = 0, **values) -> Path:
    """The files of one run as the steps write them."""
    identity = {"preset": "demo", "dataset": "photos32", "model": model, "seed": seed}
    hashes = {"config_sha256": f"c-{model}-{seed}", "data_sha256": "d" * 64, "weights_sha256": f"w-{model}-{seed}"}
    about = {"provenance": {"commit": "abc123", "dirty": False, "device": "A CPU"}}
    run = root / "demo/photos32" / model / f"seed{seed}"
    phases = {"epochs_by_phase": EPOCHS[model], "train_seconds_by_phase": [10.25] * len(EPOCHS[model])}
    save(run / "training.json", identity | hashes | about | phases | {"parameters": 7, "skipped_steps": 0})
    likelihood = {
        "bits_per_dim": values.get("bits", 4.0),
        "standard_error": 0.01,
        "bound": "=" if model == "glow" else "<=",
        "images": 1000,
        "split": "test",
        "dequantisation": "uniform",
    }
    save(run / "likelihood.json", identity | hashes | about | likelihood)
    for temperature in temperatures:
        metrics = {
            "fid": values.get("fid", 1.5),
            "temperature": temperature,
            "protocol": "test-500-64",
            "fid_samples": 500,
            "exploded_samples": 0,
            "fid_reference_images": 500,
            "fid_features": 64,
            "split": "test",
            "reference_sha256": "r" * 64,
            "inception_sha256": "i" * 64,
        }
        save(run / f"metrics/test-500-64/T{temperature}.json", identity | hashes | about | metrics)
    return run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    write_run(root, "glow", [1.0], fid=0.456, bits=5.12345)
    write_run(root, "vae", [0.0])
    write_run(root, "vaeglow", [0.5, 1.0])
    return root


def run_table(results: Path, spec: dict = SPEC) -> list[dict[str, str]]:
    output = results / "demo/tables/table2.csv"
    command = ["--spec", json.dumps(spec), "--published", str(PUBLISHED), "--results-root", str(results)]
    table.main([*command, "--output", str(output), "--markdown", str(output.with_suffix(".md"))])
    return list(csv.DictReader(io.StringIO(output.read_text())))


def test_published_rows_come_first_as_printed_with_no_preset_seeds_or_counts(results):
    rows = run_table(results)
    published = [row for row in rows if row["source"] == "published"]
    assert rows[:5] == published
    assert [(r["model"], r["fid"], r["bits_per_dim"], r["bound"]) for r in published] == [
        ("PixelCNN", "65.93", "3.03", "="),
        ("PixelIQN", "49.46", "", ""),
        ("Glow", "46.90", "3.35", "="),
        ("Residual Flow", "46.37", "3.28", "="),
        ("Ours", "42.14", "3.17", "<="),
    ]
    for row in published:
        assert row["origin"] and row["dataset"] == "cifar10"
        assert not any(row[key] for key in ("preset", "seeds", "fid_samples", "fid_reference_images", "fid_features"))
        assert not any(row[key] for key in ("epochs", "train_seconds", "temperature", "device", "commit"))


def test_measured_rows_carry_their_numbers_and_their_conditions(results):
    rows = {(row["run"], row["temperature"]): row for row in run_table(results) if row["source"] == "measured"}
    assert list(rows) == [("glow", "1.0"), ("vae", "0.0"), ("vaeglow", "0.5"), ("vaeglow", "1.0")]
    glow, layered = rows["glow", "1.0"], rows["vaeglow", "0.5"]
    assert (glow["fid"], glow["bits_per_dim"], glow["bound"]) == ("0.46", "5.123", "=")
    assert (layered["bound"], layered["epochs"], layered["train_seconds"]) == ("<=", "5+4", "20.5")
    assert (glow["epochs"], glow["train_seconds"], glow["seeds"]) == ("10", "10.2", "0")
    for row in rows.values():
        assert (row["preset"], row["dataset"], row["device"], row["commit"]) == ("demo", "photos32", "A CPU", "abc123")
        assert (row["fid_samples"], row["fid_reference_images"], row["fid_features"]) == ("500", "500", "64")
        assert (row["fid_split"], row["protocol"], row["dequantisation"]) == ("test", "test-500-64", "uniform")
        assert row["fid_sd"] == row["bits_per_dim_sd"] == ""


def test_several_seeds_give_mean_and_standard_deviation(results):
    write_run(results, "vae", [0.0], seed=0, fid=1.0, bits=4.0)
    write_run(results, "vae", [0.0], seed=3, fid=3.0, bits=4.2)
    rows = run_table(results, SPEC | {"seeds": [0, 3], "rows": [{"model": "vae", "temperature": 0.0}]})
    row = rows[-1]
    assert (row["fid"], row["fid_sd"], row["seeds"]) == ("2.00", "1.41", "0 3")
    assert (row["bits_per_dim"], row["bits_per_dim_sd"]) == ("4.100", "0.141")


def test_a_run_from_changed_source_says_so(results):
    change(
        results / "demo/photos32/vae/seed0/training.json", provenance={"commit": "abc", "dirty": True, "device": "X"}
    )
    assert {row["commit"] for row in run_table(results) if row["run"] == "vae"} == {"abc+dirty"}


VAE, METRICS = "vae/seed0", "metrics/test-500-64/T0.0.json"


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("training.json", {"preset": "paper"}, "preset is 'paper'"),
        ("likelihood.json", {"preset": "paper"}, "preset is 'paper'"),
        (METRICS, {"dataset": "cifar10"}, "dataset is 'cifar10'"),
        (METRICS, {"fid_samples": 400}, "fid_samples is 400"),
        (METRICS, {"fid_features": 2048}, "fid_features is 2048"),
        (METRICS, {"temperature": 0.5}, "temperature is 0.5"),
        (METRICS, {"weights_sha256": "old"}, "weights_sha256 is 'old'"),
        ("likelihood.json", {"weights_sha256": "old"}, "weights_sha256 is 'old'"),
        ("likelihood.json", {"config_sha256": "old"}, "config_sha256 is 'old'"),
        ("likelihood.json", {"split": "train"}, "split is 'train'"),
        (METRICS, {"inception_sha256": "other"}, "different Inception weights"),
        (METRICS, {"reference_sha256": "other"}, "different FID references"),
        ("likelihood.json", {"images": 10}, "different numbers of images"),
        (METRICS, {"fid": float("nan")}, "fid is nan"),
        ("likelihood.json", {"bits_per_dim": float("inf")}, "bits_per_dim is inf"),
        (METRICS, {"fid": None}, "fid is None"),
    ],
)
def test_a_file_that_does_not_belong_is_refused_and_nothing_is_written(results, file, values, says):
    change(results / "demo/photos32" / VAE / file, **values)
    with pytest.raises(UserError, match=says) as caught:
        run_table(results)
    assert "\n" not in str(caught.value)
    assert not (results / "demo/tables").exists()


def test_rows_trained_on_different_versions_of_the_data_are_refused(results):
    run = results / "demo/photos32" / VAE
    for file in (run / "training.json", run / "likelihood.json", run / METRICS):
        change(file, data_sha256="e" * 64)
    with pytest.raises(UserError, match=r"glow .* and vae .* different versions of the data"):
        run_table(results)


def test_a_missing_file_or_key_is_one_line(results):
    path = results / "demo/photos32" / VAE / "likelihood.json"
    content = json.loads(path.read_text())
    del content["images"]
    save(path, content)
    with pytest.raises(UserError, match="lacks 'images'"):
        run_table(results)
    path.unlink()
    with pytest.raises(UserError, match=r"likelihood\.json does not exist"):
        run_table(results)


def test_an_unknown_published_table_names_the_nearest(results):
    with pytest.raises(UserError, match=r"'tabel2' \(did you mean 'table2'\?\)"):
        run_table(results, SPEC | {"published": "tabel2"})


def test_no_published_rows_where_none_are_asked(results):
    assert {row["source"] for row in run_table(results, SPEC | {"published": None})} == {"measured"}


def markdown(results: Path, **changes) -> str:
    spec = SPEC | changes
    return to_markdown(build_table(spec, PUBLISHED, results), spec)


def test_markdown_keeps_numbers_as_printed_and_marks_bounds(results):
    text = markdown(results)
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    by_model = {row[0]: row for row in cells}
    assert by_model["Glow"][1:4] == ["46.90", "3.35", "published"]
    assert by_model["Ours"][2] == "≤ 3.17"
    assert by_model["PixelIQN"][2] == "-"
    assert by_model["VAE, decoder mean"][1:4] == ["1.50", "≤ 4.000", "measured"]


def test_markdown_notes_say_scale_other_data_counts_and_features(results):
    text = markdown(results)
    for words in ("Demo scale", "cifar10", "500 samples against 500 images of the test split", "uniform"):
        assert words in text
    assert "64 features are an early Inception layer" in text
    assert "results/demo/tables/table2.csv" in text


def test_publish_copies_whole_files_and_refuses_missing_ones(results, tmp_path):
    run_table(results)
    source = results / "demo/tables/table2.csv"
    publish.main(["--source", str(source), "--output", str(tmp_path / "out/table2.csv")])
    assert (tmp_path / "out/table2.csv").read_bytes() == source.read_bytes()
    with pytest.raises(UserError, match="does not exist"):
        publish.main(["--source", str(source), "nowhere.csv", "--output", "a.csv", str(tmp_path / "b.csv")])
    assert not Path("a.csv").exists()


def test_write_config_writes_what_it_was_given_and_refuses_what_is_no_object(tmp_path):
    resolved = {"model": "it's", "training": {"learning_rate": 1e-4}, "base": None}
    write_config.main(["--json", json.dumps(resolved), "--output", str(tmp_path / "config.json")])
    assert json.loads((tmp_path / "config.json").read_text()) == resolved
    for bad in ("[1]", "{"):
        with pytest.raises(UserError, match="--json"):
            write_config.main(["--json", bad, "--output", str(tmp_path / "other.json")])
    assert not (tmp_path / "other.json").exists()


def test_provenance_is_json_and_survives_outside_git(tmp_path, monkeypatch):
    about = provenance.collect("cpu")
    assert json.loads(json.dumps(about)) == about
    assert {"commit", "dirty", "source_sha256", "python", "versions", "device", "started"} <= set(about)
    assert about["versions"]["torch"] and about["device"]
    assert provenance.git_state(tmp_path) == ("unknown", None)
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state() == ("unknown", None)


def test_provenance_reads_this_checkout_and_not_one_around_it(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        assert provenance.git(tmp_path, *identity, *arguments) is not None

    git("init", "--quiet")
    (tmp_path / "vaeglow").mkdir()
    (tmp_path / "vaeglow/a.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit, dirty = provenance.git_state(tmp_path)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "vaeglow/b.py").write_text("b = 1\n")
    assert provenance.git_state(tmp_path) == (commit, True)
    assert provenance.git_state(tmp_path / "vaeglow") == ("unknown", None)
