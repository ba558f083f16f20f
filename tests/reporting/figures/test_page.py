"""The page that figures are laid out on: which pixel lands where, texts that overlap nothing, and the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from figure_tools import Results, noise, overlap, spec
from PIL import Image

from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.reporting import style, traced
from vaeglow.reporting.figures import full_range
from vaeglow.reporting.page import GAP, Page, image_grid
from vaeglow.results import Result
from vaeglow.steps import figure as step

SPEC = spec("sample_sheet", [{"data": "test"}, {"model": "vae", "temperature": 0.0}], columns=3, lines_per_row=2)


def test_each_image_lies_in_its_line_and_column():
    images = noise(2, 4, side=5)
    grid = image_grid(images)
    assert grid.shape == (2 * 5 + GAP, 4 * 5 + 3 * GAP, 3) and grid.dtype == np.uint8
    for line, column in np.ndindex(2, 4):
        y, x = line * (5 + GAP), column * (5 + GAP)
        np.testing.assert_array_equal(grid[y : y + 5, x : x + 5], images[line, column].transpose(1, 2, 0))
        grid[y : y + 5, x : x + 5] = 255
    assert (grid == 255).all()


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_all_levels_span_black_to_white(levels):
    shown = full_range(np.arange(levels, dtype=np.uint8), levels)
    assert (shown[0], shown[-1]) == (0, 255) and (np.diff(shown.astype(int)) > 0).all()


def finished(page: Page, tmp_path: Path):
    (tmp_path / "source.json").write_text("{}")
    result = Result(tmp_path / "source.json", {"provenance": {"commit": "0123456789abcdef", "dirty": True}})
    figure = page.finish("preset demo", [result, result])
    assert figure.texts[-2].get_text() == "preset demo \u00b7 commit 0123456789+dirty"
    return figure


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "columns", "lines"), [(32, 10, 2), (64, 8, 1), (28, 4, 1), (8, 40, 1)])
def test_every_pixel_is_printed_as_a_square_of_equal_dots(channels, side, columns, lines, tmp_path):
    grids = [noise(lines, columns, channels=channels, side=side, seed=seed) for seed in range(4)]
    with style.styled():
        page = Page("A title")
        page.sheet([(("A", "T=0.5"), grids[0]), (("B", "C"), grids[1])])
        page.panels([(("Left", ""), [("", grids[2])]), (("Right", "T=1.0"), [("heading", grids[3])])])
    figure = finished(page, tmp_path)
    style.save(figure, tmp_path / "page.png")
    printed = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    assert printed.shape[:2] == tuple(round(inches * style.DPI) for inches in figure.get_size_inches()[::-1])
    for axes, images in zip(figure.axes, grids, strict=True):
        box, grid = axes.get_position(), image_grid(images)
        left, top = round(box.x0 * printed.shape[1]), round((1 - box.y1) * printed.shape[0])
        zoom = round(box.width * printed.shape[1] / grid.shape[1])
        expected = grid.repeat(zoom, axis=0).repeat(zoom, axis=1)
        np.testing.assert_array_equal(printed[top : top + len(expected), left : left + expected.shape[1]], expected)


@pytest.mark.parametrize(("columns", "side"), [(10, 32), (2, 8), (40, 8)])
def test_no_text_covers_another_or_an_image_or_leaves_the_page(columns, side, tmp_path):
    images = noise(1, columns, side=side)
    with style.styled():
        page = Page("A title of many words, " * 5)
        page.sheet([(("Ours as written", "no squeeze, T=0.5"), images), (("A name of many words " * 3, ""), images)])
        page.panels([(("A caption " * 6, "in detail " * 9), [("one", images), ("a longer heading", images)])] * 2)
        page.notes += ["A note of many words " * 9, "Another."]
        figure = finished(page, tmp_path)
        figure.draw_without_rendering()
    shown = [text for text in figure.texts if text.get_text()]
    boxes = [artist.get_window_extent() for artist in [*shown, *figure.axes]]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert overlap(boxes) < 4, "more than a letter's own margin"


def test_images_of_two_sizes_are_alike_on_paper_and_fit_the_page(tmp_path):
    with style.styled():
        page = Page("A title")
        page.panels([(("a", ""), [("", noise(6, 5, side=side))]) for side in (32, 64)])
    figure = finished(page, tmp_path)
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.width == pytest.approx(right.width, rel=0.02) and figure.get_figwidth() <= style.WIDTH


def run(results: Results, output: Path) -> list[Path]:
    files = [output.with_suffix(".png"), output.with_suffix(".pdf")]
    write_json(output.with_suffix(".json"), SPEC)
    command = ["--spec", str(output.with_suffix(".json")), "--results-root", str(results.results)]
    step.main([*command, "--data-root", str(results.data), "--output", *map(str, files)])
    return files


def test_the_step_writes_the_same_files_from_the_same_results(tmp_path, monkeypatch):
    results = Results(tmp_path).prepare(noise(13))
    path = results.write("samples", "vae", {"temperature": 0.0}, {"images": noise(7)})
    first = [file.read_bytes() for file in run(results, tmp_path / "first")]
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert first == [file.read_bytes() for file in run(results, tmp_path / "second")]
    assert first[0].startswith(b"\x89PNG") and first[1].startswith(b"%PDF")
    assert b"CreationDate" not in first[1] and b"atplotlib" not in first[0] + first[1]
    assert set(traced.read_figure(tmp_path / "first.png")) == {str(path)} and not list(tmp_path.glob("*.tmp"))


def test_planning_needs_no_matplotlib_and_drawing_no_torch_and_no_display():
    code = "import sys, vaeglow.reporting.figures as figures; assert 'matplotlib' not in sys.modules, 'planning'; "
    code += "from figure_tools import Results, noise, spec; from pathlib import Path; import tempfile; "
    code += "made = Results(Path(tempfile.mkdtemp())).prepare(noise(6)); "
    code += "made.draw(spec('sample_sheet', [{'data': 'test'}], columns=2, lines_per_row=1)); "
    code += "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent).returncode == 0


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"written as \.png or \.pdf"):
        style.save(Page("").figure, tmp_path / "a.png", tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []
