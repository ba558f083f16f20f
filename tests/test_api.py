"""`vaeglow.load(path)` and what a model in hand can do."""

import json
import os
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from refusals import user_error
from run_tools import CHANNELS, SIZE, Run, same_tensors
from waiting import ROOT, python, text_of

import vaeglow
from docs.examples import own_loop
from vaeglow.data.loader import EVALUATION, dequantise, step_generator
from vaeglow.errors import Interrupted
from vaeglow.files import read_json
from vaeglow.models.bounds import quantise
from vaeglow.training.trainer import Trainer

SHAPE = (CHANNELS, SIZE, SIZE)
TUTORIAL = json.loads(text_of("docs/tutorial.ipynb"))["cells"]
CODE = [cell for cell in TUTORIAL if cell["cell_type"] == "code"]
KINDS = ["vae", "vaeglow", "glow", "vaeglow_beyond", "residual_flow"]


@pytest.fixture(scope="session")
def loaded(request) -> dict[str, vaeglow.Model]:
    return {name: vaeglow.load(str(request.getfixturevalue(f"{name}_run").model), device="cpu") for name in KINDS}


@pytest.fixture(params=KINDS)
def model(request, loaded):
    return loaded[request.param]


def test_samples_are_images_and_a_function_of_the_seed(model):
    first = model.sample(16, temperature=0.5, seed=0)
    assert first.shape == (16, *SHAPE) and first.dtype == torch.uint8 and first.device.type == "cpu"
    assert torch.equal(first, model.sample(16, temperature=0.5, seed=0))
    assert not torch.equal(first, model.sample(16, temperature=0.5, seed=1))
    assert len(first.flatten(1).unique(dim=0)) == 16
    assert len(first.unique()) > 20  # not clipped to black and white


def test_bits_per_dim_is_a_number_an_image(model, images):
    bits = model.bits_per_dim(images)
    assert bits.shape == (12,) and bits.is_floating_point() and bits.device.type == "cpu"
    assert torch.isfinite(bits).all() and (bits > 0).all() and (bits < 12).all()
    assert torch.equal(bits, model.bits_per_dim(images, importance_samples=1, seed=0))
    assert not torch.equal(bits, model.bits_per_dim(images, seed=1))


def test_pixel_values_beyond_the_levels(loaded, images, monkeypatch):
    vae = loaded["vae"]
    monkeypatch.setattr(vae.network, "levels", 4)
    with user_error("out of range: the model knows 4 levels"):
        vae.bits_per_dim(images)
    assert torch.isfinite(vae.bits_per_dim(images // 64)).all()


def test_glow_gives_the_images_back(loaded, images):
    assert torch.equal(loaded["glow"].reconstruct(images), images)


@pytest.mark.parametrize("name", ["vae", "vaeglow"])
def test_reconstructions_are_of_the_posterior_mean(name, loaded, images):
    found = loaded[name].reconstruct(images, seed=4)
    network = loaded[name].network
    assert found.shape == images.shape and found.dtype == torch.uint8
    vae = getattr(network, "vae", network)
    y = dequantise(images, 256, step_generator(4, EVALUATION, 0))
    with torch.no_grad():
        mean = vae.decode(vae.encode(y)[0])[0]  # g_mu(E[z|y])
        expected = mean if vae is network else network.layer.inverse(mean)
    assert torch.equal(found, quantise(expected, 256))


def test_what_cannot_be_sampled_or_interpolated(loaded, images):
    glow, vae = loaded["glow"], loaded["vae"]
    for says, ask in {
        "glow is a glow: interpolate needs a model with one VAE latent": lambda: glow.interpolate(1, 2),
        "not 0 and 5": lambda: vae.interpolate(0, 5),
        "not 2 and 1": lambda: vae.interpolate(2, 1),
        "no space 'pixels' to interpolate in: take prior or latent": lambda: vae.interpolate(1, 2, space="pixels"),
        "0 samples": lambda: glow.sample(0),
        "temperature": lambda: vae.sample(1, temperature=float("nan")),
        "not 15": lambda: vae.bits_per_dim(images, importance_samples=15),
    }.items():
        with user_error(says):
            ask()


def pil(images: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]


def test_images_may_be_a_tensor_an_array_or_from_pil(loaded, images):
    model = loaded["vae"]
    for form in (images.numpy(), images.flip(0).numpy()[::-1], pil(images)):
        assert torch.equal(model.bits_per_dim(form), model.bits_per_dim(images))
        assert torch.equal(model.reconstruct(form), model.reconstruct(images))


def test_what_are_no_images(loaded, images, tmp_path):
    one = pil(images)
    vae = loaded["vae"]
    path = tmp_path / "never.png"
    takers = (vae.bits_per_dim, vae.reconstruct, vaeglow.train, lambda images: vaeglow.save_images(images, path))
    shape = r"shape \[N, C, H, W\] with C 1 or 3, not "
    for wrong, says in [
        (one[0], "must be uint8, not Image: give a tensor or array"),
        ([], "not list: give"),
        (list(images), "not list: give .* or a list of PIL images, all RGB or all L"),
        ([image.convert("P") for image in one], "not list: give"),
        ([one[0], one[1].convert("L")], "not list: give"),
        ([one[0], one[1].resize((9, 8))], r"must have one size, not \[\(8, 8\), \(9, 8\)\]: resize them"),
        (images.numpy() / 255, "must be uint8, not float64"),
        (images[0], rf"{shape}\[3, 8, 8\]"),
        (images[:0], rf"{shape}\[0, 3, 8, 8\]"),
        (images.permute(0, 2, 3, 1), rf"{shape}\[12, 8, 8, 3\]"),
    ]:
        for take in takers:
            with user_error(says):
                take(wrong)
    for take in takers[:2]:
        with user_error(r"shape \[N, 3, 8, 8\], not \[12, 1, 8, 8\]"):
            take(images[:, :1])
    assert not path.exists()


def test_a_model_says_what_it_is(loaded, vaeglow_run, joint_run):
    size = vaeglow_run.summary()["parameters"]
    run = "preset tiny, dataset blobs, model vaeglow, seed 0, 2+2 epochs"
    assert repr(loaded["vaeglow"]) == f"<vaeglow.Model: {run}, {size:,} parameters, images 3x8x8>"
    assert "vaeglow_joint, seed 0, 2 epochs, " in repr(vaeglow.load(joint_run.model))


def test_saved_images_are_read_back(tmp_path, images):
    folder, file = tmp_path / "a", tmp_path / "grey.png"
    vaeglow.save_images(images, folder)
    for path, image in zip(sorted(folder.iterdir()), images, strict=True):
        assert np.array_equal(Image.open(path), image.permute(1, 2, 0))
    vaeglow.save_images(pil(images), file)
    assert Image.open(file).size == (35, 26)
    vaeglow.save_images(images[:3, :1], file)  # a picture is replaced
    grid = np.asarray(Image.open(file))
    assert grid.shape == (17, 17, 3) and (grid[9:, 9:] == 255).all()  # a blank in the place of a fourth
    assert np.array_equal(grid[:8, 9:], images[1, :1].permute(1, 2, 0).expand(-1, -1, 3))
    for name, says in {"a": "a already exists", "g.jpg": "pictures are written as PNG: name it g"}.items():
        with user_error(says):
            vaeglow.save_images(images, tmp_path / name)


def test_pictures_cannot_replace_the_working_folder(tmp_path, images, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with user_error("already exists: give a new or empty folder"):
        vaeglow.save_images(images, ".")


TINY = yaml.safe_load("""
vae:
  network: {num_scale: 2, base_dim: 4, fc_dim: 8, latent_dim: 4}
  prior: {layers: 2, width: 8}
  training: {epochs: 1, snapshots: []}
vaeglow: {layer: {depth: 2, width: 8}, training: {epochs: 1, snapshots: [0.5]}}
""")


def test_train_is_the_workflows_training_and_goes_on_in_its_folder(tmp_path, images, capsys, monkeypatch):
    torch.set_num_threads(2)
    how = {"seed": 3, "models": TINY}
    folder = tmp_path / "here"
    model = vaeglow.train(images, folder=folder, **how)
    assert torch.get_num_threads() == 2
    assert "preset demo, dataset images, model vaeglow, seed 3, 1+1 epochs" in repr(model)
    runs = [None]
    for name in ("vae", "vaeglow"):
        config = read_json(folder / f"demo/images/{name}/seed3/config.json")
        runs.append(Run(tmp_path / name, config, folder / "data", runs[-1]).train())
    _, base, whole = runs
    assert same_tensors(whole.weights(), model.network.state_dict())
    assert model.about["weights_sha256"] == whole.summary()["weights_sha256"]
    again = vaeglow.train(images.numpy(), "vae", folder=folder, **how)
    assert "resuming at epoch 2" in capsys.readouterr().out
    assert same_tensors(again.network.state_dict(), base.weights())
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with ThreadPoolExecutor() as pool:  # as in a notebook's widget: signals belong to the main thread
        elsewhere = pool.submit(vaeglow.train, pil(images), "vae", **how).result()
    assert same_tensors(elsewhere.network.state_dict(), base.weights())
    assert not list(temporary.iterdir())
    again.save(tmp_path / "saved.safetensors")
    saved = vaeglow.load(tmp_path / "saved.safetensors")
    assert saved.about == again.about and same_tensors(saved.network.state_dict(), base.weights())


def test_without_a_folder_an_interrupt_keeps_nothing_and_says_so(images, tmp_path, monkeypatch):
    plain = Trainer.train_step

    def train_step(self: Trainer, *words: object) -> None:
        plain(self, *words)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    for folder, says in (("", "^nothing is kept: with a folder"), (tmp_path, "^SIGTERM: state saved, run again")):
        with pytest.raises(Interrupted, match=says):
            vaeglow.train(images, "vae", folder=folder, models=TINY)


def test_train_takes_none_of_its_data_from_a_dataset_called_images(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", "config")
    own = "\n  images: {kind: folder, root: photos, size: 32, test_fraction: 0.1}\n"
    path = Path("config/embedded.yaml")
    path.write_text(text_of("config/embedded.yaml").replace("datasets:\n", f"datasets:{own}", 1))
    model = vaeglow.train(images, "vae", models=TINY, seed=np.int64(3))
    assert "dataset images, model vae, seed 3" in repr(model)
    assert torch.equal(model.sample(2, seed=np.int64(1)), model.sample(2, seed=1))


def test_what_train_refuses(images):
    for says, options in {
        "two or more square images are needed, not": {"images": images[:1]},
        r"not \[12, 3, 4, 8\]": {"images": images[:, :, :4]},
        "unknown key 'overrides.epochs'": {"epochs": 3},
        "unknown preset 'dem'": {"preset": "dem"},
        "needs a side that is a power of two": {"images": images[:, :, :6, :6]},
        r"unknown model 'vaeglo' \(did you mean 'vaeglow'\?\)": {"model": "vaeglo"},
        "uses one process: set training.devices to 1": {"training": {"devices": 2}},
    }.items():
        with user_error(says):
            vaeglow.train(**{"images": images, **options})


def test_the_package_offers_its_names():
    names = {"FlowPrior", "Glow", "GlowLayer", "Model", "UserError", "load", "save_images", "train"}
    assert names == set(vaeglow.__all__) == set(dir(vaeglow)) and all(callable(getattr(vaeglow, one)) for one in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vaeglow.nothing  # noqa: B018


def test_the_example_of_a_loop_of_ones_own():
    losses, samples = own_loop.train(steps=60, batch=32)
    assert losses[-1] < losses[0] - 20 and samples.shape == (64, 1, 8, 8) and samples.isfinite().all()


def test_the_tutorial_at_a_tiny_size(tmp_path):
    """Its code cells, in one namespace: no Jupyter is needed; the cell of sizes is followed by smaller ones."""
    tiny = {"SIZE": 8, "TRAIN": 100, "TEST": 40, "MODELS": TINY, "STEPS": 10, "FOLDER": tmp_path / "run"}
    found: dict[str, Any] = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), f"tutorial.ipynb, {cell['id']}", "exec"), found)
        if "parameters" in cell["metadata"].get("tags", []):
            assert tiny.keys() <= found.keys()
            found |= tiny
    assert found["bits"]["VAEGlow"] < found["bits"]["VAE"] - 0.1
    assert found["samples"].shape == (32, 3, 8, 8) and found["samples"].dtype == torch.uint8
    assert found["before"].keys() == found["after"].keys() == {"Glow layer", "checkerboard"}
    for name, start in found["before"].items():
        assert start == pytest.approx(found["bits"]["VAE"], abs=0.05)  # the identity on the VAE, other noise
        assert 0 < found["after"][name] < start - 0.1
    assert found["inverse_error"] < 1e-4 and found["log_det_error"] < 1e-2
    assert [row.shape for row in found["rows"]] == 2 * [(16, 3, 8, 8)] and not torch.equal(*found["rows"])


def test_the_tutorial_is_kept_as_one_run_left_it():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {output["output_type"] for cell in CODE for output in cell["outputs"]}
    assert kinds == {"stream", "execute_result"}  # no error
    text = "".join("".join(cell["source"]) for cell in TUTORIAL if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\((?!https:)([^)]+)\)", text)
    assert links and all((ROOT / "docs" / link).exists() for link in links)


def test_cuda_without_a_gpu(vae_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, says in {"cuda": "torch sees no GPU: use auto or cpu", "gpu": "unknown device 'gpu'"}.items():
        with user_error(says):
            vaeglow.load(vae_run.model, device=device)
    assert vaeglow.load(vae_run.model, device="auto").device.type == "cpu"


LIGHT = """
vaeglow.__main__ vaeglow.config.check vaeglow.config.plan vaeglow.files vaeglow.results vaeglow.steps.cli
vaeglow.snakemake_errors vaeglow.time_left vaeglow.verify vaeglow.reporting.claims vaeglow.reporting.figures
vaeglow.reporting.tables benchmarks.__main__
"""
WORKING = "vaeglow vaeglow.training.run vaeglow.training.timing vaeglow.evaluation.trained vaeglow.weights"
PLANNING = """
vaeglow vaeglow.config.check vaeglow.config.plan vaeglow.reporting.claims vaeglow.snakemake_errors vaeglow.time_left
"""
HEAVY = {"pandas", "scipy", "torchvision", "matplotlib", "sklearn", "skimage", "pytorch_fid"}
ALL_KINDS = "from vaeglow.config.registry import HOMES, kinds_of; assert all(map(kinds_of, HOMES))"


@pytest.mark.parametrize(
    ("modules", "unneeded", "more"),
    [(LIGHT, {"torch"}, ALL_KINDS), (WORKING, HEAVY, ""), (PLANNING, {"torch", *HEAVY}, "")],
)
def test_modules_load_only_what_they_need(modules, unneeded, more):
    """Nor does the registry, which finds all kinds, nor the benchmark, whose peers' memory is not the parent's."""
    code = f"import sys, {', '.join(modules.split())}\n{more}\nprint({unneeded!r} & {{*sys.modules}})"
    done = python("-c", code)
    assert (done.stdout, done.stderr) == ("set()\n", "")
