"""Every kind of figure: its axes show the values of its files, its images are in place, foreign files are refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from figure_tools import PROTOCOL, VAE, Results, curves, noise, point, spec, spoil, texts
from matplotlib import colormaps
from matplotlib.text import Text

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.figures import KINDS
from vaeglow.reporting.page import image_grid

TEMPERATURES = (0.0, 0.5, 1.0)
FIDS = {"vaeglow": (60.0, 40.0, 50.0), "glow": (90.0, 70.0, 45.0)}
LAYERS = {"vaeglow_as_written": 1, "vaeglow": 2, "vaeglow_squeeze4": 4}
BITS = {"vae": 7.0, "vaeglow_as_written": 6.3, "vaeglow": 4.0, "vaeglow_squeeze4": 3.9}
REFERENCE = {"no_layer": 6.8, "squeeze1": 5.5, "squeeze2": 4.3, "squeeze4": 4.1, "whitening": 3.6}
FREQUENCY = np.arange(1, 5) / 8
SPECTRUM = {name: (10.0 * k / FREQUENCY).tolist() for k, name in enumerate(("vae", "vae_noisy", "layer", "data"), 1)}
MODELS = [{"model": name} for name in BITS]
SPECS = {
    "side_by_side": spec(
        "side_by_side",
        [{"model": "glow", "temperature": 1.0, "label": "Rival"}, {"model": "vaeglow", "temperature": 0.5}],
        columns=3,
        lines=2,
    ),
    "overview": spec("overview", [{"model": "vaeglow", "base": "vae"}]),
    "sharpening": spec("sharpening", [{"model": "vaeglow"}], lines=4),
    "interpolation": spec("interpolation", [{"model": "vaeglow"}], lines=2, space="prior"),
    "temperature": spec("temperature", [{"model": m, "temperature": t} for m in FIDS for t in TEMPERATURES[::-1]]),
    "quality_time": spec(
        "quality_time",
        [
            {"model": "vae", "temperature": 0.0},
            {"model": "vaeglow", "temperature": 0.5, "base": "vae"},
            {"model": "glow", "temperature": 1.0},
        ],
    ),
    "linear_reference": spec("linear_reference", MODELS, reference_model="vae"),
    "noise_maps": spec("noise_maps", [{"model": "vae"}], lines=3),
    "nearest_training": spec(
        "nearest_training", [{"model": m, "temperature": 0.5} for m in ("vaeglow", "glow")], lines=2
    ),
    "importance_bound": spec("importance_bound", [{"model": "vae"}, {"model": "vaeglow"}]),
    "spectrum": spec("spectrum", [{"model": "vaeglow"}]),
    "ablation": spec(
        "ablation",
        [{"model": "vae", "temperature": 0.0}] + [{"model": "vaeglow", "temperature": t} for t in (1.0, 0.5)],
    ),
}
# The file of each figure that the tests of refusals spoil.
FILES = {
    "side_by_side": ("samples", "vaeglow", {"temperature": 0.5}),
    "overview": ("training", "vae", {}),
    "sharpening": ("layer_draws", "vaeglow", {}),
    "interpolation": ("interpolation", "vaeglow", {"space": "prior"}),
    "temperature": ("metrics", "glow", {"protocol": PROTOCOL, "temperature": 0.5}),
    "quality_time": ("snapshots", "vaeglow", {"protocol": PROTOCOL, "temperature": 0.5}),
    "linear_reference": ("linear_reference", "vae", {}),
    "noise_maps": ("noise_maps", "vae", {}),
    "nearest_training": ("nearest_training", "vaeglow", {"temperature": 0.5}),
    "importance_bound": ("likelihood_images", "vaeglow", {}),
    "spectrum": ("layer_action", "vaeglow", {}),
    "ablation": ("likelihood", "vaeglow", {}),
}


NEAR = {"samples": 50, "test_images": 40, "training_images": 60, "all_training_images": 90, "features": 64, "copies": 3}
NEAR |= {"test_copies": 1, "shares_nearer": {"1": 0.02, "5": 0.36}, "test_percentiles": {"1": 0.5, "5": 1.5}}


def near(seed: int) -> dict[str, np.ndarray]:
    """The arrays of a file of nearest training images: 50 samples, 40 test images, two neighbours, three shown."""
    rng = np.random.default_rng(seed)
    images = {"images": noise(3, seed=10 + seed), "neighbours": noise(6, seed=20 + seed).reshape(3, 2, 3, 8, 8)}
    return {**images, "distances": np.sort(rng.random((50, 2)), 1), "test_distances": 5 * rng.random(40)}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """All files that `SPECS` show."""
    made = Results(tmp_path).prepare(noise(13))
    base = made.config("vae", **VAE)
    for model, squeeze in LAYERS.items():
        layer = {"squeeze": squeeze, "depth": 5, "width": 96}
        made.config(model, kind="vae_glow", mode="frozen", layer=layer, base=base)
    made.config("glow", kind="glow")
    made.training("vae", [7], 1000)
    made.training("vaeglow", [7, 9], 3500)
    made.samples("glow", 1.0, noise(7, seed=1))
    made.samples("vaeglow", 0.5, noise(7, seed=2))
    draws = noise(15, seed=4).reshape(5, 3, 3, 8, 8)
    made.npz("layer_draws", "vaeglow", {"vae": noise(5, seed=3), "layer": draws}, {"temperature": 0.5})
    ways = {"images": noise(12, seed=5).reshape(3, 4, 3, 8, 8)}
    made.npz("interpolation", "vaeglow", ways, {"space": "prior"}, space="prior")
    scale = np.linspace(0, 30, 4 * 64, dtype=np.float32).reshape(4, 8, 8)
    maps = {"images": noise(4, seed=6), "mean": noise(4, seed=7), "scale": scale}
    made.npz("noise_maps", "vae", maps, {"error_correlation": 0.614})
    for index, model in enumerate(("vaeglow", "glow")):
        made.npz("nearest_training", model, near(index), NEAR | {"temperature": 0.5}, temperature=0.5)
    for model, fids in FIDS.items():
        for temperature, fid in zip(TEMPERATURES, fids, strict=True):
            made.metrics(model, temperature, fid)
    made.metrics("vae", 0.0, 95.0)
    made.snapshots("vae", 0.0, [point(30, 80.0, 7.0), point(10, 90.0, 8.0, 0.5)])
    made.snapshots("vaeglow", 0.5, [point(40, None, 5.0, 0.5), point(50, 60.0, 4.0)], base_seconds=30.0)
    made.snapshots("glow", 1.0, [point(20, 85.0, 6.0, 0.5), point(60, 65.0, 3.8)])
    worse = {name: value + 0.25 for name, value in REFERENCE.items()}
    made.json("linear_reference", "vae", {"sources": {"vae": REFERENCE, "pca": worse}})
    for model, bits in BITS.items():
        made.likelihood(model, bits)
    for model in ("vae", "vaeglow"):
        made.bounds(model, BITS[model], {k: BITS[model] + np.arange(5.0) / k for k in (1, 10)})
    spectrum = {"frequency": FREQUENCY.tolist(), **SPECTRUM}
    errors = {"vae": 1.25, "layer": 0.5}
    made.json("layer_action", "vaeglow", {"temperature": 0.5, "spectrum": spectrum, "spectrum_error": errors})
    return made


def shown(figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


# ----------------------------------------------------------------------------------------------- all kinds


def test_every_kind_is_tested():
    assert set(KINDS) == {*SPECS, "sample_sheet"} and set(FILES) == set(SPECS)


@pytest.mark.parametrize("kind", SPECS)
def test_title_first_footer_last_and_nothing_leaves_the_page(kind, results):
    figure = results.draw(SPECS[kind])
    with style.styled():
        figure.draw_without_rendering()
    said = texts(figure)
    assert "The title" in said and "preset demo \u00b7 dataset blobs \u00b7 seed 3 \u00b7 commit 0123456789" in said
    drawn = figure.get_tightbbox()  # inches
    boxes = [drawn] + [
        legend.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for legend in figure.legends
    ]
    width, height = figure.get_size_inches()
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    assert all(text.get_fontsize() >= style.FOOTER for text in figure.findobj(Text) if text.get_text())


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"preset": "paper"}, "preset is 'paper', figure figure9 needs 'demo'"),
        ({"dataset": "other"}, "dataset is 'other', figure figure9 needs 'blobs'"),
        ({"model": "other"}, "model is 'other', figure figure9 needs '"),
        ({"seed": 0}, "seed is 0, figure figure9 needs 3"),
        ({"data_sha256": "f" * 64}, r"data_sha256 is f{12}\.\.\., figure figure9 needs"),
    ],
)
def test_foreign_files_are_refused(kind, changes, says, results):
    what, model, wildcards = FILES[kind]
    path = spoil(results.path(what, model, **wildcards), **changes)
    with pytest.raises(UserError, match=says) as caught:
        results.draw(SPECS[kind])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_missing_and_damaged_files_name_the_figure_and_the_file(kind, damage, results):
    what, model, wildcards = FILES[kind]
    path = results.path(what, model, **wildcards)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError) as caught:
        results.draw(SPECS[kind])
    assert str(path) in str(caught.value) and "figure9" in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_kind_is_refused(results):
    with pytest.raises(UserError, match=r"figure figure9 is of kind 'spectra'.*did you mean 'spectrum'"):
        results.draw(SPECS["spectrum"] | {"kind": "spectra"})


def test_files_of_two_trainings_are_not_mixed(results):
    spoil(results.path("metrics", "glow", protocol=PROTOCOL, temperature=1.0), weights_sha256="other")
    with pytest.raises(UserError, match=r"weights_sha256 is .* they cannot stand in one figure figure9"):
        results.draw(SPECS["temperature"])


# --------------------------------------------------------------------------------------------------- images


def test_side_by_side_shows_the_first_samples_lettered(results):
    figure = results.draw(SPECS["side_by_side"])
    for grid, seed in zip(shown(figure), (1, 2), strict=True):
        np.testing.assert_array_equal(grid, image_grid(noise(7, seed=seed), 3, 2))
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.x1 < right.x0 and left.y0 == right.y0
    said = texts(figure)
    assert {"(a) Rival", "T=1.0", "(b) Ours", "Glow layer, squeeze 2, T=0.5"} <= set(said)


def test_side_by_side_says_how_many_samples_overflowed(results):
    results.samples("glow", 1.0, noise(7, seed=1), exploded_samples=2)
    assert "T=1.0, 2 of 7 overflowed, clipped" in texts(results.draw(SPECS["side_by_side"]))


def test_sharpening_puts_the_vae_left_and_all_draws_of_a_latent_in_its_line(results):
    figure = results.draw(SPECS["sharpening"])
    vae, layer = shown(figure)
    np.testing.assert_array_equal(vae, image_grid(noise(5, seed=3), 1, 4))
    np.testing.assert_array_equal(layer, image_grid(noise(15, seed=4), 3, 4))
    assert figure.axes[0].get_position().x1 < figure.axes[1].get_position().x0
    assert {"VAE", "through the Glow layer (3 draws)", "blobs: Ours"} <= set(texts(figure))


def test_nearest_training_puts_neighbours_beside_each_sample_and_both_distributions_below(results):
    figure = results.draw(SPECS["nearest_training"])
    grids = shown(figure)
    for index, (left, right) in enumerate(zip(grids[::2], grids[1::2], strict=True)):
        np.testing.assert_array_equal(left, image_grid(noise(3, seed=10 + index), 1, 2))
        np.testing.assert_array_equal(right, image_grid(noise(6, seed=20 + index), 2, 2))
    charts = [axes for axes in figure.axes if not axes.images]
    for index, chart in enumerate(charts):
        (test, _), (samples, shares), *_ = curves(chart)
        wanted = near(index)
        assert sorted(set(test) - {-np.inf}) == sorted(wanted["test_distances"])
        assert sorted(set(samples) - {-np.inf}) == sorted(wanted["distances"][:, 0]) and max(shares) == 1
    assert len(charts) == 2 and charts[0].get_xlim() == charts[1].get_xlim() and charts[0].get_xlim()[1] > 4
    said = " ".join(texts(figure)).replace("\n", " ")
    for words in (
        "(a) blobs: Ours",
        "(b) blobs: Glow",
        "2% and 36%",
        "3 of 50, of test images 1 of 40",
        "60 of the 90 training",
        "64 Inception",
    ):
        assert words in said
    assert "an early Inception layer" in said
    for model in ("vaeglow", "glow"):
        changes = {"features": 2048, "training_images": 90}
        spoil(results.path("nearest_training", model, temperature=0.5), **changes)
    said = " ".join(texts(results.draw(SPECS["nearest_training"]))).replace("\n", " ")
    assert "all 90 training images" in said and "early" not in said


def test_nearest_training_refuses_numbers_that_do_not_fit(results):
    broken = near(0) | {"distances": np.full((50, 2), np.nan)}
    results.npz("nearest_training", "vaeglow", broken, NEAR | {"temperature": 0.5}, temperature=0.5)
    with pytest.raises(UserError, match="do not fit 3 images, as figure figure9 needs"):
        results.draw(SPECS["nearest_training"])
    about = NEAR | {"temperature": 0.5, "shares_nearer": {"1": 0.1}}
    results.npz("nearest_training", "vaeglow", near(0), about, temperature=0.5)
    with pytest.raises(UserError, match="5 is None, figure figure9 needs a finite number"):
        results.draw(SPECS["nearest_training"])


def test_interpolation_runs_from_left_to_right_a_pair_a_line(results):
    figure = results.draw(SPECS["interpolation"])
    np.testing.assert_array_equal(shown(figure)[0], image_grid(noise(12, seed=5), 4, 2))
    assert "straight line in the prior's base" in " ".join(texts(figure)).replace("\n", " ")
    results.npz("interpolation", "vaeglow", {"images": noise(8).reshape(2, 4, 3, 8, 8)}, {"space": "x"}, space="latent")
    with pytest.raises(UserError, match="space is 'x', figure figure9 needs 'latent'"):
        results.draw(SPECS["interpolation"] | {"space": "latent"})


def test_noise_maps_share_one_scale_of_colours_that_starts_at_zero(results):
    figure = results.draw(SPECS["noise_maps"])
    image, mean, scale = shown(figure)[:3]
    np.testing.assert_array_equal(image, image_grid(noise(4, seed=6), 1, 3))
    np.testing.assert_array_equal(mean, image_grid(noise(4, seed=7), 1, 3))
    values = np.linspace(0, 30, 4 * 64).reshape(4, 8, 8)[:3]
    top = np.percentile(values, 99)
    wanted = colormaps[style.FIELDS](np.clip(values / top, 0, 1), bytes=True)[..., :3]
    near = np.abs(scale[:8].astype(int) - wanted[0])
    assert near.max() <= 3  # one step of the colour map
    assert np.allclose(figure.axes[3].get_ylim(), (0, top), rtol=1e-5)
    assert "rank correlation of s and |error|: 0.61" in texts(figure)
    spoil(results.path("noise_maps", "vae"), error_correlation=None)
    assert "one s for all pixels" in texts(results.draw(SPECS["noise_maps"]))


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (
            "side_by_side",
            {"columns": 4},
            r"has 7 images, figure figure9 needs 8: lower columns or lines \(4 columns x 2",
        ),
        ("sharpening", {"lines": 6}, "has 5 images, figure figure9 needs 6: lower lines"),
        ("interpolation", {"lines": 4}, "has 12 images, figure figure9 needs 16: lower lines"),
        ("noise_maps", {"lines": 5}, "has 4 images, figure figure9 needs 5: lower lines"),
        ("nearest_training", {"lines": 4}, "has 3 images, figure figure9 needs 4: lower lines"),
    ],
)
def test_too_few_images_for_a_grid(kind, change, says, results):
    with pytest.raises(UserError, match=says):
        results.draw(SPECS[kind] | change)


def test_images_of_another_shape_are_refused(results):
    results.npz("layer_draws", "vaeglow", {"vae": noise(5), "layer": noise(5)}, {"temperature": 0.5})
    with pytest.raises(UserError, match=r"holds uint8 \[5, 3, 8, 8\], figure figure9 needs uint8 \[N, k, 3, 8, 8\]"):
        results.draw(SPECS["sharpening"])
    arrays = {"images": noise(4), "mean": noise(4), "scale": np.full((4, 8, 8), np.nan, np.float32)}
    results.npz("noise_maps", "vae", arrays, {})
    with pytest.raises(UserError, match="do not fit 'images'"):
        results.draw(SPECS["noise_maps"])


# --------------------------------------------------------------------------------------------------- charts


def test_temperature_shows_all_values_sorted_and_rings_the_best(results):
    figure = results.draw(SPECS["temperature"])
    fid = curves(figure.axes[0])
    for (model, values), best in zip(FIDS.items(), (0.5, 1.0), strict=True):
        assert (list(TEMPERATURES), list(values)) in fid
        assert ([best], [min(values)]) in fid
        line = next(line for line in figure.axes[0].lines if list(line.get_ydata()) == list(values))
        assert (line.get_color(), line.get_marker()) == style.LOOKS[model]
    errors = [bar.get_segments()[0] for bar in figure.axes[1].collections]
    np.testing.assert_allclose([end[0][1] for end in errors], [0.05, 0.08])  # 60 / 1000 and 90 / 1000, less 0.01
    assert ([0.0, 1.0], [20.0, 20.0]) in curves(figure.axes[4])  # the diversity of the real images
    assert "100 samples against 100 test images" in " ".join(texts(figure))


def test_quality_time_adds_up_both_phases_and_notes_what_is_missing(results):
    figure = results.draw(SPECS["quality_time"])
    fid, _, bits = (curves(axes) for axes in figure.axes)
    assert ([10.0, 30.0], [90.0, 80.0]) in fid and ([20.0, 60.0], [85.0, 65.0]) in fid
    assert ([50.0], [60.0]) in fid  # the point without an FID is left out
    assert ([30.0, 50.0], [80.0, 60.0]) in fid  # what joins the phases
    assert ([30.0, 30.0], [0.0, 1.0]) in fid  # where phase 2 begins
    assert ([40.0, 50.0], [5.0, 4.0]) in bits
    said = texts(figure)
    assert "Glow, T=1.0 (=)" in said and "VAE, without noise (\u2264)" in said
    assert any("1 FID of Ours (Glow layer, squeeze 2), T=0.5" in text for text in said)


def test_seconds_of_two_devices_do_not_share_an_axis(results):
    results.snapshots("glow", 1.0, [point(60, 65.0, 3.8)], device="A GPU")
    with pytest.raises(UserError, match=r"training_device is 'A GPU', .* says 'A CPU'"):
        results.draw(SPECS["quality_time"])


def test_long_trainings_are_shown_in_hours(results):
    results.snapshots("glow", 1.0, [point(7200, 85.0, 6.0, 0.5), point(36000, 65.0, 3.8)])
    figure = results.draw(SPECS["quality_time"])
    assert ([2.0, 10.0], [85.0, 65.0]) in curves(figure.axes[0]) and "training time, hours" in texts(figure)
    assert figure.axes[0].get_xscale() == "log"


def test_linear_reference_puts_each_model_at_its_own_squeeze(results):
    figure = results.draw(SPECS["linear_reference"])
    found = curves(figure.axes[0])
    assert ([0.0, 1.0, 2.0, 3.0, 4.0], list(REFERENCE.values())) in found
    assert ([0.0, 1.0, 2.0, 3.0, 4.0], [value + 0.25 for value in REFERENCE.values()]) in found
    for place, (model, bits) in enumerate(BITS.items()):
        line = next(line for line in figure.axes[0].lines if list(line.get_ydata()) == [bits])
        assert round(float(line.get_xdata()[0])) == place and line.get_color() == style.LOOKS[model][0]
    assert "optimistic linear Gaussian reference, not a bound" in " ".join(texts(figure)).replace("\n", " ")
    with pytest.raises(UserError, match="glow is of kind glow with layer None"):
        results.likelihood("glow", 3.0)
        results.draw(SPECS["linear_reference"] | {"rows": [{"model": "glow", "dataset": "blobs"}]})


def test_spectrum_is_what_the_file_says_on_logarithmic_axes(results):
    axes = results.draw(SPECS["spectrum"]).axes[0]
    for values in SPECTRUM.values():
        assert (FREQUENCY.tolist(), values) in curves(axes)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert "VAE 1.25, layer 0.50" in axes.get_title(loc="left")
    spoil(results.path("layer_action", "vaeglow"), spectrum={"frequency": [0.1, 0.2], "data": [1.0]})
    with pytest.raises(UserError, match="data is not what figure figure9 needs, 2 finite numbers"):
        results.draw(SPECS["spectrum"])


def test_ablation_has_a_line_a_model_and_a_marker_a_temperature(results):
    figure = results.draw(SPECS["ablation"])
    bits, fid = figure.axes
    assert dots(bits) == {(7.0, 0.0), (4.0, 1.0)}
    assert dots(fid) == {(95.0, 0.0), (50.0, 1.0), (40.0, 1.0)}
    assert len({line.get_fillstyle() for line in fid.lines}) == 3
    assert [label.get_text() for label in bits.get_yticklabels()] == ["VAE", "Ours (Glow layer, squeeze 2)"]


def dots(axes) -> set[tuple[float, float]]:
    """The points of some axes, without the caps of error bars."""
    lines = [line for line in axes.lines if line.get_marker() not in ("|", "_")]
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines}


# -------------------------------------------------------------------------------------------------- overview


@pytest.mark.parametrize(
    ("squeeze", "layer"),
    [
        (1, ["no squeeze", "3\u00d78\u00d78", "3\u00d73", "1 | 2 channels"]),
        (2, ["squeeze 2\u00d72", "12\u00d74\u00d74", "12\u00d712", "6 | 6 channels", "undo squeeze"]),
    ],
)
def test_the_overview_shows_the_shapes_and_counts_of_the_run(squeeze, layer, results):
    base = results.config("vae", **VAE)
    parts = {"layer": {"squeeze": squeeze, "depth": 5, "width": 96}, "base": base}
    results.config("vaeglow", kind="vae_glow", mode="frozen", **parts)
    said = texts(results.draw(SPECS["overview"]))
    for text in (
        "3\u00d78\u00d78",
        "32",
        "4 couplings,",
        "repeated 5 times",
        "net of width 96",
        "widths 8\u201332,",
        *layer,
    ):
        assert text in said, text
    assert "1,000 parameters, 7 epochs" in said
    assert "2,500 parameters, 9 epochs; all of phase 1 is frozen" in said


@pytest.mark.parametrize(
    ("network", "prior", "present", "absent"),
    [
        ({"decoder_noise": "isotropic"}, {}, "one scalar", "one for each pixel"),
        ({"architecture": "infogan"}, {}, "Infogan nets,", "ResNet, 3 scales,"),
        ({}, {"kind": "standard"}, "not trained", "prior flow $h$"),
    ],
)
def test_the_overview_of_other_networks(network, prior, present, absent, results):
    parts = VAE | {"network": VAE["network"] | network, "prior": prior or VAE["prior"]}
    layer = {"squeeze": 2, "depth": 5, "width": 96}
    results.config("vaeglow", kind="vae_glow", mode="frozen", layer=layer, base=results.config("vae", **parts))
    said = " ".join(texts(results.draw(SPECS["overview"])))
    assert present in said and absent not in said


@pytest.mark.parametrize("parts", [{"kind": "glow"}, {"kind": "vae_glow", "mode": "joint", "base": {"model": "vae"}}])
def test_the_overview_shows_only_models_of_two_phases(parts, results):
    results.config("vaeglow", **parts)
    with pytest.raises(UserError, match=r"figure figure9 shows a vae_glow of mode frozen; choose another model"):
        results.draw(SPECS["overview"])


def test_boxes_of_the_overview_do_not_cover_each_other(results):
    figure = results.draw(SPECS["overview"])
    with style.styled():
        figure.draw_without_rendering()
    words = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() and not text.get_rotation()]
    for one, other in itertools.combinations(words, 2):
        over = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(over) < 5  # dots, 256 an inch: less than a letter's own margin
