"""The page that figures are laid out on: which pixel lands where, and the files; and the curves of one run."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from figure_tools import Results, curves, noise, spec, texts
from PIL import Image
from run_tools import run_step
from waiting import call

from vaeglow.errors import UserError
from vaeglow.files import read_json, write_json
from vaeglow.reporting import style, traced
from vaeglow.reporting.figures import full_range
from vaeglow.reporting.style import GAP, Page, image_grid
from vaeglow.results import write_result
from vaeglow.steps.training_curves import draw

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


@pytest.mark.parametrize(("side", "columns", "lines", "channels"), [(32, 10, 2, 3), (28, 4, 1, 1), (8, 40, 1, 3)])
def test_every_pixel_is_printed_as_a_square_of_equal_dots(side, columns, lines, channels, tmp_path):
    grids = [noise(lines, columns, channels=channels, side=side, seed=seed) for seed in range(4)]
    with style.styled():
        page = Page("A title")
        page.sheet([(("A", "T=0.5"), grids[0]), (("B", "C"), grids[1])])
        page.panels([(("Left", ""), [("", grids[2])]), (("Right", "T=1.0"), [("heading", grids[3])])])
        figure = page.finish("", [])
    style.save(figure, tmp_path / "page.png")
    printed = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    corner = np.round((figure.get_tightbbox().padded(style.MARGIN)).get_points() * style.DPI)  # of the whole page
    for axes, images in zip(figure.axes, grids, strict=True):
        (left, foot), (right, head) = np.round(axes.get_position().get_points() * figure.bbox.size - corner[0]).astype(
            int
        )
        zoom = (right - left) // image_grid(images).shape[1]
        expected = image_grid(images).repeat(zoom, axis=0).repeat(zoom, axis=1)
        np.testing.assert_array_equal(printed[len(printed) - head : len(printed) - foot, left:right], expected)


def run(results: Results, output: Path) -> list[Path]:
    files = [output.with_suffix(".png"), output.with_suffix(".pdf")]
    write_json(output.with_suffix(".json"), SPEC)
    roots = {"results_root": results.results, "data_root": results.data}
    run_step("figure", spec=output.with_suffix(".json"), **roots, output=files)
    return files


def test_the_step_writes_the_same_files_from_the_same_results(tmp_path, monkeypatch):
    results = Results(tmp_path).prepare(noise(13))
    path = results.write("shown", "vae", {"temperature": 0.0}, {"images": noise(7)})
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
    assert (
        call([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).returncode == 0
    )


HEADER = "epoch,bits_per_dim,reconstruction_bits_per_dim,kl_bits_per_dim,learning_rate,gradient_norm,skipped_steps,"
HEADER += "images_per_second,seconds,val_bits_per_dim\n"
LINES = [
    "1,7.5,-0.75,0.25,0.001,4.0,0,100.0,10.0,\n",
    "2,6.5,-1.25,0.5,0.0005,80.0,2,120.0,20.0,6.75\n",
    "3,6.25,-1.5,0.75,0.0005,8.0,0,110.0,30.0,\n",
]


def write(folder: Path, lines: list[str], **changes) -> tuple[Path, Path]:
    history, training = folder / "history.csv", folder / "training.json"
    history.write_text(HEADER + "".join(lines))
    about = {"preset": "demo", "dataset": "blobs", "model": "vae", "seed": 3, "epochs_by_phase": [40, len(lines)]}
    write_json(training, about | {"provenance": {"commit": "0123456789abcdef", "dirty": True}} | changes)
    return history, training


def test_every_column_is_drawn_against_its_epoch(tmp_path):
    figure = draw(*write(tmp_path, LINES))
    bits, terms, rate, gradient, speed, time = (curves(axes) for axes in figure.axes)
    epochs = [1.0, 2.0, 3.0]
    assert (epochs, [7.5, 6.5, 6.25]) in bits and ([2.0], [6.75]) in bits  # validation was measured once
    assert (epochs, [-0.75, -1.25, -1.5]) in terms and (epochs, [0.25, 0.5, 0.75]) in terms
    assert (epochs, [0.001, 0.0005, 0.0005]) in rate and (epochs, [4.0, 80.0, 8.0]) in gradient
    assert (epochs, [100.0, 120.0, 110.0]) in speed and (epochs, [10.0, 20.0, 30.0]) in time
    assert figure.axes[3].get_yscale() == "log"
    said = texts(figure).splitlines()
    assert {"vae on blobs, preset demo, seed 3", "reconstruction", "KL", "validation"} <= set(said)
    assert "Steps left out because they were not finite: 2." in said
    assert "preset demo \u00b7 dataset blobs \u00b7 seed 3 \u00b7 commit 0123456789+dirty" in said


def test_one_epoch_still_draws_by_the_step(tmp_path):
    history, training = write(tmp_path, LINES[:1])
    output = tmp_path / "curves.png"
    run_step("training_curves", history=history, training=training, output=output)
    assert output.read_bytes().startswith(b"\x89PNG")
    assert all(len(line[0]) == 1 for axes in draw(history, training).axes for line in curves(axes))


def test_another_file_cannot_be_drawn(tmp_path):
    history, training = write(tmp_path, LINES)
    training.write_text("{}")
    with pytest.raises(UserError, match=r"training\.json lacks 'model'"):
        draw(history, training)
    history, training = write(tmp_path, LINES)
    write_result(training, read_json(training), [history], {"commit": "c"})
    draw(history, training)
    for damaged in ("", HEADER, "x\n1\n", history.read_text()[:-30]):
        history.write_text(damaged)
        with pytest.raises(UserError, match=r"history\.csv differ in .*history\.csv"):
            draw(history, training)
