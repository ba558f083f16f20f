"""The tables of what z carries, of bounds, of the Glow layer's action and of the linear reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_tools import LABELS, change, form, identity_of, row, run_table, save, shown, spec_of, write_run

from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.results import relative

LATENTS = {"images": 64, "latent_dim": 32, "kl_nats": 20.5, "kl_bits_per_dim": 0.0096, "variance_explained": 0.8}
LATENTS |= {"information_lower_nats": 4.1, "information_upper_nats": 20.5, "information_cap_nats": 4.159}
LATENTS |= {"decoder_information_lower_nats": 5.5, "decoder_information_upper_nats": 20.25}
LATENTS |= {"entropy_x_bar_bits_per_dim": 6.0, "entropy_image_bits_per_dim": 4.0, "layer_log_det_bits_per_dim": 2.0}
STAGES = {"vae": 0.01, "vae_noisy": 0.4, "layer_mean": 0.02, "layer": 0.1}
ACTION = {"temperature": 0.5, "images": 50, "sharpness": {**STAGES, "data": 0.12}, "spectrum_error": STAGES}
ACTION |= {"feature_distance": 5.0, "feature_distance_between": 15.0, "draw_pixel_distance": None}
ACTION |= {"content_kept_pixels": 0.95, "content_kept": 0.9}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_run(tmp_path, "glow", [], bits=3.0)
    write_run(tmp_path, "vae", [0.0], bits=7.0)
    for seed in (0, 1):
        run, identity = write_run(tmp_path, "vaeglow", [0.5, 1.0], seed, fid=10.0 + seed), identity_of("vaeglow", seed)
        save(run / "latents.json", identity | LATENTS | {"active_units": 12 + seed})
        save(run / "layer_action.json", identity | ACTION | {"pixel_distance": 12.0 + seed})
    return tmp_path


INFORMATION = spec_of("information", [row("vaeglow", temperatures=[0.5, 1.0])])


def test_information_has_one_row_a_model_and_every_temperature_in_columns_of_its_own(results):
    change(results / "demo/photos32/vaeglow/seed0/metrics/test-500-64/T1.0.json", fid=20.0, exploded_samples=2)
    (made,) = run_table(results, INFORMATION)
    assert (made["fid_t0.5"], made["fid_t1.0"], made["kid_t1.0"]) == ("10.00", "20.00", "0.01230")
    assert (made["active_units"], made["latent_dim"], made["information_cap_nats"]) == ("12", "32", "4.16")
    (seen,) = shown(results, INFORMATION)
    assert (seen["Active units"], seen["I(x;z) (nats)"], seen["FID, T=1.0"]) == ("12 of 32", "4.10 to 20.50", "20.00")
    assert seen["I(x_bar;z) (nats)"] == "5.50 to 20.25"
    text = form(results, INFORMATION)
    assert "cannot exceed 4.16 nats" in text and "2 of the samples drawn overflowed" in text
    (made,) = run_table(results, INFORMATION | {"seeds": [0, 1]})
    assert (made["active_units"], made["active_units_sd"]) == ("12.5", "0.7")
    assert (made["fid_t0.5"], made["fid_t0.5_sd"], made["seeds"]) == ("10.50", "0.71", "0 1")
    change(results / "demo/photos32/vaeglow/seed0/latents.json", kl_nats=None)
    with pytest.raises(UserError, match="kl_nats is None"):
        run_table(results, INFORMATION)


LIKELIHOOD = spec_of("likelihood", [row("glow"), row("vaeglow")])


def test_likelihood_has_bounds_by_rising_k_terms_that_add_up_and_the_rest_apart(results):
    made = run_table(results, LIKELIHOOD)[1]
    columns = [name for name in made if name.startswith("bits_per_dim_k") and not name.endswith("_sd")]
    assert columns == ["bits_per_dim_k1", "bits_per_dim_k10", "bits_per_dim_k100"]
    assert [made[name] for name in ("bits_per_dim", *columns)] == ["4.000", "4.050", "3.900", "3.800"]
    terms = [float(made[name]) for name in made if name.startswith("term_") and not name.endswith("_sd")]
    assert sum(terms) == pytest.approx(float(made["bits_per_dim"]))
    assert (made["undequantised_not_a_bound"], made["importance_images"]) == ("3.000", "64")
    names = ("bits/dim, K=1 (all images)", "K=10", "undequantised (not a bound)")
    seen = [tuple(cells[name] for name in names) for cells in shown(results, LIKELIHOOD)]
    assert seen == [("3.000", "2.900", "2.000"), ("≤ 4.000", "≤ 3.900", "3.000")]


LAYER = spec_of("layer_action", [row("vaeglow")], seeds=[0, 1])


def test_layer_action_has_distances_chance_sharpness_and_spectrum(results):
    (made,) = run_table(results, LAYER)
    assert (made["pixel_distance"], made["pixel_distance_sd"]) == ("12.50", "0.71")
    assert (made["content_kept"], made["content_chance"], made["draw_pixel_distance"]) == ("0.900", "0.020", "")
    assert (made["sharpness_data"], made["sharpness_layer"], made["spectrum_error_vae"]) == ("0.120", "0.100", "0.010")
    (seen,) = shown(results, LAYER)
    assert (seen["Moved (grey levels)"], seen["Between draws (grey levels)"]) == ("12.50 ± 0.71", "-")
    path = results / "demo/photos32/vaeglow/seed1/layer_action.json"
    change(path, sharpness={"vae": 0.1})
    with pytest.raises(UserError, match="lacks 'vae_noisy'"):
        run_table(results, LAYER)


REFERENCE = spec_of("linear_reference", [row("vae"), row("vaeglow"), row("glow")], name="linear", reference_model="vae")
CONFIGS = {"vae": {"kind": "vae"}, "vaeglow": {"kind": "vae_glow", "layer": {"squeeze": 2}}, "glow": {"kind": "glow"}}
NAMES = ("no_layer", "squeeze1", "squeeze2", "squeeze4", "whitening")


def write_config(run: Path, config: dict) -> None:
    """A run's config.json, which its training.json names."""
    run_of = ("preset", "dataset", "model", "seed")
    save(run / "config.json", config | {key: identity_of(run.parent.name)[key] for key in run_of})
    change(run / "training.json", inputs={relative(run / "config.json"): sha256_file(run / "config.json")})


@pytest.fixture
def referred(results: Path) -> Path:
    """Runs with their config, and the reference beside the VAE."""
    for model, config in CONFIGS.items():
        write_config(results / "demo/photos32" / model / "seed0", config)
    values = dict(zip(NAMES, (6.5, 5.5, 4.5, 4.0, 3.5), strict=True))
    bias = dict(zip(NAMES, (0.0, -0.001, -0.004, -0.02, -0.02), strict=True))
    sources = {"vae": values, "pca": {name: value + 1 for name, value in values.items()}}
    content = {"images": 500, "latents": 32, "sources": sources, "estimation_bias": bias}
    save(results / "demo/photos32/vae/seed0/linear_reference.json", identity_of("vae") | content)
    return results


def test_each_reference_stands_beside_the_trained_model_that_answers_to_it(referred):
    rows = run_table(referred, REFERENCE)
    names = ("vae_residual", "pca_residual", "estimation_bias", "run", "trained_model", "bits_per_dim")
    assert [tuple(r[name] for name in names) for r in rows] == [
        ("6.500", "7.500", "0.000", "vae", LABELS["vae"], "7.000"),
        ("5.500", "6.500", "-0.001", "vae", "", ""),
        ("4.500", "5.500", "-0.004", "vaeglow", LABELS["vaeglow"], "4.000"),
        ("4.000", "5.000", "-0.020", "vae", "", ""),
        ("3.500", "4.500", "-0.020", "vae", "", ""),
        ("", "", "", "glow", LABELS["glow"], "3.000"),
    ]
    assert [r["evidence"].count(".json") for r in rows] == [3, 1, 3, 1, 1, 2]
    text = form(referred, REFERENCE)
    assert "Optimistic linear Gaussian reference, not a bound on trained layers" in text
    assert "0.004 (layer, squeeze 2), 0.020 (layer, squeeze 4)" in text
    assert [r["its bits/dim"] for r in shown(referred, REFERENCE)][:3] == ["≤ 7.000", "-", "≤ 4.000"]


def test_the_reference_refuses_another_config_and_other_data(referred):
    run = referred / "demo/photos32/vaeglow/seed0"
    change(run / "config.json", layer={"squeeze": 4})
    with pytest.raises(UserError, match=r"differ in .*config\.json"):
        run_table(referred, REFERENCE)
    write_config(run, CONFIGS["vaeglow"])
    path = referred / "demo/photos32/vae/seed0/linear_reference.json"
    change(path, data_sha256="other")
    with pytest.raises(UserError, match="differ in data_sha256"):
        run_table(referred, REFERENCE)
