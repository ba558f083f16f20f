"""The tables of what z carries, of bounds, of the Glow layer's action and of the linear reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from table_tools import change, form, identity_of, row, run_table, save, shown, spec_of, write_run

from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.reporting.labels import LABELS


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    write_run(root, "glow", [], bits=3.0)
    write_run(root, "vae", [0.0], bits=7.0)
    for seed in (0, 1):
        run = write_run(root, "vaeglow", [0.5, 1.0], seed=seed, fid=10.0 + seed)
        write_latents(run, seed)
        write_action(run, seed)
    return root


def write_latents(run: Path, seed: int) -> None:
    latents = {
        "images": 64,
        "latent_dim": 32,
        "active_units": 12 + seed,
        "kl_nats": 20.5,
        "kl_bits_per_dim": 0.0096,
        "information_lower_nats": 4.1,
        "information_upper_nats": 20.5,
        "information_cap_nats": 4.159,
        "decoder_information_lower_nats": 5.5,
        "decoder_information_upper_nats": 20.25,
        "variance_explained": 0.8,
        "entropy_x_bar_bits_per_dim": 6.0,
        "entropy_image_bits_per_dim": 4.0,
        "layer_log_det_bits_per_dim": 2.0,
    }
    save(run / "latents.json", identity_of("vaeglow", seed) | latents)


def write_action(run: Path, seed: int) -> None:
    stages = {"vae": 0.01, "vae_noisy": 0.4, "layer_mean": 0.02, "layer": 0.1}
    action = {
        "temperature": 0.5,
        "images": 50,
        "pixel_distance": 12.0 + seed,
        "feature_distance": 5.0,
        "feature_distance_between": 15.0,
        "draw_pixel_distance": None,
        "content_kept_pixels": 0.95,
        "content_kept": 0.9,
        "sharpness": {**stages, "data": 0.12},
        "spectrum_error": stages,
    }
    save(run / "layer_action.json", identity_of("vaeglow", seed) | action)


INFORMATION = spec_of("information", [row("vaeglow", temperatures=[0.5, 1.0])])


def test_information_has_one_row_a_model_and_every_temperature_in_columns_of_its_own(results):
    change(results / "demo/photos32/vaeglow/seed0/metrics/test-500-64/T1.0.json", fid=20.0, exploded_samples=2)
    (made,) = run_table(results, INFORMATION)
    assert (made["fid_t0.5"], made["fid_t1.0"], made["kid_t1.0"]) == ("10.00", "20.00", "0.01230")
    assert (made["active_units"], made["latent_dim"], made["information_cap_nats"]) == ("12", "32", "4.16")
    assert made["model"] == LABELS["vaeglow"] and made["source"] == "measured"
    (seen,) = shown(results, INFORMATION)
    assert (seen["Active units"], seen["I(x;z) (nats)"], seen["FID, T=1.0"]) == ("12 of 32", "4.10 to 20.50", "20.00")
    assert seen["I(x_bar;z) (nats)"] == "5.50 to 20.25"
    text = form(results, INFORMATION)
    for words in ("cannot exceed 4.16 nats", "2 of the samples drawn overflowed", "Demo scale", "One seed (0)"):
        assert words in text


def test_information_over_seeds_gives_means_and_spreads(results):
    (made,) = run_table(results, INFORMATION | {"seeds": [0, 1]})
    assert (made["active_units"], made["active_units_sd"]) == ("12.5", "0.7")
    assert (made["fid_t0.5"], made["fid_t0.5_sd"], made["seeds"]) == ("10.50", "0.71", "0 1")


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("latents.json", {"weights_sha256": "old"}, "differ in weights_sha256"),
        ("latents.json", {"kl_nats": None}, "kl_nats is None"),
        ("metrics/test-500-64/T1.0.json", {"temperature": 0.7}, "temperature is 0.7"),
    ],
)
def test_information_refuses_what_does_not_belong(results, file, values, says):
    change(results / "demo/photos32/vaeglow/seed0" / file, **values)
    with pytest.raises(UserError, match=says):
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
    seen = shown(results, LIKELIHOOD)
    assert seen[1]["undequantised (not a bound)"] == "3.000" and seen[1]["bits/dim, K=1 (all images)"] == "≤ 4.000"
    assert (
        seen[0]["bits/dim, K=1 (all images)"] == "3.000" and seen[0]["K=10"] == "2.900" and seen[1]["K=10"] == "≤ 3.900"
    )


def test_a_number_that_does_not_say_it_is_no_bound_is_refused(results):
    path = results / "demo/photos32/vaeglow/seed0/likelihood.json"
    change(path, undequantised=json.loads(path.read_text())["undequantised"] | {"not_a_bound": False})
    with pytest.raises(UserError, match="not_a_bound is not true"):
        run_table(results, LIKELIHOOD)


ACTION = spec_of("layer_action", [row("vaeglow")], seeds=[0, 1])


def test_layer_action_has_distances_chance_sharpness_and_spectrum(results):
    (made,) = run_table(results, ACTION)
    assert (made["pixel_distance"], made["pixel_distance_sd"]) == ("12.50", "0.71")
    assert (made["content_kept"], made["content_chance"], made["draw_pixel_distance"]) == ("0.900", "0.020", "")
    assert (made["sharpness_data"], made["sharpness_layer"], made["spectrum_error_vae"]) == ("0.120", "0.100", "0.010")
    (seen,) = shown(results, ACTION)
    assert (seen["Moved (grey levels)"], seen["Between draws (grey levels)"]) == ("12.50 ± 0.71", "-")
    path = results / "demo/photos32/vaeglow/seed1/layer_action.json"
    change(path, sharpness={"vae": 0.1})
    with pytest.raises(UserError, match="lacks 'vae_noisy'"):
        run_table(results, ACTION)


REFERENCE = spec_of("linear_reference", [row("vae"), row("vaeglow"), row("glow")], name="linear", reference_model="vae")


@pytest.fixture
def referred(results: Path) -> Path:
    """Runs with a config.json whose hash is the one their files carry, and the reference beside the VAE."""
    configs = {
        "vae": {"kind": "vae"},
        "vaeglow": {"kind": "vae_glow", "layer": {"squeeze": 2}},
        "glow": {"kind": "glow"},
    }
    for model, config in configs.items():
        run = results / "demo/photos32" / model / "seed0"
        save(run / "config.json", config)
        for name in ("training.json", "likelihood.json"):
            change(run / name, config_sha256=sha256_json(config))
    names = ("no_layer", "squeeze1", "squeeze2", "squeeze4", "whitening")
    references = dict(zip(names, (6.5, 5.5, 4.5, 4.0, 3.5), strict=True))
    bias = dict(zip(names, (0.0, -0.001, -0.004, -0.02, -0.02), strict=True))
    content = {
        "images": 500,
        "latents": 32,
        "sources": {"vae": references, "pca": {name: value + 1 for name, value in references.items()}},
        "estimation_bias": bias,
    }
    identity = identity_of("vae") | {"config_sha256": sha256_json(configs["vae"])}
    save(results / "demo/photos32/vae/seed0/linear_reference.json", identity | content)
    return results


def test_each_reference_stands_beside_the_trained_model_that_answers_to_it(referred):
    rows = run_table(referred, REFERENCE)
    numbers = [(r["vae_residual"], r["pca_residual"], r["run"], r["bits_per_dim"]) for r in rows]
    assert numbers == [
        ("6.500", "7.500", "vae", "7.000"),
        ("5.500", "6.500", "vae", ""),
        ("4.500", "5.500", "vaeglow", "4.000"),
        ("4.000", "5.000", "vae", ""),
        ("3.500", "4.500", "vae", ""),
        ("", "", "glow", "3.000"),
    ]
    assert [r["trained_model"] for r in rows] == [LABELS["vae"], "", LABELS["vaeglow"], "", "", LABELS["glow"]]
    text = form(referred, REFERENCE)
    assert "Optimistic linear Gaussian reference, not a bound on trained layers" in text
    assert "0.004 (layer, squeeze 2), 0.020 (layer, squeeze 4)" in text
    assert [r["its bits/dim"] for r in shown(referred, REFERENCE)][:3] == ["≤ 7.000", "-", "≤ 4.000"]


def test_the_reference_refuses_another_config_other_data_and_missing_files(referred):
    run = referred / "demo/photos32/vaeglow/seed0"
    save(run / "config.json", {"kind": "vae_glow", "layer": {"squeeze": 4}})
    with pytest.raises(UserError, match=r"config\.json: config_sha256"):
        run_table(referred, REFERENCE)
    save(run / "config.json", {"kind": "vae_glow", "layer": {"squeeze": 2}})
    path = referred / "demo/photos32/vae/seed0/linear_reference.json"
    change(path, data_sha256="other")
    with pytest.raises(UserError, match="differ in data_sha256"):
        run_table(referred, REFERENCE)
    path.unlink()
    with pytest.raises(UserError, match=r"linear_reference\.json does not exist"):
        run_table(referred, REFERENCE)


def test_a_trained_model_without_a_reference_is_not_lost(referred):
    config = {"kind": "vae_glow", "layer": {"squeeze": 8}}
    run = write_run(referred, "vaeglow_squeeze8", [])
    save(run / "config.json", config)
    for name in ("training.json", "likelihood.json"):
        change(run / name, config_sha256=sha256_json(config))
    last = run_table(referred, REFERENCE | {"rows": [row("vae"), row("vaeglow_squeeze8")]})[-1]
    assert (last["reference"], last["trained_model"], last["bits_per_dim"]) == ("", "vaeglow_squeeze8", "4.000")
