"""Sheets of samples: which pixel lands where, the labels, the checks on what is drawn, and the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from figure_tools import Results, noise, spec, spoil
from PIL import Image
from table_tools import spec_file

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.drawn import Sources, full_range
from vaeglow.reporting.figure_kinds.sample_sheet import sheet
from vaeglow.reporting.page import GAP, image_grid
from vaeglow.reporting.sample_rows import Row, read_rows, split_label
from vaeglow.steps import figure as step

ROWS = [
    {"data": "test"},
    {"model": "vae", "temperature": 0},
    {"model": "vaeglow", "temperature": 0.5},
    {"model": "other-model", "temperature": 1.0},
    {"model": "glow", "temperature": 1.0, "label": "My own words"},
]
SPEC = spec("sample_sheet", ROWS, columns=3, lines_per_row=2)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Folders that fit `SPEC`."""
    made = Results(tmp_path).prepare(noise(13))
    for seed, row in enumerate(ROWS[1:], start=1):
        made.samples(row["model"], float(row["temperature"]), noise(7, seed=seed))
    return made


def rows_of(results: Results, figure: dict = SPEC) -> list[Row]:
    return read_rows(Sources(figure, results.results, results.data), 6, "columns or lines_per_row")


def draw(results: Results, output: Path, figure: dict = SPEC) -> list[Path]:
    files = [output.with_suffix(".png"), output.with_suffix(".pdf")]
    command = ["--spec", spec_file(results.results, figure), "--results-root", str(results.results)]
    command += ["--data-root", str(results.data)]
    step.main([*command, "--output", *map(str, files)])
    return files


def sheet_of(rows: list[Row], columns: int, lines: int, title: str, footer: str):
    with style.styled():
        return sheet(rows, [image_grid(row.images, columns, lines) for row in rows], title, footer)


# ----------------------------------------------------------------------------------------------------- pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_image_k_lies_in_line_k_div_columns_and_column_k_mod_columns(channels):
    images = noise(12, channels, side=5)
    grid = image_grid(images, columns=4, lines=2)
    assert grid.shape == (2 * 5 + GAP, 4 * 5 + 3 * GAP, 3) and grid.dtype == np.uint8
    covered = np.zeros(grid.shape[:2], bool)
    for k in range(8):
        y, x = k // 4 * (5 + GAP), k % 4 * (5 + GAP)
        for rgb in range(3):
            np.testing.assert_array_equal(grid[y : y + 5, x : x + 5, rgb], images[k, rgb % channels])
        covered[y : y + 5, x : x + 5] = True
    assert (grid[~covered] == 255).all()


def test_a_grid_is_never_padded():
    with pytest.raises(UserError, match="2 lines of 4 images has only 7"):
        image_grid(noise(7), columns=4, lines=2)


@pytest.mark.parametrize(
    ("channels", "side", "columns", "lines"),
    [(3, 32, 10, 2), (3, 64, 8, 1), (1, 28, 4, 1), (1, 8, 2, 1), (3, 8, 40, 1)],
)
def test_every_pixel_is_printed_as_a_square_of_equal_dots(channels, side, columns, lines, tmp_path):
    rows = [Row("A", "T=0.5", noise(columns * lines, channels, side, seed)) for seed in range(3)]
    figure = sheet_of(rows, columns, lines, "Title", "footer")
    style.save(figure, tmp_path / "sheet.png")
    printed = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert printed.shape[:2] == tuple(round(inches * style.DPI) for inches in figure.get_size_inches()[::-1])
    assert len(figure.axes) == len(rows)
    bottom = 0.0
    for axes, row in zip(figure.axes, rows, strict=True):
        box, grid = axes.get_position(), image_grid(row.images, columns, lines)
        left, top = round(box.x0 * printed.shape[1]), round((1 - box.y1) * printed.shape[0])
        zoom = round(box.width * printed.shape[1] / grid.shape[1])
        wanted = grid.repeat(zoom, axis=0).repeat(zoom, axis=1)
        found = printed[top : top + wanted.shape[0], left : left + wanted.shape[1]]
        np.testing.assert_array_equal(found, wanted)
        assert top > bottom  # rows follow each other down the page and leave room between them
        bottom = top + wanted.shape[0]


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_all_levels_span_black_to_white(levels):
    shown = full_range(np.arange(levels, dtype=np.uint8), levels)
    assert (shown[0], shown[-1]) == (0, 255) and (np.diff(shown.astype(int)) > 0).all()


# ---------------------------------------------------------------------------------------------- text, layout


@pytest.mark.parametrize(("columns", "lines", "side"), [(10, 2, 32), (2, 1, 8), (40, 1, 8)])
def test_no_text_covers_another_or_an_image_or_leaves_the_page(columns, lines, side):
    images = noise(columns * lines, side=side)
    rows = [
        Row("Ours as written", "Glow layer, no squeeze\nT=0.5", images),
        Row("A name of many words " * 3, "", images),
    ]
    footer = style.footer("demo", ["photos32"], 0, ["0123456789abcdef+dirty"])
    figure = sheet_of(rows, columns, lines, "A title of many words, " * 5, footer)
    with style.styled():
        figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts] + [axes.get_window_extent() for axes in figure.axes]
    for number, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        for other in boxes[:number]:
            over = min(box.x1, other.x1) - max(box.x0, other.x0), min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(over) < 4, "more than a letter's own margin of overlap"  # in dots, 256 an inch


def test_labels_say_model_variant_and_temperature(results):
    rows = rows_of(results)
    assert [(row.name, row.detail) for row in rows] == [
        ("Data", "test images"),
        ("VAE", "without noise"),
        ("Ours", "Glow layer, squeeze 2\nT=0.5"),
        ("other-model", "T=1.0"),
        ("My own words", ""),
    ]
    texts = [text.get_text() for text in sheet_of(rows, 3, 2, "The title", "the footer").texts]
    assert texts[0] == "The title" and texts[-1] == "the footer"
    assert texts[1:-1] == [line for row in rows for line in f"{row.name}\n{row.detail}".splitlines()]


def test_rows_hold_the_first_samples_and_real_images_from_the_whole_split(results):
    rows = rows_of(results)
    np.testing.assert_array_equal(rows[2].images, noise(7, seed=2)[:6])
    np.testing.assert_array_equal(rows[0].images, noise(13)[[0, 2, 4, 6, 8, 10]])


def test_the_footer_names_each_commit_once():
    line = style.footer(
        "demo", ["photos32", "photos32"], 3, ["0123456789abcdef", "0123456789abcdef", "fedcba9876543210+dirty"]
    )
    assert line == "preset demo · dataset photos32 · seed 3 · commit 0123456789, fedcba9876+dirty"


# ------------------------------------------------------------------------------------------------------ files


def test_the_same_images_give_the_same_files(results, tmp_path, monkeypatch):
    first = [path.read_bytes() for path in draw(results, tmp_path / "first")]
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = [path.read_bytes() for path in draw(results, tmp_path / "second")]
    assert first == second
    assert first[0].startswith(b"\x89PNG") and first[1].startswith(b"%PDF")
    assert b"CreationDate" not in first[1] and b"atplotlib" not in first[0] + first[1]
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_drawing_needs_no_torch_and_no_display():
    code = "import sys, vaeglow.reporting.figures; "
    code += "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0


def test_grey_images_of_few_levels_are_drawn_from_black_to_white(tmp_path):
    test = noise(6, channels=1, side=4) % 16
    test[0, 0, 0, :2] = 0, 15
    results = Results(tmp_path).prepare(test, levels=16)
    results.samples("vae", 0.0, test)
    figure = SPEC | {"rows": SPEC["rows"][:2]}
    png, _ = draw(results, tmp_path / "grey", figure)
    printed = np.asarray(Image.open(png).convert("RGB"))
    assert (printed.min(), printed.max()) == (0, 255)
    assert [row.images.max() for row in rows_of(results, figure)] == [255, 255]


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"written as \.png or \.pdf"):
        style.save(style.new_figure(1, 1), tmp_path / "a.png", tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"preset": "short"}, r"T0\.0\.npz: preset is 'short', figure figure9 needs 'demo'"),
        ({"dataset": "cifar10"}, "dataset is 'cifar10', figure figure9 needs 'blobs'"),
        ({"model": "glow"}, "model is 'glow', figure figure9 needs 'vae'"),
        ({"seed": 0}, "seed is 0, figure figure9 needs 3"),
        ({"temperature": 1.0}, r"temperature is 1\.0, figure figure9 needs 0\.0"),
        ({"data_sha256": "f" * 64}, r"data_sha256 is ffffffffffff\.\.\., figure figure9 needs [0-9a-f]{12}\.\.\."),
    ],
)
def test_what_does_not_belong_in_one_figure_is_refused(changes, says, results, tmp_path):
    spoil(results.path("samples", "vae", temperature=0.0), **changes)
    with pytest.raises(UserError, match=says) as caught:
        draw(results, tmp_path / "sheet")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sheet.png").exists() and not (tmp_path / "sheet.pdf").exists()


def test_too_few_images_say_which_file_how_many_and_how_many_are_needed(results, tmp_path):
    path = results.samples("vae", 0.0, noise(5))
    with pytest.raises(UserError) as caught:
        draw(results, tmp_path / "sheet")
    assert f"{path} has 5 images, figure figure9 needs 6: lower columns or lines_per_row" in str(caught.value)
    assert "(3 columns x 2 lines)" in str(caught.value)
    with pytest.raises(UserError, match=r"test\.npy has 13 images, figure figure9 needs 14"):
        draw(results, tmp_path / "sheet", SPEC | {"columns": 7})


def test_images_of_another_size_and_missing_files_are_refused(results, tmp_path):
    path = results.samples("vae", 0.0, noise(7, side=4))
    with pytest.raises(UserError, match=r"holds uint8 \[7, 3, 4, 4\], figure figure9 needs"):
        draw(results, tmp_path / "sheet")
    path.unlink()
    with pytest.raises(UserError, match=r"T0\.0\.npz does not exist: run the step that makes it first"):
        draw(results, tmp_path / "sheet")
    (results.data / "blobs").rename(results.data / "mine")
    rows = [row | {"dataset": "mine"} for row in SPEC["rows"]]
    with pytest.raises(UserError, match="holds dataset blobs, figure figure9 shows mine"):
        draw(results, tmp_path / "sheet", SPEC | {"rows": rows})


def test_a_row_may_show_another_dataset_of_another_size(results, tmp_path):
    results.prepare(noise(9, side=4, seed=5), "small")
    results.samples("vae", 0.0, noise(7, side=4, seed=6), "small")
    row = {"dataset": "small", "preset": "demo", "model": "vae", "temperature": 0.0}
    figure = results.draw(SPEC | {"rows": [SPEC["rows"][1], row]})
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown[1], image_grid(noise(7, side=4, seed=6), 3, 2))
    assert shown[0].shape[1] == 3 * 8 + 2 and shown[1].shape[1] == 3 * 4 + 2
    assert figure.texts[-1].get_text().startswith("preset demo \u00b7 datasets blobs, small \u00b7 seed 3")


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("vae", ("VAE", "")),
        ("glow_additive", ("Glow", "additive")),
        ("vaeglow", ("Ours", "Glow layer, squeeze 2")),
        ("vaeglow_isotropic", ("Ours", "Glow layer, squeeze 2, isotropic noise")),
        ("vae_isotropic_standard", ("VAE", "isotropic noise, N(0, I) prior")),
        ("my_model", ("my_model", "")),
    ],
)
def test_a_label_in_two_parts(model, parts):
    assert split_label(model) == parts
