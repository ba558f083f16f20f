"""The tables of FID, KID and bits/dim, and what all tables have."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_tools import shipped_config
from table_tools import LABELS, WEIGHTS, change, form, reference, row, run_table, shown, spec_of, write_run

from vaeglow.config import effective, merge, plan
from vaeglow.errors import UserError

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
    published = [row for row in run_table(results, SPEC)[:6] if row["source"] == "published"]
    names = ("model", "fid", "bits_per_dim", "bound", "dataset")
    assert [" ".join(r[name] or "-" for name in names) for r in published] == [
        "PixelCNN 65.93 3.03 = cifar10",
        "PixelIQN 49.46 - - cifar10",
        "Glow 46.90 3.35 = cifar10",
        "Residual Flow 46.37 3.28 = cifar10",
        "Ours 42.14 3.17 <= cifar10",
    ]
    assert all(one["origin"] and not any(one[key] for key in ("preset", "seeds", "commit")) for one in published)


def test_measured_rows_carry_their_numbers_and_their_conditions(results):
    rows = {(row["run"], row["temperature"]): row for row in run_table(results, SPEC) if row["source"] == "measured"}
    assert list(rows) == [("glow", "1.0"), ("vae", "0.0"), ("vaeglow", "0.5"), ("vaeglow", "1.0")]
    glow, layered = rows["glow", "1.0"], rows["vaeglow", "0.5"]
    assert (glow["fid"], glow["bits_per_dim"], glow["bound"]) == ("0.46", "5.123", "=")
    assert (layered["bound"], layered["epochs"], layered["train_seconds"]) == ("<=", "5+4", "20.5")
    assert (glow["epochs"], glow["train_seconds"], glow["train_cpu_seconds"]) == ("10", "10.2", "9.2")
    about = {"preset": "demo", "dataset": "photos32", "seeds": "0", "device": "A CPU", "commit": "abc123"}
    about |= {"fid_samples": "500", "fid_reference_images": "500", "fid_features": "64", "fid_split": "test"}
    about |= {"protocol": "test-500-64", "dequantisation": "uniform", "fid_sd": "", "bits_per_dim_sd": ""}
    assert all(about.items() <= one.items() for one in rows.values())


VAE, METRICS = "vae/seed0", "metrics/test-500-64/T0.0.json"


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("training.json", {"preset": "paper"}, "preset is 'paper'"),
        (METRICS, {"fid_samples": 400}, "fid_samples is 400"),
        (METRICS, {"fid_sets": 2}, "fid_sets is 2, expected 1"),
        (METRICS, {"stretch": True}, "stretch is True"),
        (METRICS, {"temperature": 0.5}, "temperature is 0.5"),
        (METRICS, {"weights_sha256": "old"}, "differ in weights_sha256"),
        ("likelihood.json", {"data_sha256": "old"}, "differ in data_sha256"),
        (METRICS, {"inputs": {WEIGHTS: "other"}}, f"differ in {WEIGHTS}"),
        (METRICS, {"inputs": {reference("photos32"): "other"}}, f"differ in {reference('photos32')}"),
        ("likelihood.json", {"images": 10}, "differ in images"),
        ("likelihood.json", {"dequantisation": "none"}, "differ in dequantisation"),
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


def test_a_reader_sees_numbers_as_printed_bounds_marked_and_what_went_wrong(results):
    change(results / "demo/photos32/vaeglow/seed0/metrics/test-500-64/T1.0.json", exploded_samples=3)
    run_table(results, SPEC)
    by_model = {cells["Model"]: [*cells.values()] for cells in shown(results, SPEC)}
    assert by_model["Glow"][1:4] == ["46.90", "3.35", "published"]
    assert by_model["Ours"][2] == "≤ 3.17" and by_model["PixelIQN"][2] == "-"
    assert by_model["VAE, without noise"][1:4] == ["1.50", "≤ 4.000", "measured"]
    text = form(results, SPEC)
    assert "One seed (0)" in text and "±" not in text and text.count("overflowed") == 1
    assert f"{LABELS['vaeglow']}, T=1.0: 3 of the samples drawn overflowed" in text


def test_the_spec_says_what_is_shown_and_only_that_is_explained(results):
    columns = ["model", "temperature", "fid", "kid", "precision", "recall", "density", "coverage", "diversity"]
    spec = SPEC | {"published": None, "show": columns}
    measured = run_table(results, spec)[2]
    assert (measured["model"], measured["temperature"]) == (f"{LABELS['vaeglow']}, T=0.5", "0.5")
    assert (measured["kid"], measured["kid_standard_error"], measured["kid_sd"]) == ("0.01230", "0.00200", "")
    seen = shown(results, spec)
    assert list(seen[0]) == ["Model", "T", "FID", "KID", *("Precision", "Recall", "Density", "Coverage"), "Diversity"]
    drawn = [LABELS["vaeglow"], "0.5", "1.50", "0.01230 (± 0.00200)", "0.750", "0.250", "0.875", "0.625", "9.500"]
    assert list(seen[2].values()) == drawn and seen[1]["Model"] == LABELS["vae"]
    assert "two real images: 11.500 on photos32" in form(results, spec) and "bits/dim:" not in form(results, spec)


def test_published_rows_are_shown_with_their_source_and_a_column_there_is_not_is_named(results):
    spec = SPEC | {"show": ["model", "fid"]}
    run_table(results, spec)
    assert {cells["Source"] for cells in shown(results, spec)} == {"published", "measured"}
    with pytest.raises(UserError, match=r"no column 'fied' \(did you mean 'fid'\?\)"):
        run_table(results, SPEC | {"show": ["model", "fied"]})


def test_runs_are_compared_and_shown_within_a_dataset(results):
    """Table 1: two datasets, with references and versions of the data of their own."""
    rows = []
    for dataset, images in (("cifar10", 1000), ("fashion_mnist", 500)):
        for model in ("vae_two_stage", "vae_isotropic"):
            write_run(results, model, [0.0], dataset=dataset, likelihood_images=images)
            rows.append(row(model, 0.0, dataset=dataset))
    spec = spec_of("quality", rows, name="table1", published="table1")
    made = [(one["source"], one["dataset"], one["epochs"]) for one in run_table(results, spec)]
    assert made[4:] == [("measured", name, n) for name in ("cifar10", "fashion_mnist") for n in ("3+2", "5")]
    seen = [(cells["Dataset"], cells["Source"]) for cells in shown(results, spec)]
    pairs = [(name, source) for name in ("fashion_mnist", "cifar10") for source in ("published", "measured")]
    assert seen == [pair for pair in pairs for _ in range(2)]
    assert "500 test images" in form(results, spec) and "other data" not in form(results, spec)
    change(results / "demo/cifar10/vae_two_stage/seed0" / METRICS, inputs={reference("cifar10"): "r-fashion_mnist"})
    with pytest.raises(UserError, match=r"differ in .*cifar10/fid_reference"):
        run_table(results, spec)


def test_several_sets_of_samples_show_their_spread_and_a_stretched_protocol_says_so(tmp_path):
    for seed, spread in ((0, 0.3), (3, 0.4)):
        write_run(tmp_path, "vae", [0.0], seed, fid=10.0 + seed, fid_by_set=[1, 2, 3], fid_sd=spread, stretch=True)
    show = ["model", "fid", "kid"]
    spec = spec_of("quality", [row("vae", 0.0)], sets=3, seeds=[0, 3], stretch=True, show=show)
    (line,) = run_table(tmp_path, spec)
    assert (line["fid"], line["fid_sd"], line["fid_sd_over_sets"], line["fid_sets"]) == ("11.50", "2.12", "0.35", "3")
    assert line["stretch"] == "yes"
    text = form(tmp_path, spec)
    assert "11.50 ± 2.12 (± 0.35)" in text and "(± 0.00200)" in text
    assert "mean over 3 sets of 500 samples, each set against 500 images" in text
    assert "its standard deviation over the 3 sets" in text
    assert "stretched to the whole range, and those of real images not" in text


def test_a_protocol_says_all_five_things_in_a_spec():
    changes = {"presets": {"demo": {"protocols": {"test-100-2048": {"sets": 4}}}}}
    view = effective(merge(shipped_config(), changes), "demo")
    for name, protocol in view["protocols"].items():
        found = plan.protocol(view, name)
        assert set(found) == {"split", "images", "features", "sets", "stretch"} and protocol.items() <= found.items()
    assert plan.protocol(view, "dai-wipf")["stretch"] is True and plan.spec(view, "tables", "table2")["sets"] == 4
    assert plan.sample_counts(view)["photos32"] == 400
