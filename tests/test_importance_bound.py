"""The figure of the importance-weighted bound against K: its axes show the values of the files, on the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_tools import Results, noise, spec, texts

from vaeglow.errors import UserError

DRAWS = (1, 10, 100)
SPEC = spec("importance_bound", [{"model": "vae"}, {"model": "vaeglow"}])


def bounds(level: float) -> dict[int, np.ndarray]:
    """12 images at K = 1, as the headline has; 8 of them at the others, each with a gain of its own."""
    images = level + np.random.default_rng(int(level)).normal(size=12)
    return {1: images} | {k: images[:8] - (0.1 + 0.01 * np.arange(8)) * np.log10(k) for k in DRAWS[1:]}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    made = Results(tmp_path).prepare(noise(13))
    for model, level in (("vae", 5.0), ("vaeglow", 4.0)):
        of_model = bounds(level)
        made.bounds(model, float(of_model[1].mean()), of_model | {1: of_model[1]})
        correct(made, model, of_model)
    return made


def correct(made: Results, model: str, images: dict[int, np.ndarray], **changes) -> None:
    """likelihood.json as the step writes it: every K, 1 among them, of the few images."""
    importance = {str(k): {"bits_per_dim": float(values[:8].mean())} for k, values in images.items()}
    content = {"bits_per_dim": float(images[1].mean()), "standard_error": 0.1, "split": "test"}
    made.json("likelihood", model, content | {"importance": importance} | changes)


def drawn(axes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """x, y and error of each curve with error bars."""
    found = []
    for container in axes.containers:
        line, _, (bars,) = container
        heights = np.array([segment[:, 1] for segment in bars.get_segments()])
        found.append((line.get_xdata(), line.get_ydata(), (heights[:, 1] - heights[:, 0]) / 2))
    return found


def test_the_axes_show_means_and_errors_over_the_same_images(results):
    left, right = results.draw(SPEC).axes
    for axes, value in ((left, lambda images, k: images[k]), (right, lambda images, k: images[1][:8] - images[k])):
        curves = drawn(axes)
        assert len(curves) == 2
        for (x, y, errors), level in zip(curves, (5.0, 4.0), strict=True):
            images = bounds(level) | {1: bounds(level)[1][:8]}
            wanted = np.array([value(images, k) for k in DRAWS])
            np.testing.assert_allclose(x, DRAWS, rtol=0.1)
            np.testing.assert_allclose(y, wanted.mean(1))
            np.testing.assert_allclose(errors, wanted.std(1, ddof=1) / np.sqrt(8), atol=1e-12)
    assert (drawn(right)[0][2] < 0.1 * drawn(left)[0][2]).all()  # paired, so far smaller


def test_the_note_says_how_many_images_and_the_ticks_are_the_draws(results):
    figure = results.draw(SPEC)
    said = " ".join(texts(figure))
    assert "The first 8 test images" in said and "one standard error over images" in said.replace("\n", " ")
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "100"]


def test_a_thousand_draws_are_written_out_and_one_image_has_no_error(results):
    for model in ("vae", "vaeglow"):
        results.bounds(model, 4.0, {k: np.full(1, 4.0) for k in (1, 1000)})
    figure = results.draw(SPEC)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "1,000"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"importance": {"1": {"bits_per_dim": 4.0}}}, "holds no bound beside K = 1: list some in evaluation"),
        ({"importance": {}}, "holds no bound beside K = 1"),
        ({"importance": {"10": {"bits_per_dim": 4.0}, "100": {"bits_per_dim": 4.0}}}, "holds no bound beside K = 1"),
        ({"importance": {"1": {"bits_per_dim": 4.0}, "10": {"bits_per_dim": 4.0}}}, "is not what .* sums up at K = 1"),
        ({"importance": {"1": {"bits_per_dim": None}, "10": {}}}, "bits_per_dim is None"),
        ({"split": "train"}, "split is 'train'"),
    ],
)
def test_files_that_do_not_fit_are_one_line(results, changes, says):
    correct(results, "vaeglow", bounds(4.0), **changes)
    with pytest.raises(UserError, match=says) as caught:
        results.draw(SPEC)
    assert "\n" not in str(caught.value) and "figure9" in str(caught.value)
