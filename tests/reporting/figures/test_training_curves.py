"""The curves of one run: the columns of its history, one epoch or many, and what is refused."""

from pathlib import Path

import pytest
from figure_tools import curves, texts

from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.steps import training_curves as step
from vaeglow.steps.training_curves import draw

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
    step.main(["--history", str(history), "--training", str(training), "--output", str(output)])
    assert output.read_bytes().startswith(b"\x89PNG")
    assert all(len(line[0]) == 1 for axes in draw(history, training).axes for line in curves(axes))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda history, training: history.unlink(), r"history\.csv is missing or damaged"),
        (lambda history, training: history.write_text(""), r"history\.csv is missing or damaged"),
        (lambda history, training: history.write_text("epoch\n1\n"), r"damaged .*bits_per_dim.* not in index"),
        (lambda history, training: history.write_text(HEADER + LINES[0].replace("7.5", "x")), r"damaged .*'x'"),
        (lambda history, training: history.write_text(HEADER + LINES[0]), r"has 1 epochs, .* says 3"),
        (lambda history, training: training.write_text("{}"), r"training\.json lacks 'model'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(spoil, says, tmp_path):
    files = write(tmp_path, LINES)
    spoil(*files)
    with pytest.raises(UserError, match=says) as caught:
        draw(*files)
    assert "\n" not in str(caught.value)
