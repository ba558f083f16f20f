"""Every kind of figure: its axes show the values of its files, its images are in place, foreign files are refused."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from figure_files import (
    BITS,
    FIDS,
    FREQUENCY,
    MADE,
    REFERENCE,
    SPECS,
    SPECTRUM,
    TEMPERATURES,
    bounds,
    configure,
    near,
    ours,
    written,
)
from figure_tools import LABELS, PROTOCOL, STYLES, Results, curves, noise, spec, texts
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from table_tools import change

from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.paths import kind_of
from vaeglow.reporting import style
from vaeglow.reporting.figures import curve
from vaeglow.reporting.style import image_grid

KINDS = kinds_of("figures")
CHARTS = [kind for kind in KINDS if hasattr(KINDS[kind], "ERRORS")]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """All files that `SPECS` show."""
    return written(Results(tmp_path).prepare(noise(13)))


def test_a_note_says_which_rows_are_left_out(results):
    assert "Left out: no grey images." in texts(results.draw({**SPECS["spectrum"], "left_out": ["no grey images"]}))


@pytest.mark.parametrize("kind", KINDS)
def test_title_and_footer_are_there_and_texts_and_images_are_apart(kind, results):
    figure = results.draw(SPECS[kind])
    with style.styled():
        figure.draw_without_rendering()
    lines = texts(figure).splitlines()
    assert "The title" in lines
    assert "preset demo \u00b7 dataset blobs \u00b7 seed 3 \u00b7 commit 0123456789" in lines
    assert ("Of the first seed." in lines) == (kind not in CHARTS)
    assert all(text.get_fontsize() >= style.FOOTER for text in figure.findobj(Text) if text.get_text())
    words = [text for part in (figure, *figure.axes) for text in part.texts if text.get_text()]
    drawn = [*words, *figure.legends, *(axes for axes in figure.axes if axes.images)]
    for extents in combinations([artist.get_window_extent() for artist in drawn], 2):
        covered = Bbox.intersection(*extents)
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
        refused(results, kind, f"^{re.escape(str(path))}: preset is 'other'.*")
        path.write_bytes(whole[:40])
        refused(results, kind, re.escape(str(path)))
        path.write_bytes(whole)


def refused(results: Results, kind: str, says: str, **keys: Any) -> None:
    """In one line."""
    with pytest.raises(UserError, match=says) as caught:
        results.draw(SPECS[kind] | keys)
    assert "\n" not in str(caught.value)


def test_files_of_two_trainings_are_not_mixed(results):
    change(results.path("metrics", "glow", protocol=PROTOCOL, temperature=1.0), weights_sha256="other")
    refused(results, "temperature", "differ in weights_sha256")


@pytest.mark.parametrize("kind", CHARTS)
def test_a_chart_shows_every_seed_pale_and_their_mean(kind, results):
    for results.seed, factor in ((4, 1.1), (5, 1.4)):
        written(results, factor)
    whole, *figures = [results.draw(SPECS[kind] | {"seeds": seeds}) for seeds in ([3, 4, 5], [3], [4], [5])]
    means, *seeds = [strong(figure) for figure in (whole, *figures)]
    assert means
    for mean, *each in zip(means, *seeds, strict=True):
        np.testing.assert_allclose(mean, np.mean(each, axis=0))
    values = 0 if kind == "ablation" else 1  # of x and y
    pale = [tuple(line.get_data()[values]) for axes in whole.axes for line in axes.lines if line.get_alpha()]
    assert sorted(pale) == sorted(tuple(curve[values]) for curves in seeds for curve in curves)
    assert "Pale: each seed. Strong: their mean" in texts(whole)
    assert "seed 3, 4, 5" in texts(whole)
    legends = [[text.get_text() for text in figure.legends[0].texts] for figure in (whole, *figures)]
    assert legends == [legends[0]] * 4


def strong(figure: Figure) -> list[np.ndarray]:
    """x and y of every curve with error bars."""
    return [np.array(bars[0].get_data(), float) for axes in figure.axes for bars in axes.containers]


def test_three_seeds_have_the_t_interval_of_their_mean_two_have_none():
    axes = Figure().subplots()
    curve(axes, pd.DataFrame({0.5: [1.0, 2.0, 3.0], 1.0: [4.0, 4.0, 4.0]}))
    curve(axes, pd.DataFrame({0.5: [1.0, 2.0]}))
    three, two = (bars[0].get_segments() for *_, bars in axes.containers)
    np.testing.assert_allclose(three[0][:, 1], [2 - 2.4841377, 2 + 2.4841377])  # t, 2 degrees of freedom: 4.302653
    assert not any(map(len, two))


# The images that each kind shows, grid by grid, and words.
SHOWN = {
    "sample_sheet": (
        [noise(13)[[0, 2, 4, 6, 8, 10]].reshape(2, 3, 3, 8, 8), noise(7)[:6].reshape(2, 3, 3, 8, 8)],
        ["Data", "test images", "VAE", "without noise"],
    ),
    "side_by_side": (
        [noise(7, seed=1)[:6].reshape(2, 3, 3, 8, 8), noise(7, seed=2)[:6].reshape(2, 3, 3, 8, 8)],
        ["(a) Rival", "Glow, T=1.0, 2 of 7 overflowed, clipped", "(b) Ours (Glow layer)", "T=0.5"],
    ),
    "sharpening": (
        [noise(5, seed=3)[:4, None], noise(5, 3, seed=4)[:4]],
        ["VAE", "through the Glow layer (3 draws)", "Ours (Glow layer)", "T=0.5"],
    ),
    "interpolation": ([noise(3, 4, seed=5)[:2]], ["straight line in the prior's base space"]),
    "noise_maps": (
        [noise(4, seed=6)[:3, None], noise(4, seed=7)[:3, None]],
        ["VAE", "rank correlation of s and |error|: 0.61"],
    ),
    "nearest_training": (
        [noise(3, seed=10)[:2, None], noise(3, 2, seed=20)[:2], noise(3, seed=11)[:2, None], noise(3, 2, seed=21)[:2]],
        ["2% and 36%", "3 of 50, of test images 1 of 40", "60 of the 90 training", "64 Inception", "an early"],
    ),
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (*CHARTS, "overview")])
def test_each_image_is_in_its_place(kind, results):
    figure = results.draw(SPECS[kind])
    grids = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    images, words = SHOWN[kind]
    for grid, expected in zip(grids, images, strict=kind != "noise_maps"):
        np.testing.assert_array_equal(grid, image_grid(expected))
    assert [text for text in words if text not in texts(figure)] == []


def test_rows_may_be_of_several_datasets_of_several_sizes_and_levels(results):
    small = noise(9, side=4, channels=1) % 16
    small[0, 0, 0, :2] = 0, 15
    results.prepare(small, "small", levels=16)
    results.write("shown", "vae", {"temperature": 0.0}, {"images": small}, "small")
    sheet = SPECS["sample_sheet"]
    figure = results.draw(sheet | {"rows": [*sheet["rows"], sheet["rows"][1] | {"dataset": "small"}]})
    last = figure.axes[-1].images[0].get_array()
    assert (last.min(), last.max()) == (0, 255)
    assert last.shape == (2 * 5 - 1, 3 * 5 - 1, 3)
    words = texts(figure)
    assert "VAE, small" in words
    assert "preset demo \u00b7 datasets blobs, small \u00b7 seed 3" in words


def test_nearest_training_shows_both_distributions_on_one_scale(results):
    charts = [axes for axes in results.draw(SPECS["nearest_training"]).axes if not axes.images]
    for index, chart in enumerate(charts):
        (test, _), (samples, shares), *_ = curves(chart)
        arrays = near(index)
        assert sorted({*test} - {-np.inf}) == sorted(arrays["test_distances"])
        assert sorted({*samples} - {-np.inf}) == sorted(arrays["distances"][:, 0])
        assert max(shares) == 1
    assert charts[0].get_xlim() == charts[1].get_xlim()
    assert charts[0].get_xlim()[1] > 4


def test_noise_maps_share_one_scale_of_colours_that_starts_at_zero(results):
    figure = results.draw(SPECS["noise_maps"])
    values = np.linspace(0, 30, 4 * 64).reshape(4, 8, 8)[:3]
    top = np.percentile(values, 99)
    colours = colormaps[style.FIELDS]
    expected = colours(np.clip(values[0] / top, 0, 1), bytes=True)[..., :3]
    shown = np.asarray(figure.axes[2].images[0].get_array())[:8].astype(int)
    assert np.abs(shown - expected).max() <= 3  # one step of the colour map
    assert np.allclose(figure.axes[2].child_axes[0].get_ylim(), (0, top), rtol=1e-5)


def test_too_few_images_or_images_of_other_data_are_refused(results):
    too_few = r"blobs has 13 images, figure figure9 needs 15: lower the figure's columns or"
    refused(results, "sample_sheet", too_few, columns=5, lines_per_row=3)
    refused(results, "sharpening", r"layer_action\.npz has 5 images, figure figure9 needs 6", lines=6)
    results.prepare(noise(13, seed=9))
    refused(results, "sample_sheet", r"T0\.0\.npz was made from other data than blobs")


def test_temperature_shows_all_values_sorted_and_rings_the_best(results):
    figure = results.draw(SPECS["temperature"])
    lines = figure.axes[0].lines
    for (model, values), best in zip(FIDS.items(), (0.5, 1.0), strict=True):
        assert ([best], [min(values)]) in curves(figure.axes[0])
        [line] = [line for line in lines if (list(line.get_xdata()), list(line.get_ydata())) == (TEMPERATURES, values)]
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
    assert ([10.0, 35.0], [90.0, 80.0]) in fid
    assert ([60.0, 120.0], [85.0, 65.0]) in fid
    assert ([100.0], [60.0]) in fid  # the point without an FID is left out
    assert ([35.0, 100.0], [80.0, 60.0]) in fid  # what joins the phases
    assert ([70.0, 70.0], [0.0, 1.0]) in fid  # where phase 2 begins
    assert ([90.0, 100.0], [5.0, 4.0]) in bits
    words = texts(figure)
    assert "Glow, T=1.0 (=)" in words
    assert "VAE, without noise (\u2264)" in words
    assert "Not shown, because not finite: 1 FID of Ours (Glow layer), T=0.5; 1 KID" in words
    results.snapshots("glow", 1.0, (240, 85.0, 6.0), (1200, 65.0, 3.8))
    figure = results.draw(SPECS["quality_time"])
    assert ([2.0, 10.0], [85.0, 65.0]) in curves(figure.axes[0])
    assert "training time, hours" in texts(figure)
    assert figure.axes[0].get_xscale() == "log"


def test_linear_reference_puts_each_model_at_its_own_squeeze(results):
    figure = results.draw(SPECS["linear_reference"])
    lines = figure.axes[0].lines
    shown = [values for _, values in curves(figure.axes[0])]
    assert list(REFERENCE.values()) in shown
    assert [value + 0.25 for value in REFERENCE.values()] in shown
    for place, (model, bits) in enumerate(BITS.items()):
        line = next(line for line in lines if list(line.get_ydata()) == [bits])
        assert round(float(line.get_xdata()[0])) == place
        assert line.get_color() == STYLES[model]["color"]
    assert "optimistic linear Gaussian reference, not a bound" in texts(figure)
    glow = spec("linear_reference", [{"model": "glow"}])["rows"]
    refused(results, "linear_reference", "shows VAEs, and layers with squeeze 1, 2 or 4: not glow", rows=glow)


def test_spectrum_is_what_the_file_says_on_logarithmic_axes(results):
    axes = results.draw(SPECS["spectrum"]).axes[0]
    shown = curves(axes)
    assert all((FREQUENCY.tolist(), np.log10(values).tolist()) in shown for values in SPECTRUM.values())
    assert axes.get_xscale() == "log"
    assert axes.yaxis.get_major_formatter()(2.0) == "$10^{2}$"
    assert "VAE 1.25, layer 0.50" in axes.get_title(loc="left")


def test_ablation_has_a_line_a_model_and_a_marker_a_temperature(results):
    figure = results.draw(SPECS["ablation"])
    bits, fid = figure.axes
    dots = [dot.ravel().tolist() for dot in strong(figure)]
    assert sorted(dots) == [[4.0, 1.0], [7.0, 0.0], [40.0, 1.0], [50.0, 1.0], [95.0, 0.0]]
    assert len(bits.containers) == 2
    assert len({dot.get_fillstyle() for dot, *_ in fid.containers}) == 3
    assert [label.get_text() for label in bits.get_yticklabels()] == ["VAE", "Ours (Glow layer)"]


def test_importance_bounds_are_means_and_errors_over_the_same_images(results):
    figure = results.draw(SPECS["importance_bound"])
    for number, axes in enumerate(figure.axes):
        for container, bits in zip(axes.containers, (BITS["vae"], BITS["vaeglow"]), strict=True):
            images = np.stack([values[:8] for values in bounds(bits).values()])
            expected = images[0] - images if number else images  # paired: the errors of (b) are far smaller
            line, _, (bars,) = container
            heights = np.ptp([segment[:, 1] for segment in bars.get_segments()], axis=1)
            x, y = np.array(line.get_data(), float)
            np.testing.assert_allclose(x, [1, 10, 1000], rtol=0.1)
            np.testing.assert_allclose(y, expected.mean(1))
            np.testing.assert_allclose(heights / 2, expected.std(1, ddof=1) / np.sqrt(8), atol=1e-12)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "1,000"]
    assert "The first 8 test images" in texts(figure)
    results.likelihood("vaeglow", 4.0, {1: np.ones(3)})
    refused(results, "importance_bound", "holds no bound besides K = 1: list some in evaluation")


# What a figure of the model shows at any setting; by squeeze and keys of network and prior what else, and what it does
# not show.
ALWAYS = yaml.safe_load("""
- 1,000 parameters, 7 epochs
- 2,500 parameters, 9 epochs; all of phase 1 is frozen
- repeated 5 times
- net of width 96
- dense 128
- 32 means
- phase 1 maximises
- sampling
""")
OVERVIEWS = yaml.safe_load("""
- [1, {}, {}, [no squeeze, 3\u00d78\u00d78, 3\u00d73, 1 | 2 channels, 4 couplings], undo squeeze]
- [2, {}, {}, [squeeze 2\u00d72, 12\u00d74\u00d74, 12\u00d712, 6 | 6 channels, undo squeeze], no squeeze]
- [2, {decoder_noise: isotropic}, {}, [one scalar, widths 8\u201332], Infogan]
- [2, {architecture: infogan}, {}, [Infogan nets], ResNet]
- [2, {}, {kind: standard}, [not trained], prior flow $h$]
""")


@pytest.mark.parametrize(("squeeze", "network", "prior", "present", "absent"), OVERVIEWS)
def test_the_overview_shows_the_shapes_and_counts_of_the_run(squeeze, network, prior, present, absent, results):
    vae = MADE["vae"]
    ours(results, squeeze, network=vae["network"] | network, prior=prior or vae["prior"])
    words = texts(results.draw(SPECS["overview"]))
    assert [text for text in (*present, *ALWAYS) if text not in words] == []
    assert absent not in words


def test_the_overview_shows_what_a_layer_has_that_the_papers_has_not(results):
    ours(results, layer={"affine_steps": 5, "levels": 2, "noise_head": True})
    words = texts(results.draw(SPECS["overview"]))
    assert all(text in words for text in ("affine coupling", "5 times at each of 2 levels", "new in phase 2"))


def test_the_overview_shows_only_models_of_two_phases(results):
    configure(results, "vaeglow", kind="vae_glow", mode="joint")
    refused(results, "overview", "figure figure9 needs a vae_glow of mode frozen")
