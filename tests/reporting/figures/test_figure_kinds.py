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
    MADE,
    SPECS,
    configure,
    near,
    ours,
    written,
)
from figure_tools import PROTOCOL, Results, curves, described, noise, spec, texts
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.testing import assert_allclose
from refusals import user_error
from table_tools import as_expected, change

from vaeglow.config.registry import kinds_of
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


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_shows_the_expected_lines_and_words_apart_from_each_other_and_from_images(kind, results):
    """All values in order, each model in its own look, the best temperature ringed, paired errors, ..."""
    figure = results.draw(SPECS[kind])
    as_expected(results.root / f"{kind}.txt", described(figure))
    with style.styled():
        figure.draw_without_rendering()
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
    with user_error(says):
        results.draw(SPECS[kind] | keys)


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
        assert_allclose(mean, np.mean(each, axis=0))
    values = 0 if kind == "ablation" else 1  # of x and y
    pale = [tuple(line.get_data()[values]) for axes in whole.axes for line in axes.lines if line.get_alpha()]
    assert sorted(pale) == sorted(tuple(curve[values]) for curves in seeds for curve in curves)
    assert "Pale: each seed. Strong: their mean" in texts(whole)
    assert "seed 3, 4, 5" in texts(whole)


def strong(figure: Figure) -> list[np.ndarray]:
    """x and y of every curve with error bars."""
    return [np.array(bars[0].get_data(), float) for axes in figure.axes for bars in axes.containers]


def test_three_seeds_have_the_t_interval_of_their_mean_two_have_none():
    axes = Figure().subplots()
    curve(axes, pd.DataFrame({0.5: [1.0, 2.0, 3.0]}))
    curve(axes, pd.DataFrame({0.5: [1.0, 2.0]}))
    three, two = (bars[0].get_segments() for *_, bars in axes.containers)
    assert_allclose(three[0][:, 1], [2 - 2.4841377, 2 + 2.4841377])  # t, 2 degrees of freedom: 4.302653
    assert not any(map(len, two))


# The images that each kind shows, grid by grid.
SHOWN = {
    "sample_sheet": [noise(13)[[0, 2, 4, 6, 8, 10]].reshape(2, 3, 3, 8, 8), noise(7)[:6].reshape(2, 3, 3, 8, 8)],
    "side_by_side": [noise(7, seed=seed)[:6].reshape(2, 3, 3, 8, 8) for seed in (1, 2)],
    "sharpening": [noise(5, seed=3)[:4, None], noise(5, 3, seed=4)[:4]],
    "interpolation": [noise(3, 4, seed=5)[:2]],
    "noise_maps": [noise(4, seed=6)[:3, None], noise(4, seed=7)[:3, None]],
    "nearest_training": [
        near(k)[name][:2].reshape(2, -1, 3, 8, 8) for k in (0, 1) for name in ("images", "neighbours")
    ],
}


@pytest.mark.parametrize("kind", SHOWN)
def test_each_image_is_in_its_place(kind, results):
    grids = [axes.images[0].get_array() for axes in results.draw(SPECS[kind]).axes if axes.images]
    for grid, expected in zip(grids, SHOWN[kind], strict=kind != "noise_maps"):
        np.testing.assert_array_equal(grid, image_grid(expected))


def test_rows_may_be_of_several_datasets_of_several_sizes_and_levels(results):
    small = noise(9, side=4, channels=1) % 16
    small[0, 0, 0, :2] = 0, 15
    results.prepare(small, "small", levels=16)
    results.write("shown", "vae", {"temperature": 0.0}, {"images": small}, "small")
    sheet = SPECS["sample_sheet"]
    figure = results.draw(sheet | {"rows": [*sheet["rows"], sheet["rows"][1] | {"dataset": "small"}]})
    last = figure.axes[-1].images[0].get_array()
    assert (last.min(), last.max()) == (0, 255)
    words = texts(figure)
    assert "VAE, small" in words
    assert "preset demo \u00b7 datasets blobs, small \u00b7 seed 3" in words


def test_nearest_training_shows_both_distributions_on_one_scale(results):
    left, right = (axes.get_xlim() for axes in results.draw(SPECS["nearest_training"]).axes if not axes.images)
    assert left == right
    assert left[1] > 4


def test_noise_maps_share_one_scale_of_colours_that_starts_at_zero(results):
    figure = results.draw(SPECS["noise_maps"])
    values = np.linspace(0, 30, 4 * 64).reshape(4, 8, 8)[:3]
    top = np.percentile(values, 99)
    expected = colormaps[style.FIELDS](values[0] / top, bytes=True)[..., :3]
    shown = figure.axes[2].images[0].get_array()[:8]
    assert_allclose(shown, expected, atol=3)  # one step of the colour map
    assert_allclose(figure.axes[2].child_axes[0].get_ylim(), (0, top), rtol=1e-5)


def test_too_few_images_or_images_of_other_data_are_refused(results):
    too_few = r"blobs has 13 images, figure figure9 needs 15: lower the figure's columns or"
    refused(results, "sample_sheet", too_few, columns=5, lines_per_row=3)
    refused(results, "sharpening", r"layer_action\.npz has 5 images, figure figure9 needs 6", lines=6)
    results.prepare(noise(13, seed=9))
    refused(results, "sample_sheet", r"T0\.0\.npz was made from other data than blobs")


def test_a_long_training_is_shown_in_hours(results):
    results.snapshots("glow", 1.0, (240, 85.0, 6.0), (1200, 65.0, 3.8))
    figure = results.draw(SPECS["quality_time"])
    assert ([2.0, 10.0], [85.0, 65.0]) in curves(figure.axes[0])
    assert "training time, hours (log scale)" in texts(figure)


def test_a_linear_reference_shows_vaes_and_layers_only(results):
    glow = spec("linear_reference", [{"model": "glow"}])["rows"]
    refused(results, "linear_reference", "shows VAEs, and layers with squeeze 1, 2 or 4: not glow", rows=glow)


def test_a_spectrums_powers_are_powers_of_ten(results):
    axes = results.draw(SPECS["spectrum"]).axes[0]
    assert axes.yaxis.get_major_formatter()(2.0) == "$10^{2}$"


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


@pytest.mark.parametrize("squeeze, network, prior, present, absent", OVERVIEWS)
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
