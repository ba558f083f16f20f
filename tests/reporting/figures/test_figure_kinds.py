"""Every kind of figure: its axes show the values of its files, its images are in place, foreign files are refused."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_tools import LABELS, PROTOCOL, STYLES, Results, curves, identity, noise, spec, texts
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from table_tools import change

from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.paths import kind_of
from vaeglow.reporting import style
from vaeglow.reporting.figures import curve
from vaeglow.reporting.style import image_grid

KINDS = kinds_of("figures")
TEMPERATURES = (0.0, 0.5, 1.0)
FIDS = {"vaeglow": (60.0, 40.0, 50.0), "glow": (90.0, 70.0, 45.0)}
SQUEEZES = {"squeeze1": 1, "vaeglow": 2, "squeeze4": 4}
BITS = {"vae": 7.0, "squeeze1": 6.3, "vaeglow": 4.0, "squeeze4": 3.9}
REFERENCE = {"no_layer": 6.8, "squeeze1": 5.5, "squeeze2": 4.3, "squeeze4": 4.1, "whitening": 3.6}
FREQUENCY = np.arange(1, 5) / 8
SPECTRUM = {name: (10.0 * k / FREQUENCY).tolist() for k, name in enumerate(("vae", "vae_noisy", "layer", "data"), 1)}
NETWORK = {"architecture": "resnet", "num_scale": 3, "base_dim": 8, "fc_dim": 128, "latent_dim": 32}
NETWORK["decoder_noise"] = "diagonal"
VAE = {"network": NETWORK, "prior": {"kind": "flow", "layers": 4, "width": 64}}


def at(model: str, temperature: float, **more) -> dict:
    return {"model": model, "temperature": temperature, **more}


OURS, DATA, IMAGES = {"model": "vaeglow", "base": "vae"}, {"data": "test"}, {"columns": 3, "lines": 2}
ROWS = {
    "sample_sheet": ([DATA, at("vae", 0.0)], {"columns": 3, "lines_per_row": 2}),
    "side_by_side": ([at("glow", 1.0, label="Rival"), at("vaeglow", 0.5)], IMAGES),
    "overview": ([OURS], {}),
    "sharpening": ([OURS], {"lines": 4}),
    "interpolation": ([OURS], {"lines": 2, "space": "prior"}),
    "temperature": ([at(model, t) for model in FIDS for t in TEMPERATURES[::-1]], {}),
    "quality_time": ([at("vae", 0.0), at("vaeglow", 0.5, base="vae"), at("glow", 1.0)], {}),
    "linear_reference": ([{"model": model} for model in BITS], {"reference_model": "vae"}),
    "noise_maps": ([{"model": "vae"}], {"lines": 3}),
    "nearest_training": ([at("vaeglow", 0.5), at("glow", 0.5)], {"lines": 2}),
    "importance_bound": ([{"model": "vae"}, OURS], {}),
    "spectrum": ([OURS], {}),
    "ablation": ([at("vae", 0.0), at("vaeglow", 1.0), at("vaeglow", 0.5)], {}),
}
SPECS = {kind: spec(kind, rows, **more) for kind, (rows, more) in ROWS.items()}
NEAR = {"samples": 50, "test_images": 40, "training_images": 60, "all_training_images": 90, "features": 64, "copies": 3}
NEAR |= {"temperature": 0.5, "test_copies": 1}
NEAR |= {"shares_nearer": {"1": 0.02, "5": 0.36}, "test_percentiles": {"1": 0.5, "5": 1.5}}


def near(seed: int) -> dict[str, np.ndarray]:
    """The arrays of a file of nearest training images: 50 samples, 40 test images, two neighbours, three shown."""
    rng = np.random.default_rng(seed)
    images = {"images": noise(3, seed=10 + seed), "neighbours": noise(3, 2, seed=20 + seed)}
    return {**images, "distances": np.sort(rng.random((50, 2)), 1), "test_distances": 5 * rng.random(40)}


def bounds(level: float) -> dict[int, np.ndarray]:
    """Bits/dim of 12 images at K = 1; of the first 8 at the others, each with a gain of its own."""
    images = level + np.random.default_rng(int(level)).normal(size=12)
    return {1: images} | {k: images[:8] - (0.1 + 0.01 * np.arange(8)) * np.log10(k) for k in (10, 1000)}


def configure(made: Results, model: str, **parts) -> dict:
    """Write config.json; returns its content."""
    content = {**identity(model), "seed": made.seed, "data": {"channels": 3, "size": 8}, "base": None, **parts}
    write_json(made.path("config", model), content)
    return content


def ours(made: Results, squeeze: int = 2, model: str = "vaeglow", layer: dict | None = None, **vae) -> None:
    base = configure(made, "vae", kind="vae", training={"epochs": 7}, **VAE | vae)
    paper = {"depth": 5, "width": 96, "affine_steps": 0, "levels": 1, "noise_head": False}
    layer, of = {"squeeze": squeeze, **paper, **(layer or {})}, {"mode": "frozen", "training": {"epochs": 9}}
    configure(made, model, kind="vae_glow", layer=layer, base=base, **of)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """All files that `SPECS` show."""
    return written(Results(tmp_path).prepare(noise(13)))


def written(made: Results, factor: float = 1.0) -> Results:
    """With all files of its seed, FIDs, bits/dim and power times `factor`."""
    for model, squeeze in SQUEEZES.items():
        ours(made, squeeze, model)
    configure(made, "glow", kind="glow", training={"epochs": 8})
    made.write("training", "vae", {"epochs_by_phase": [7], "parameters": 1000, "train_images": 10})
    made.write("training", "vaeglow", {"epochs_by_phase": [7, 9], "parameters": 3500, "train_images": 10})
    made.write("training", "glow", {"epochs_by_phase": [8], "parameters": 3500, "train_images": 10})
    made.timing(vae=1, vaeglow=2, glow=3)
    for seed, (model, temperature) in enumerate({"vae": 0.0, "glow": 1.0, "vaeglow": 0.5}.items()):
        images = {"images": noise(7, seed=seed)}
        about = {"temperature": temperature, "exploded_samples": 2 * (model == "glow")}
        made.write("shown", model, about | {"samples": 7}, images)
    made.write("layer_images", "vaeglow", {"temperature": 0.5}, {"vae": noise(5, seed=3), "layer": noise(5, 3, seed=4)})
    made.write("interpolation", "vaeglow", {"space": "prior"}, {"images": noise(3, 4, seed=5)})
    scale = np.linspace(0, 30, 4 * 64, dtype=np.float32).reshape(4, 8, 8)
    maps = {"images": noise(4, seed=6), "mean": noise(4, seed=7), "scale": scale}
    made.write("noise_maps", "vae", {"error_correlation": 0.614}, maps)
    for index, model in enumerate(("vaeglow", "glow")):
        made.write("nearest_training", model, NEAR, near(index))
    for model, fids in {**FIDS, "vae": (95.0,)}.items():
        for temperature, fid in zip(TEMPERATURES, fids, strict=False):
            made.metrics(model, temperature, factor * fid)
    made.snapshots("vae", 0.0, (3.5, factor * 80, 7.0), (1, factor * 90, 8.0))
    made.snapshots("vaeglow", 0.5, (1, None, 5.0), (1.5, factor * 60, 4.0))
    made.snapshots("glow", 1.0, (2, factor * 85, 6.0), (4, factor * 65, 3.8))
    worse = {name: value + 0.25 for name, value in REFERENCE.items()}
    made.write("linear_reference", "vae", {"sources": {"vae": REFERENCE, "pca": worse}})
    for model, bits in BITS.items():
        made.likelihood(model, factor * bits, bounds(factor * bits))
    made.likelihood("glow", 3.0, bounds(3.0))
    spectrum = {name: [factor * power for power in values] for name, values in SPECTRUM.items()}
    content = {"spectrum": {"frequency": FREQUENCY.tolist(), **spectrum}, "spectrum_error": {"vae": 1.25, "layer": 0.5}}
    made.write("layer_action", "vaeglow", {"temperature": 0.5, **content})
    return made


def test_a_note_says_which_rows_are_left_out(results):
    assert "Left out: no grey images." in texts(results.draw({**SPECS["spectrum"], "left_out": ["no grey images"]}))


@pytest.mark.parametrize("kind", KINDS)
def test_title_and_footer_are_there_and_texts_and_images_are_apart(kind, results):
    figure = results.draw(SPECS[kind])
    with style.styled():
        figure.draw_without_rendering()
    said = texts(figure).splitlines()
    assert "The title" in said and "preset demo \u00b7 dataset blobs \u00b7 seed 3 \u00b7 commit 0123456789" in said
    assert all(text.get_fontsize() >= style.FOOTER for text in figure.findobj(Text) if text.get_text())
    words = [text for text in figure.texts + [text for axes in figure.axes for text in axes.texts] if text.get_text()]
    drawn = [*words, *figure.legends, *(axes for axes in figure.axes if axes.images)]
    for one, other in combinations((artist.get_window_extent() for artist in drawn), 2):
        covered = Bbox.intersection(one, other)
        assert covered is None or min(covered.width, covered.height) < 5, "more than a letter's own margin"


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_is_declared_and_refused_when_it_is_foreign_or_damaged(kind, results):
    needs = KINDS[kind].needs(SPECS[kind]) if hasattr(KINDS[kind], "needs") else []
    declared = {*KINDS[kind].READS, *(need["what"] for need in needs)}
    paths = [Path(name) for name in json.loads(results.draw(SPECS[kind]).get_label())]
    assert {kind_of(str(path.relative_to(results.results)))[0] for path in paths} == declared
    for path in paths:
        whole = path.read_bytes()
        change(path, preset="other")
        with pytest.raises(UserError, match=f"^{re.escape(str(path))}: preset is 'other'.*"):
            results.draw(SPECS[kind])
        path.write_bytes(whole[:40])
        with pytest.raises(UserError, match=re.escape(str(path))) as caught:
            results.draw(SPECS[kind])
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)


def test_files_of_two_trainings_are_not_mixed(results):
    where = {"protocol": PROTOCOL, "temperature": 1.0}
    change(results.path("metrics", "glow", **where), weights_sha256="other")
    with pytest.raises(UserError, match="differ in weights_sha256"):
        results.draw(SPECS["temperature"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(KINDS[kind], "ERRORS")])
def test_a_chart_shows_every_seed_pale_and_their_mean(kind, results):
    for results.seed, factor in ((4, 1.1), (5, 1.4)):
        written(results, factor)
    figures = [results.draw(SPECS[kind] | {"seeds": seeds}) for seeds in ([3, 4, 5], [3], [4], [5])]
    strong = [
        [np.array(one[0].get_data(), float) for axes in figure.axes for one in axes.containers] for figure in figures
    ]
    assert strong[0]
    for mean, *seeds in zip(*strong, strict=True):
        np.testing.assert_allclose(mean, np.mean(seeds, axis=0))
    values = 0 if kind == "ablation" else 1  # of x and y
    pale = [tuple(line.get_data()[values]) for axes in figures[0].axes for line in axes.lines if line.get_alpha()]
    assert sorted(pale) == sorted(tuple(one[values]) for seeds in strong[1:] for one in seeds)
    assert "Pale: each seed. Strong: their mean" in texts(figures[0]) and "seed 3, 4, 5" in texts(figures[0])
    legend, *others = ([text.get_text() for text in figure.legends[0].texts] for figure in figures)
    assert others == [legend] * 3


def test_three_seeds_have_the_t_interval_of_their_mean_two_have_none():
    axes = Figure().subplots()
    curve(axes, pd.DataFrame({0.5: [1.0, 2.0, 3.0], 1.0: [4.0, 4.0, 4.0]}))
    curve(axes, pd.DataFrame({0.5: [1.0, 2.0]}))
    three, two = (bars[0].get_segments() for *_, bars in axes.containers)
    np.testing.assert_allclose(three[0][:, 1], [2 - 2.4841377, 2 + 2.4841377])  # t, 2 degrees of freedom: 4.302653
    assert not any(map(len, two))


def test_a_figure_of_images_says_that_it_shows_the_first_seed(results):
    images = [kind for kind in KINDS if not hasattr(KINDS[kind], "ERRORS")]
    assert set(images) == {*SHOWN, "overview"}
    assert all("Of the first seed." in texts(results.draw(SPECS[kind])) for kind in images)


# The images that each kind shows, grid by grid, and words.
SHOWN = {
    "sample_sheet": (
        [noise(13)[[0, 2, 4, 6, 8, 10]].reshape(2, 3, 3, 8, 8), noise(7)[:6].reshape(2, 3, 3, 8, 8)],
        ["Data", "test images", "VAE", "without noise"],
    ),
    "side_by_side": (
        [noise(7, seed=seed)[:6].reshape(2, 3, 3, 8, 8) for seed in (1, 2)],
        ["(a) Rival", "Glow, T=1.0, 2 of 7 overflowed, clipped", "(b) Ours (Glow layer)", "T=0.5"],
    ),
    "sharpening": (
        [noise(5, seed=3)[:4, None], noise(5, 3, seed=4)[:4]],
        ["VAE", "through the Glow layer (3 draws)", "Ours (Glow layer)", "T=0.5"],
    ),
    "interpolation": ([noise(3, 4, seed=5)[:2]], ["straight line in the prior's base space"]),
    "noise_maps": ([noise(4, seed=s)[:3, None] for s in (6, 7)], ["VAE", "rank correlation of s and |error|: 0.61"]),
    "nearest_training": (
        [noise(3, seed=10)[:2, None], noise(3, 2, seed=20)[:2], noise(3, seed=11)[:2, None], noise(3, 2, seed=21)[:2]],
        ["2% and 36%", "3 of 50, of test images 1 of 40", "60 of the 90 training", "64 Inception", "an early"],
    ),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_each_image_is_in_its_place(kind, results):
    figure = results.draw(SPECS[kind])
    axes = [axes for axes in figure.axes if axes.images]
    images, words = SHOWN[kind]
    for one, expected in zip(axes, images, strict=kind != "noise_maps"):
        np.testing.assert_array_equal(one.images[0].get_array(), image_grid(expected))
    assert [text for text in words if text not in texts(figure)] == []


def test_rows_may_be_of_several_datasets_of_several_sizes_and_levels(results):
    small = noise(9, side=4, channels=1) % 16
    small[0, 0, 0, :2] = 0, 15
    results.prepare(small, "small", levels=16)
    results.write("shown", "vae", {"temperature": 0.0}, {"images": small}, "small")
    rows = [*ROWS["sample_sheet"][0], at("vae", 0.0, dataset="small")]
    figure = results.draw(spec("sample_sheet", rows, columns=3, lines_per_row=2))
    last = figure.axes[-1].images[0].get_array()
    assert (last.min(), last.max()) == (0, 255) and last.shape == (2 * 5 - 1, 3 * 5 - 1, 3)
    said = texts(figure)
    assert "VAE, small" in said and "preset demo \u00b7 datasets blobs, small \u00b7 seed 3" in said


def test_nearest_training_shows_both_distributions_on_one_scale(results):
    charts = [axes for axes in results.draw(SPECS["nearest_training"]).axes if not axes.images]
    for index, chart in enumerate(charts):
        (test, _), (samples, shares), *_ = curves(chart)
        assert sorted(set(test) - {-np.inf}) == sorted(near(index)["test_distances"])
        assert sorted(set(samples) - {-np.inf}) == sorted(near(index)["distances"][:, 0]) and max(shares) == 1
    assert charts[0].get_xlim() == charts[1].get_xlim() and charts[0].get_xlim()[1] > 4


def test_noise_maps_share_one_scale_of_colours_that_starts_at_zero(results):
    figure = results.draw(SPECS["noise_maps"])
    values = np.linspace(0, 30, 4 * 64).reshape(4, 8, 8)[:3]
    top = np.percentile(values, 99)
    expected = colormaps[style.FIELDS](np.clip(values / top, 0, 1), bytes=True)[..., :3]
    found = np.asarray(figure.axes[2].images[0].get_array())[:8].astype(int)
    assert np.abs(found - expected[0]).max() <= 3  # one step of the colour map
    assert np.allclose(figure.axes[2].child_axes[0].get_ylim(), (0, top), rtol=1e-5)


def test_too_few_images_or_images_of_other_data_are_refused(results):
    with pytest.raises(UserError, match=r"blobs has 13 images, figure figure9 needs 15: lower the figure's columns or"):
        results.draw(SPECS["sample_sheet"] | {"columns": 5, "lines_per_row": 3})
    with pytest.raises(UserError, match=r"layer_action\.npz has 5 images, figure figure9 needs 6"):
        results.draw(SPECS["sharpening"] | {"lines": 6})
    results.prepare(noise(13, seed=9))
    with pytest.raises(UserError, match=r"T0\.0\.npz was made from other data than blobs"):
        results.draw(SPECS["sample_sheet"])


def test_temperature_shows_all_values_sorted_and_rings_the_best(results):
    figure = results.draw(SPECS["temperature"])
    fid = curves(figure.axes[0])
    for (model, values), best in zip(FIDS.items(), (0.5, 1.0), strict=True):
        assert (list(TEMPERATURES), list(values)) in fid and ([best], [min(values)]) in fid
        line = next(line for line in figure.axes[0].lines if list(line.get_ydata()) == list(values))
        assert (line.get_color(), line.get_marker()) == (STYLES[model]["color"], STYLES[model]["marker"])
    errors = [bars.get_segments()[0] for bars in figure.axes[1].collections]
    np.testing.assert_allclose([end[0][1] for end in errors], [0.05, 0.08])  # 60 / 1000 and 90 / 1000, less 0.01
    assert ([0.0, 1.0], [20.0, 20.0]) in curves(figure.axes[4])  # the diversity of the real images
    assert "100 samples against 100 test images" in texts(figure)
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend == [LABELS["vaeglow"], LABELS["glow"], "best temperature", "real images"]


def test_quality_time_adds_up_both_phases_and_notes_what_is_missing(results):
    figure = results.draw(SPECS["quality_time"])
    fid, _, bits = (curves(axes) for axes in figure.axes)
    assert ([10.0, 35.0], [90.0, 80.0]) in fid and ([60.0, 120.0], [85.0, 65.0]) in fid
    assert ([100.0], [60.0]) in fid  # the point without an FID is left out
    assert ([35.0, 100.0], [80.0, 60.0]) in fid  # what joins the phases
    assert ([70.0, 70.0], [0.0, 1.0]) in fid  # where phase 2 begins
    assert ([90.0, 100.0], [5.0, 4.0]) in bits
    said = texts(figure)
    assert "Glow, T=1.0 (=)" in said and "VAE, without noise (\u2264)" in said
    assert "Not shown, because not finite: 1 FID of Ours (Glow layer), T=0.5; 1 KID" in said
    results.snapshots("glow", 1.0, (240, 85.0, 6.0), (1200, 65.0, 3.8))
    figure = results.draw(SPECS["quality_time"])
    assert ([2.0, 10.0], [85.0, 65.0]) in curves(figure.axes[0]) and "training time, hours" in texts(figure)
    assert figure.axes[0].get_xscale() == "log"


def test_linear_reference_puts_each_model_at_its_own_squeeze(results):
    figure = results.draw(SPECS["linear_reference"])
    lines = [values for _, values in curves(figure.axes[0])]
    assert list(REFERENCE.values()) in lines and [value + 0.25 for value in REFERENCE.values()] in lines
    for place, (model, bits) in enumerate(BITS.items()):
        line = next(line for line in figure.axes[0].lines if list(line.get_ydata()) == [bits])
        assert round(float(line.get_xdata()[0])) == place and line.get_color() == STYLES[model]["color"]
    assert "optimistic linear Gaussian reference, not a bound" in texts(figure)
    results.likelihood("glow", 3.0, bounds(3.0))
    with pytest.raises(UserError, match="shows VAEs, and layers with squeeze 1, 2 or 4: not glow"):
        results.draw(spec("linear_reference", [{"model": "glow"}], reference_model="vae"))


def test_spectrum_is_what_the_file_says_on_logarithmic_axes(results):
    axes = results.draw(SPECS["spectrum"]).axes[0]
    assert all((FREQUENCY.tolist(), np.log10(values).tolist()) in curves(axes) for values in SPECTRUM.values())
    assert axes.get_xscale() == "log" and axes.yaxis.get_major_formatter()(2.0) == "$10^{2}$"
    assert "VAE 1.25, layer 0.50" in axes.get_title(loc="left")


def test_ablation_has_a_line_a_model_and_a_marker_a_temperature(results):
    bits, fid = results.draw(SPECS["ablation"]).axes
    lines = {
        axes: [line for line in axes.lines if line.get_marker() not in "|_" and len(line.get_xdata())]
        for axes in (bits, fid)
    }
    dots = [{(*line.get_xdata(), *line.get_ydata()) for line in lines[axes]} for axes in (bits, fid)]
    assert dots == [{(7.0, 0.0), (4.0, 1.0)}, {(95.0, 0.0), (50.0, 1.0), (40.0, 1.0)}]
    assert len({line.get_fillstyle() for line in lines[fid]}) == 3
    assert [label.get_text() for label in bits.get_yticklabels()] == ["VAE", "Ours (Glow layer)"]


def test_importance_bounds_are_means_and_errors_over_the_same_images(results):
    figure = results.draw(SPECS["importance_bound"])
    for number, axes in enumerate(figure.axes):
        for container, bits in zip(axes.containers, (BITS["vae"], BITS["vaeglow"]), strict=True):
            images = np.stack([values[:8] for values in bounds(bits).values()])
            expected = images[0] - images if number else images  # paired: the errors of (b) are far smaller
            line, _, (bars,) = container
            heights = np.array([segment[:, 1] for segment in bars.get_segments()])
            x, y = np.array(line.get_data(), float)
            np.testing.assert_allclose(x, [1, 10, 1000], rtol=0.1)
            np.testing.assert_allclose(y, expected.mean(1))
            np.testing.assert_allclose(np.ptp(heights, axis=1) / 2, expected.std(1, ddof=1) / np.sqrt(8), atol=1e-12)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "1,000"]
    assert "The first 8 test images" in texts(figure)
    results.likelihood("vaeglow", 4.0, {1: np.ones(3)})
    with pytest.raises(UserError, match="holds no bound besides K = 1: list some in evaluation"):
        results.draw(SPECS["importance_bound"])


@pytest.mark.parametrize(
    ("squeeze", "vae", "present", "absent"),
    [
        (1, {}, ["no squeeze", "3\u00d78\u00d78", "3\u00d73", "1 | 2 channels", "4 couplings"], "undo squeeze"),
        (2, {}, ["squeeze 2\u00d72", "12\u00d74\u00d74", "12\u00d712", "6 | 6 channels", "undo squeeze"], "no squeeze"),
        (2, {"network": NETWORK | {"decoder_noise": "isotropic"}}, ["one scalar", "widths 8\u201332"], "Infogan"),
        (2, {"network": NETWORK | {"architecture": "infogan"}}, ["Infogan nets"], "ResNet"),
        (2, {"prior": {"kind": "standard"}}, ["not trained"], "prior flow $h$"),
    ],
)
def test_the_overview_shows_the_shapes_and_counts_of_the_run(squeeze, vae, present, absent, results):
    ours(results, squeeze, **vae)
    said = texts(results.draw(SPECS["overview"]))
    counts = ["1,000 parameters, 7 epochs", "2,500 parameters, 9 epochs; all of phase 1 is frozen", "repeated 5 times"]
    always = [*counts, "net of width 96", "dense 128", "32 means", "phase 1 maximises", "sampling"]
    assert [words for words in present + always if words not in said] == [] and absent not in said


def test_the_overview_shows_what_a_layer_has_that_the_papers_has_not(results):
    ours(results, layer={"affine_steps": 5, "levels": 2, "noise_head": True})
    said = texts(results.draw(SPECS["overview"]))
    assert all(words in said for words in ("affine coupling", "5 times at each of 2 levels", "new in phase 2"))


def test_the_overview_shows_only_models_of_two_phases(results):
    configure(results, "vaeglow", kind="vae_glow", mode="joint")
    with pytest.raises(UserError, match="figure figure9 needs a vae_glow of mode frozen"):
        results.draw(SPECS["overview"])
