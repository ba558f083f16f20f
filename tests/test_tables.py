from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from table_tools import (
    PUBLISHED,
    WEIGHTS,
    cells_of,
    change,
    form,
    reference,
    row,
    run_table,
    save,
    shown,
    spec_of,
    write_run,
)

from vaeglow import provenance
from vaeglow.config.schema import kinds
from vaeglow.errors import UserError
from vaeglow.reporting.markdown import to_markdown
from vaeglow.reporting.tables import KINDS, LABELS, build_table, kind_module

ROWS = [row("glow", 1.0), row("vae", 0.0), row("vaeglow", 0.5), row("vaeglow", 1.0)]
SPEC = spec_of("quality", ROWS, published="table2")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    write_run(root, "glow", [1.0], fid=0.456, bits=5.12345)
    write_run(root, "vae", [0.0])
    write_run(root, "vaeglow", [0.5, 1.0])
    return root


def test_published_rows_come_first_as_printed_with_no_preset_seeds_or_counts(results):
    rows = run_table(results, SPEC)
    published = [row for row in rows if row["source"] == "published"]
    assert rows[:5] == published
    assert [(r["model"], r["fid"], r["bits_per_dim"], r["bound"]) for r in published] == [
        ("PixelCNN", "65.93", "3.03", "="),
        ("PixelIQN", "49.46", "", ""),
        ("Glow", "46.90", "3.35", "="),
        ("Residual Flow", "46.37", "3.28", "="),
        ("Ours", "42.14", "3.17", "<="),
    ]
    for one in published:
        assert one["origin"] and one["dataset"] == "cifar10"
        assert not any(one[key] for key in ("preset", "seeds", "fid_samples", "fid_reference_images", "fid_features"))
        assert not any(one[key] for key in ("epochs", "train_seconds", "temperature", "device", "commit"))


def test_measured_rows_carry_their_numbers_and_their_conditions(results):
    rows = {(row["run"], row["temperature"]): row for row in run_table(results, SPEC) if row["source"] == "measured"}
    assert list(rows) == [("glow", "1.0"), ("vae", "0.0"), ("vaeglow", "0.5"), ("vaeglow", "1.0")]
    glow, layered = rows["glow", "1.0"], rows["vaeglow", "0.5"]
    assert (glow["fid"], glow["bits_per_dim"], glow["bound"]) == ("0.46", "5.123", "=")
    assert (layered["bound"], layered["epochs"], layered["train_seconds"]) == ("<=", "5+4", "20.5")
    assert (glow["epochs"], glow["train_seconds"], glow["train_cpu_seconds"]) == ("10", "10.2", "9.2")
    assert glow["seeds"] == "0"
    for one in rows.values():
        assert (one["preset"], one["dataset"], one["device"], one["commit"]) == ("demo", "photos32", "A CPU", "abc123")
        assert (one["fid_samples"], one["fid_reference_images"], one["fid_features"]) == ("500", "500", "64")
        assert (one["fid_split"], one["protocol"], one["dequantisation"]) == ("test", "test-500-64", "uniform")
        assert one["fid_sd"] == one["bits_per_dim_sd"] == ""


def test_several_seeds_give_mean_and_standard_deviation(results):
    write_run(results, "vae", [0.0], seed=0, fid=1.0, bits=4.0)
    write_run(results, "vae", [0.0], seed=3, fid=3.0, bits=4.2)
    rows = run_table(results, SPEC | {"seeds": [0, 3], "rows": [row("vae", 0.0)]})
    last = rows[-1]
    assert (last["fid"], last["fid_sd"], last["seeds"]) == ("2.00", "1.41", "0 3")
    assert (last["bits_per_dim"], last["bits_per_dim_sd"]) == ("4.100", "0.141")


def test_a_run_from_changed_source_says_so(results):
    change(
        results / "demo/photos32/vae/seed0/training.json", provenance={"commit": "abc", "dirty": True, "device": "X"}
    )
    assert {row["commit"] for row in run_table(results, SPEC) if row["run"] == "vae"} == {"abc+dirty"}


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
        (METRICS, {"inputs": {WEIGHTS: "other"}}, f"differ in {WEIGHTS}"),
        (METRICS, {"inputs": {reference("photos32"): "other"}}, f"differ in {reference('photos32')}"),
        ("likelihood.json", {"images": 10}, "different numbers of images"),
        (METRICS, {"fid": float("nan")}, "fid is nan"),
        ("likelihood.json", {"bits_per_dim": float("inf")}, "bits_per_dim is inf"),
        (METRICS, {"fid": None}, "fid is None"),
        (METRICS, {"kid": float("nan")}, "kid is nan"),
        (METRICS, {"recall": "much"}, "recall is much"),
    ],
)
def test_a_file_that_does_not_belong_is_refused_and_nothing_is_written(results, file, values, says):
    change(results / "demo/photos32" / VAE / file, **values)
    with pytest.raises(UserError, match=says) as caught:
        run_table(results, SPEC)
    assert "\n" not in str(caught.value)
    assert not (results / "demo/tables").exists()


def test_rows_trained_on_different_versions_of_the_data_are_refused(results):
    run = results / "demo/photos32" / VAE
    for file in (run / "training.json", run / "likelihood.json", run / METRICS):
        change(file, data_sha256="e" * 64)
    with pytest.raises(UserError, match=r"glow .* and vae .* different versions of the data"):
        run_table(results, SPEC)


def test_a_missing_file_or_key_is_one_line(results):
    path = results / "demo/photos32" / VAE / "likelihood.json"
    content = json.loads(path.read_text())
    del content["images"]
    save(path, content)
    with pytest.raises(UserError, match="lacks 'images'"):
        run_table(results, SPEC)
    path.unlink()
    with pytest.raises(UserError, match=r"likelihood\.json does not exist"):
        run_table(results, SPEC)


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
    by_model = {cells[0]: cells for cells in cells_of(text)}
    assert by_model["Glow"][1:4] == ["46.90", "3.35", "published"]
    assert by_model["Ours"][2] == "≤ 3.17"
    assert by_model["PixelIQN"][2] == "-"
    assert by_model["VAE, without noise"][1:4] == ["1.50", "≤ 4.000", "measured"]


def test_markdown_notes_say_scale_other_data_counts_and_features(results):
    text = markdown(results)
    for words in ("Demo scale", "cifar10", "500 samples against 500 images of the test split", "uniform"):
        assert words in text
    assert "64 features are an early Inception layer" in text
    assert "results/demo/tables/table2.csv" in text


def test_kid_precision_recall_and_diversity_stand_in_the_csv_and_where_the_spec_shows_them(results):
    columns = ["model", "temperature", "fid", "kid", "precision", "recall", "density", "coverage", "diversity"]
    spec = SPEC | {"published": None, "show": columns}
    measured = run_table(results, spec)[2]
    assert (measured["model"], measured["temperature"]) == (f"{LABELS['vaeglow']}, T=0.5", "0.5")
    assert (measured["kid"], measured["kid_standard_error"], measured["kid_sd"]) == ("0.01230", "0.00200", "")
    assert (measured["precision"], measured["recall"], measured["diversity"]) == ("0.750", "0.250", "9.500")
    assert (measured["density"], measured["coverage"], measured["reference_diversity"]) == ("0.875", "0.625", "11.500")
    seen = shown(results, spec)
    assert list(seen[0]) == ["Model", "T", "FID", "KID", *("Precision", "Recall", "Density", "Coverage"), "Diversity"]
    drawn = [LABELS["vaeglow"], "0.5", "1.50", "0.01230 (± 0.00200)", "0.750", "0.250", "0.875", "0.625", "9.500"]
    assert list(seen[2].values()) == drawn
    assert seen[1]["Model"] == LABELS["vae"]
    assert "two real images: 11.500 on photos32" in form(results, spec) and "bits/dim:" not in form(results, spec)


def test_published_rows_are_never_shown_without_their_source(results):
    spec = SPEC | {"show": ["model", "fid"]}
    run_table(results, spec)
    assert {cells["Source"] for cells in shown(results, spec)} == {"published", "measured"}
    with pytest.raises(UserError, match=r"no column 'fied' \(did you mean 'fid'\?\)"):
        run_table(results, SPEC | {"show": ["model", "fied"]})


@pytest.fixture
def two_datasets(results: Path) -> dict:
    """Table 1's spec: two datasets, with references and versions of the data of their own."""
    rows = []
    for dataset, images in (("cifar10", 1000), ("fashion_mnist", 500)):
        for model in ("vae_two_stage", "vae_isotropic"):
            write_run(results, model, [0.0], dataset=dataset, likelihood_images=images)
            rows.append(row(model, 0.0, dataset=dataset))
    return spec_of("quality", rows, name="table1", published="table1")


def test_runs_are_compared_within_a_dataset_only(results, two_datasets):
    rows = run_table(results, two_datasets)
    assert [(r["source"], r["dataset"]) for r in rows] == [
        *[("published", "fashion_mnist")] * 2,
        *[("published", "cifar10")] * 2,
        *[("measured", "cifar10")] * 2,
        *[("measured", "fashion_mnist")] * 2,
    ]
    assert [r["epochs"] for r in rows[4:]] == ["3+2", "5", "3+2", "5"]
    metrics = results / "demo/cifar10/vae_two_stage/seed0" / METRICS
    change(metrics, inputs={reference("cifar10"): "r-fashion_mnist"})
    with pytest.raises(UserError, match=r"differ in .*cifar10/fid_reference"):
        run_table(results, two_datasets)


def test_a_reader_finds_published_and_measured_rows_of_a_dataset_together(results, two_datasets):
    run_table(results, two_datasets)
    seen = [(cells["Dataset"], cells["Source"]) for cells in shown(results, two_datasets)]
    pairs = [(name, source) for name in ("fashion_mnist", "cifar10") for source in ("published", "measured")]
    assert seen == [pair for pair in pairs for _ in range(2)]
    text = form(results, two_datasets)
    assert "500 test images" in text and "other data" not in text


def test_a_single_seed_and_exploded_samples_are_said(results):
    path = results / "demo/photos32/vaeglow/seed0/metrics/test-500-64/T1.0.json"
    change(path, exploded_samples=3)
    text = markdown(results)
    assert "One seed (0)" in text and "±" not in text
    assert f"{LABELS['vaeglow']}, T=1.0: 3 of the samples drawn overflowed" in text
    assert text.count("overflowed") == 1


def test_several_seeds_stand_beside_the_mean(results):
    for seed, fid in ((0, 1.0), (3, 3.0)):
        write_run(results, "vae", [0.0], seed=seed, fid=fid, kid=fid / 100)
    spec = spec_of("quality", [row("vae", 0.0)], seeds=[0, 3], show=["model", "fid", "kid", "bits_per_dim"])
    run_table(results, spec)
    (cells,) = shown(results, spec)
    kid = "0.02000 ± 0.01414 (± 0.00200)"
    assert (cells["FID"], cells["KID"], cells["bits/dim"]) == ("2.00 ± 1.41", kid, "≤ 4.000 ± 0.000")
    assert "± is the standard deviation over seeds 0 3." in form(results, spec)


def test_an_unknown_kind_is_one_line(results):
    with pytest.raises(UserError, match=r"tables.table2: kind is 'qualty'; it is one of quality, timing"):
        run_table(results, SPEC | {"kind": "qualty"})


def test_every_kind_that_config_may_name_has_its_module():
    assert set(KINDS) == set(kinds("tables"))
    for kind in KINDS:
        module = kind_module({"kind": kind})
        assert all(callable(getattr(module, name)) for name in ("build", "readable", "notes_of"))


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
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

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
