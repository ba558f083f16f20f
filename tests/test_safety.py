"""Files and configs of strangers: no code of theirs runs, nothing is read or written where it was not said."""

import ast
import json
import os
import pickle
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from run_tools import ROOT, blobs, initialised, resolved, shipped_config
from safetensors.torch import save
from test_workflow import workflow

from vaeglow.config import merge
from vaeglow.config.check import check_config, outside
from vaeglow.data.arrays import open_split, read_info
from vaeglow.errors import UserError
from vaeglow.evaluation.inception import load_weights, obtain_weights
from vaeglow.files import sha256_json
from vaeglow.results import read_result
from vaeglow.training.checkpoint import read_snapshots
from vaeglow.weights import KEY, SEAL, load_model, tensors_sha256

# ------------------------------------------------------------------------------------------- the source

SOURCES = sorted((ROOT / "vaeglow").rglob("*.py"))
# Each reads a file only after its hash was checked, and says so where it is.
UNPICKLES = {"vaeglow/data/cifar10.py"}
TORCHSCRIPT = {"vaeglow/evaluation/inception.py"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "imp"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("torch.save", "torch.hub.load", "torch.package.PackageImporter", "pd.read_pickle", "yaml.load"),
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_file_unpickles_or_calls_a_shell(path):
    name = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert name in UNPICKLES or not {part.split(".")[0] for part in names} & FORBIDDEN_MODULES
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            flags = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert called not in FORBIDDEN_CALLS and flags.get("shell", "False") == "False"
            assert called != "torch.load" or flags.get("weights_only") == "True"
            assert called != "torch.jit.load" or name in TORCHSCRIPT
            assert called not in ("np.load", "np.save") or flags.get("allow_pickle") == "False"
            assert not called.startswith("tarfile.") or called in ("tarfile.open",)
            assert not called.endswith((".extractall", ".extract", "unpack_archive"))


def test_whatever_a_config_says_is_quoted_in_a_shell_command():
    """Wildcards and paths made of them hold names only, which the schema keeps to letters, digits, `_` and `-`."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow").rglob("*.smk"))]
    commands = [found[1] for text in texts for found in re.findall(r'shell:\n\s+("""|")(.*?)\1', text, re.DOTALL)]
    assert len(commands) == sum(text.count("shell:") for text in texts) > 5
    for field in re.findall(r"\{([^{}]+)\}", "".join(commands)):
        known = field in ("params.data", "params.state", "params.step", "resources.options")  # of names
        of_names = re.split(r"[.\[:]", field)[0] in ("wildcards", "input", "output", "log", "threads")
        assert known or of_names or re.fullmatch(r"(params|resources)\.\w+:q", field), field


# --------------------------------------------------------------------------------------- crafted files


class Payload:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {shlex.quote(str(self.mark))}",)


@pytest.fixture
def mark(tmp_path) -> Path:
    """A file that is there once code of a crafted file has run."""
    mark = tmp_path / "run"
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # it works
    mark.unlink()
    return mark


def refused(read, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_drawn(path: Path) -> str:
    return read_result(path, ("images",)).value("dataset")


def read_model(path: Path) -> object:
    return load_model(path, "cpu")


@pytest.mark.parametrize("read", [read_model, read_snapshots, load_weights, read_drawn])
def test_a_pickle_in_place_of_a_result(read, mark, tmp_path):
    path = tmp_path / "file.npz"
    torch.save({"weight": torch.ones(2), "more": Payload(mark)}, path)
    assert str(path) in refused(read, path)
    path.write_bytes(pickle.dumps(Payload(mark)))
    assert str(path) in refused(read, path)
    assert not mark.exists()


def test_a_pickle_in_place_of_the_inception_weights(mark, tmp_path):
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save({"more": Payload(mark)}, path)
    settings = {"local": str(path), "wheel": None, "url": None}
    assert "which is not the one in" in refused(obtain_weights, settings)
    address = {"address": path.as_uri(), "sha256": "0" * 64}
    assert "instead of" in refused(obtain_weights, settings | {"local": None, "url": address})
    assert not mark.exists()


def test_an_npz_with_objects(mark, tmp_path):
    objects = np.array([Payload(mark)] * 3, dtype=object)
    for name in ("images", "metadata"):
        path = tmp_path / f"{name}.npz"
        np.savez(path, **({"images": np.zeros(3), "metadata": np.array("{}")} | {name: objects}), allow_pickle=True)
        assert str(path) in refused(read_drawn, path)
    assert not mark.exists()


def test_an_array_file_of_objects(mark, tmp_path, blobs_dir):
    data = tmp_path / "data"
    data.mkdir()
    (data / "dataset.json").write_bytes((blobs_dir / "dataset.json").read_bytes())
    np.save(data / "train.npy", np.array([Payload(mark)], dtype=object), allow_pickle=True)
    assert "is not a whole array file" in refused(open_split, data, "train")
    assert not mark.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"name": ' * 50_000, "\x00", "9" * 10_000, '"\\ud800"', "NaN"])
def test_a_crafted_dataset_json(text, tmp_path):
    (tmp_path / "dataset.json").write_text(text)
    refused(read_info, tmp_path)


def tensors_file(header: dict | bytes, data: bytes = bytes(8), length: int | None = None) -> bytes:
    """A safetensors file by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        tensors_file({"a": ENTRY}, length=2**63),
        tensors_file({"a": ENTRY | {"data_offsets": [0, 2**62]}}),
        tensors_file({"a": ENTRY | {"data_offsets": [-8, 0]}}),
        tensors_file({"a": ENTRY | {"shape": [2**40, 2**40]}}),
        tensors_file({"a": ENTRY | {"dtype": "PICKLE"}}),
        tensors_file({"a": ENTRY, "b": ENTRY}),  # the same bytes twice
        tensors_file({"a": ENTRY}, bytes(16)),  # bytes that belong to nothing
        tensors_file({"a": ENTRY, "__metadata__": {KEY: 7}}),
        tensors_file(b"[" * 100_000),
        tensors_file(b"\xff\xfe{}"),
    ],
    ids=range(10),
)
def test_safetensors_with_a_lying_header(content, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert str(path) in refused(load_model, path, "cpu")
    assert str(path) in refused(read_snapshots, path)


def sealed(about: str | dict, tensors: dict[str, torch.Tensor]) -> bytes:
    """A file whose description bears a seal as ours do: anybody can compute one."""
    if isinstance(about, dict):
        about = {"weights_sha256": tensors_sha256(tensors), **about}
        about = json.dumps(about | {SEAL: sha256_json(about)})
    return save(tensors, {KEY: about})


def changed(**changes) -> dict:
    return {"config": merge(resolved("vae"), changes)}


@pytest.mark.parametrize(
    "about",
    [
        *("[" * 100_000, "7", "null", "{"),
        {"weights_sha256": ["x"]},
        *({"config": "rm -rf"}, {"config": {}}, {"config": {"kind": ["vae"], "seed": "x"}}),
        {"config": {"kind": "__import__('os')", "seed": 0}},
        changed(kind="glow"),
        *(changed(network={key: value}) for key, value in (("fc_dim", 2**40), ("latent_dim", -1), ("base_dim", 1.5))),
        *(changed(network={"num_scale": 10**9}), changed(prior={"layers": 10**12}), changed(data={"size": 10**9})),
    ],
    ids=range(16),
)
def test_a_model_whose_description_lies(about, tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = dict(initialised("vae").state_dict())
    path.write_bytes(sealed(about, {name: tensor.contiguous() for name, tensor in tensors.items()}))
    assert str(path) in refused(load_model, path, "cpu")


# --------------------------------------------------------------------------------------------- configs

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
PUBLISHED = ROOT / "resources/published.csv"
HOSTILE = ["..", "../x", "/etc", "a b", "a\n", "\na", "$(touch pwned)", "`id`", "a;b", "a'b", 'a"b', "-x", "", "A", "é"]


@pytest.mark.parametrize(
    "section", ["datasets", "models", "protocols", "presets", "roles", "tables", "figures", "claims"]
)
def test_a_name_that_is_more_than_a_name_is_refused(section):
    for name in HOSTILE:
        config = shipped_config()
        some = {"presets": {}, "roles": "cifar10"}.get(section, next(iter(config[section].values())))
        config[section] = {**config[section], name: some}
        assert section in refused(check_config, config, SCHEMA, PUBLISHED)


EVIL = 'it\'s "a" $(touch pwned) `touch pwned` ; touch pwned | x && {output} {{x}} %s \\ *\n;touch pwned'


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A project in a folder of an evil name, with images in another and evil texts in every place that takes one."""
    folder = tmp_path / "pro'ject $(touch pwned)"
    images = folder / EVIL.replace("/", "")
    images.mkdir(parents=True)
    for k, image in enumerate(blobs(20, 0, 8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(images / f"{k:02}.png")
    dataset = {"kind": "folder", "root": images.name, "size": 8, "test_fraction": 0.2}
    entry = {"title": EVIL, "caption": EVIL}
    overlay = {
        "datasets": {"mine": dataset, **{name: {"local": EVIL} for name in ("cifar10", "fashion_mnist", "celeba64")}},
        "evaluation": {"inception": {"local": EVIL}},
        "tables": {"table2": {**entry, "rows": [{"model": "vae", "temperature": 0.0, "label": EVIL}]}},
        "figures": {"samples": entry},
        "claims": {name: {"statement": EVIL, "reason": EVIL} for name in list(shipped_config()["claims"])[:2]},
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    return folder


def test_evil_texts_stay_words_of_a_command(hostile):
    """The whole workflow, planned: what the shell would make of each command."""
    output = workflow("-n", "-p", "all", "archive", "--configfile", "overlay.yaml", cwd=hostile)
    commands = re.findall(r"(?:python -m vaeglow\.|printf|cp) ?.*?> ?\S+ 2>\S+", output, re.DOTALL)
    assert len(commands) > 50
    words = [word for command in commands for word in shlex.split(command)]
    loose = [word for word in words if "touch" in word and not word.startswith("{")]
    assert loose == [] and any(word.startswith("{") and "touch pwned" in word for word in words)
    for command in commands:
        tail = shlex.shlex(command, posix=True, punctuation_chars=True)
        tail.whitespace_split = True
        assert [token for token in tail if token in (";", "|", "&&", "&", "$(", "`")] == []
    for path in re.findall(r"^    output: (.*)$", output, re.MULTILINE):
        for one in path.split(", "):
            assert one.startswith(("results/", "resources/")) and ".." not in one
    assert "note: datasets.cifar10.local" not in output  # it lies inside
    assert not list(hostile.parent.rglob("pwned"))


# ---------------------------------------------------------------------------- outside the project's folder


def test_places_outside_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("home/images", "images", "a\nb"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home/link").symlink_to(tmp_path)
    places = {"above": "../images", "absolute": "/etc", "home": "~/images", "linked": "link/images", "inside": "images"}
    config = {
        "datasets": {name: {"root": path} for name, path in places.items()} | {"none": {"local": None}},
        "evaluation": {"inception": {"local": "w.pth", "url": {"address": "file:///etc/passwd"}}},
    }
    lines = outside(config, tmp_path / "home")
    outer = [f"datasets.{name}.root" for name in ("above", "absolute", "home", "linked")]
    assert [line.split()[1] for line in lines] == ["evaluation.inception.url.address", *outer]
    (line,) = outside({"datasets": {"x": {"root": "../a\nb"}}}, tmp_path / "home")
    assert "\n" not in line


def test_sources_outside_are_said(tmp_path):
    """Files among a dataset's sources that are there; not addresses, and nothing where `local` stands in for them."""
    home = tmp_path / "home"
    other = tmp_path / "an other"
    (home / "mine").mkdir(parents=True)
    other.mkdir()
    sources = ["mine", str(other), other.as_uri(), str(tmp_path / "absent"), "https://example.org/a.zip"]
    config = {"datasets": {"faces": {"local": None, "sources": sources}}}
    expected = f"note: datasets.faces.sources is outside this folder: {str(other)!r} is read"
    assert outside(config, home) == [expected] * 2
    config["datasets"]["faces"]["local"] = "mine"
    assert outside(config, home) == []
