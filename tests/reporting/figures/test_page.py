"""The page that figures are laid out on: which pixel lands where, and the files; and the curves of one run."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from figure_tools import Results, described, noise, spec
from numpy.testing import assert_array_equal
from PIL import Image
from refusals import user_error
from run_tools import run_step
from table_tools import as_expected
from waiting import call

from vaeglow.files import read_json, write_json
from vaeglow.reporting import style, traced
from vaeglow.reporting.style import GAP, Page, image_grid
from vaeglow.results import write_result
from vaeglow.steps.training_curves import draw

SPEC = spec("sample_sheet", [{"data": "test"}, {"model": "vae", "temperature": 0.0}], columns=3, lines_per_row=2)


def test_each_image_lies_in_its_line_and_column():
    images = noise(2, 4, side=5)
    expected = np.full((2 * 5 + GAP, 4 * 5 + 3 * GAP, 3), 255, np.uint8)
    for line, column in np.ndindex(2, 4):
        corner = expected[line * (5 + GAP) :, column * (5 + GAP) :]
        corner[:5, :5] = images[line, column].transpose(1, 2, 0)
    grid = image_grid(images)
    assert grid.dtype == np.uint8
    assert_array_equal(grid, expected)


@pytest.mark.parametrize(
    "side, columns, lines, channels",
    [
        (28, 4, 2, 1),
        (8, 40, 1, 3),
    ],
)
def test_every_pixel_is_printed_as_a_square_of_equal_dots(side, columns, lines, channels, tmp_path):
    blocks = [noise(lines, columns, channels=channels, side=side, seed=seed) for seed in range(4)]
    with style.styled():
        page = Page("A title")
        page.sheet([(("A", "T=0.5"), blocks[0]), (("B", "C"), blocks[1])])
        page.panels([(("Left", ""), [("", blocks[2])]), (("Right", "T=1.0"), [("heading", blocks[3])])])
        figure = page.finish("", [])
    style.save(figure, tmp_path / "page.png")
    printed = np.flipud(Image.open(tmp_path / "page.png").convert("RGB"))
    corner = np.round(figure.get_tightbbox().padded(style.MARGIN).get_points()[0] * style.DPI)  # of the whole page
    for axes, images in zip(figure.axes, blocks, strict=True):
        place = np.round(axes.get_position().get_points() * figure.bbox.size - corner)
        (left, foot), (right, head) = place.astype(int)
        grid = image_grid(images)
        zoom = (right - left) // grid.shape[1]
        expected = grid.repeat(zoom, axis=0).repeat(zoom, axis=1)
        assert_array_equal(np.flipud(printed[foot:head, left:right]), expected)


def run(results: Results, output: Path) -> list[bytes]:
    """The PNG and the PDF that the step writes."""
    files = [output.with_suffix(".png"), output.with_suffix(".pdf")]
    write_json(output.with_suffix(".json"), SPEC)
    roots = {"results_root": results.results, "data_root": results.data}
    run_step("figure", spec=output.with_suffix(".json"), **roots, output=files)
    return [file.read_bytes() for file in files]


def test_the_step_writes_the_same_files_from_the_same_results(tmp_path, monkeypatch):
    results = Results(tmp_path).prepare(noise(13))
    path = results.write("shown", "vae", {"temperature": 0.0}, {"images": noise(7)})
    png, pdf = run(results, tmp_path / "first")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert run(results, tmp_path / "second") == [png, pdf]
    assert png.startswith(b"\x89PNG")
    assert pdf.startswith(b"%PDF")
    assert set(traced.read_figure(tmp_path / "first.png")) == {str(path)}
    assert not list(tmp_path.glob("*.tmp"))


PLAN_AND_DRAW = """
import sys, tempfile
from pathlib import Path
import vaeglow.reporting.figures
assert "matplotlib" not in sys.modules, "planning"
from figure_tools import Results, noise, spec
made = Results(Path(tempfile.mkdtemp())).prepare(noise(6))
made.draw(spec("sample_sheet", [{"data": "test"}], columns=2, lines_per_row=1))
sys.exit("torch" in sys.modules or "matplotlib.pyplot" in sys.modules)
"""


def test_planning_needs_no_matplotlib_and_drawing_no_torch_and_no_display():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert call([sys.executable, "-c", PLAN_AND_DRAW], env=environment).returncode == 0


HISTORY = """epoch,bits_per_dim,reconstruction_bits_per_dim,kl_bits_per_dim,learning_rate,gradient_norm,skipped_steps,images_per_second,seconds,val_bits_per_dim
1,7.5,-0.75,0.25,0.001,4.0,0,100.0,10.0,
2,6.5,-1.25,0.5,0.0005,80.0,2,120.0,20.0,6.75
3,6.25,-1.5,0.75,0.0005,8.0,0,110.0,30.0,
"""  # noqa: E501


def write(folder: Path, epochs: int = 3) -> tuple[Path, Path]:
    """history.csv and training.json of a run."""
    history = folder / "history.csv"
    history.write_text("".join(HISTORY.splitlines(keepends=True)[: 1 + epochs]))
    about = {
        "preset": "demo",
        "dataset": "blobs",
        "model": "vae",
        "seed": 3,
        "epochs_by_phase": [40, epochs],
    }
    write_json(folder / "training.json", about | {"provenance": {"commit": "0123456789abcdef", "dirty": True}})
    return history, folder / "training.json"


def test_every_column_is_drawn_against_its_epoch(tmp_path):
    """Validation where it was measured; gradients on a logarithmic scale."""
    as_expected(tmp_path / "training_curves.txt", described(draw(*write(tmp_path))))


def test_one_epoch_still_draws_by_the_step(tmp_path):
    history, training = write(tmp_path, 1)
    output = tmp_path / "curves.png"
    run_step("training_curves", history=history, training=training, output=output)
    assert output.read_bytes().startswith(b"\x89PNG")


def test_another_file_cannot_be_drawn(tmp_path):
    history, training = write(tmp_path)
    training.write_text("{}")
    with user_error(r"training\.json lacks 'model'"):
        draw(history, training)
    history, training = write(tmp_path)
    write_result(training, read_json(training), [history], {"commit": "c"})
    draw(history, training)
    history.write_text(HISTORY[:-30])
    with user_error(r"history\.csv differ in .*history\.csv"):
        draw(history, training)
