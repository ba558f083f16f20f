"""`vaeglow explore`: what the page shows of a model, what it says where it cannot, and who can see it."""

import re
import sys
import urllib.request
from io import BytesIO
from socket import socket
from subprocess import PIPE, Popen
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import user_error
from waiting import LIMIT, ROOT

from vaeglow.commands import explore
from vaeglow.errors import UserError


class Fake:
    """What the page asks of a `vaeglow.Model`: images of one value each, that say what they were made from."""

    def __init__(self, channels: int = 3, levels: int = 256, lacks: str = "") -> None:
        self.network = SimpleNamespace(shape=(channels, 8, 8), levels=levels)
        self.lacks = lacks

    def flat(self, *shape: int, value: float) -> torch.Tensor:
        return torch.full((*shape, *self.network.shape), int(value), dtype=torch.uint8)

    def need(self, part: str) -> None:
        if part == self.lacks:
            raise UserError(f"no {part}")

    def sample(self, count: int, temperature: float, seed: int) -> torch.Tensor:
        return self.flat(count, value=10 * temperature + seed)

    def interpolate(self, pairs: int, steps: int, seed: int) -> torch.Tensor:
        self.need("latent")
        return self.flat(pairs, steps, value=seed)

    def encode(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.need("latent")
        assert images.max() < self.network.levels
        return torch.full((1, 5), 2.0), torch.tensor([[0.25, 0.5, 0.5, 0.5, 1]])

    def decode(self, z: torch.Tensor, temperature: float, seed: int) -> torch.Tensor:
        return self.flat(1, value=z[0, 0] + 10 * temperature + seed)

    def sharpen(self, images: np.ndarray, temperature: float, seed: int) -> torch.Tensor:
        self.need("layer")
        return torch.from_numpy(images) // 4


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def tones(picture: Image.Image) -> list[int]:
    """The red value in the middle of each image of a line."""
    columns = np.asarray(picture)[4]
    edges = np.flatnonzero((columns == 255).all(1))
    parts = np.split(columns[:, 0], edges)
    return [int(part[len(part) // 2]) for part in parts if len(part) > 1]


def test_an_own_image_is_cut_resized_encoded_and_sharpened():
    oblong = Image.new("RGB", (90, 30), (0, 0, 0))
    oblong.paste((200, 200, 200), (30, 0, 60, 30))
    picture, line = explore.own(Fake(), file_of(oblong), 0.5, 3)
    assert tones(picture) == [200, 2 + 5 + 3, 50]
    assert "reconstructed at temperature 0.5, your image sharpened" in line
    assert line.endswith("Encoded: 5 numbers, standard deviations 0.25 to 1.")
    grey = Image.new("L", (9, 8), 120)
    picture, line = explore.own(Fake(1, 4, "layer"), file_of(grey), 0, 0)
    assert tones(picture) == [85, 170]  # levels 1 and 2
    assert "temperature 0; this model has no layer that sharpens. Encoded" in line


def test_what_is_no_image_is_one_line():
    for content, says in {
        None: "Choose an image above",
        b"text": r"The file cannot be shown \(not an image\): choose",
        file_of(Image.new("RGB", (50, 50)))[:80]: "The file cannot be shown",
    }.items():
        with user_error(says):
            explore.own(Fake(), content, 0.5, 0)


def test_samples_and_walks_are_sheets_as_wide_as_fits():
    picture, line = explore.samples(Fake(), 1.0, 5)
    assert tones(picture) == [15] * 8 and line == "Temperature 1, seed 5"
    assert tones(explore.walk(Fake(), 7)[0]) == [7] * 8


def test_what_the_command_refuses(fails, monkeypatch, vae_run):
    fails("shows one model, or two side by side, not 3", "explore", *[vae_run.model] * 3)
    monkeypatch.setitem(sys.modules, "panel", None)
    fails(r'made by Panel, which is not here: pip install "vaeglow\[explore\]"', "explore", vae_run.model)


def shown(page: object, kind: type) -> list:
    return [pane.object for pane in page.select(kind)]


def test_the_page_follows_its_inputs_and_explains_what_a_model_lacks():
    panel = pytest.importorskip("panel")
    page = explore.page([("a/b.safetensors", Fake()), ("cifar10_jpeg/glow", Fake(lacks="latent"))])
    assert [tones(picture)[0] for picture in shown(page, panel.pane.PNG)] == [5, 0, 5]
    words = " ".join(shown(page, panel.pane.Markdown))
    assert all(text in words for text in ("no latent", "## a/b.safetensors", "## cifar10_jpeg/glow"))
    assert words.count("Choose an image above") == 2
    (seed,), (image,) = page.select(panel.widgets.IntInput), page.select(panel.widgets.FileInput)
    seed.value = 4
    image.value = file_of(Image.new("L", (20, 20), 100), "JPEG")
    assert [tones(picture)[0] for picture in shown(page, panel.pane.PNG)] == [9, 4, 100, 9]


def free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_the_page_is_on_this_machine_only_and_names_no_other(fails, glow_run):
    pytest.importorskip("panel")
    line = ""
    while not line:  # where another process takes the port first, try another port
        port = free_port()
        words = ("explore", str(glow_run.model), "--port", str(port))
        process = Popen([sys.executable, "-m", "vaeglow", *words], cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True)
        line = process.stdout.readline()
        assert line or f"port {port} cannot be used" in process.stderr.read()
    with process:
        try:
            assert line == f"http://127.0.0.1:{port} until Ctrl-C\n"
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=LIMIT).read().decode()
            fails(f"port {port} cannot be used .*: give another --port", *words)
        finally:
            process.kill()
    assert "<title>vaeglow explore</title>" in page
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//|@import", page)
