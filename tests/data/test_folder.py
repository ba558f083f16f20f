"""Dataset kind `folder`: the user's own images; and single image files."""

import io
import itertools
import os
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from fid_tools import one_line
from PIL import Image
from refusals import user_error

from vaeglow.data import complete, folder
from vaeglow.data.arrays import SPLITS
from vaeglow.data.folder import read_or_reason, read_square

GRADIENT = np.linspace(0, 255, 4800).reshape(40, 40, 3).astype(np.uint8)


@pytest.fixture
def picture(tmp_path):
    """`picture(image, size, channels, suffix, **how to save it)`: what is read of an image written to a file."""

    def written_and_read(image, size, channels, suffix="png", **options):
        image.save(tmp_path / f"x.{suffix}", **options)
        return read_square(tmp_path / f"x.{suffix}", size, channels)

    return written_and_read


WRITTEN = {*itertools.product(["png", "bmp", "webp", "tiff", "gif", "jpg"], ["RGB", "L", "P", "1"])}


@pytest.mark.parametrize("suffix, mode", sorted(WRITTEN - {("jpg", "P")}))
def test_formats_and_modes_give_the_same_picture(picture, suffix, mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    options = {"lossless": True} if suffix == "webp" else {}
    decoded = picture(image, 40, 3, suffix, **options)
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    lossy = suffix == "jpg" or (suffix == "gif" and mode == "RGB")
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - expected).mean() < (12 if lossy else 0.01)


RED = (100, 0, 0)
# Mode, a flat colour, suffix and how to save it; what comes of it.
FLAT = [
    ("RGBA", (*RED, 0), "png", {}, (255, 255, 255)),  # alpha is composited on white
    ("RGBA", (*RED, 255), "png", {}, RED),
    ("RGBA", (*RED, 128), "png", {}, (177, 127, 127)),
    ("LA", (7, 0), "png", {}, (255, 255, 255)),
    ("P", 0, "png", {"transparency": 0}, (255, 255, 255)),
    ("CMYK", (155, 255, 255, 0), "tiff", {}, RED),
]


@pytest.mark.parametrize("mode, colour, suffix, options, expected", FLAT)
def test_alpha_and_cmyk(picture, mode, colour, suffix, options, expected):
    decoded = picture(Image.new(mode, (9, 9), colour), 3, 3, suffix, **options)
    assert np.abs(decoded - np.reshape(expected, (3, 1, 1))).max() <= (3 if mode == "CMYK" else 1)


def test_luminance_is_itus(picture):
    image = Image.new("RGB", (20, 20), (200, 100, 50))
    assert (picture(image, 4, 1) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_not_clipped(picture, suffix):
    values = np.array([[0, 257], [32896, 65535]], dtype=np.uint16)
    assert picture(Image.fromarray(values), 2, 1, suffix).tolist() == [[[0, 1], [128, 255]]]


def test_floats_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "f.tiff")
    assert "range" in read_or_reason(tmp_path / "f.tiff", 2, 1)


def test_exif_orientation_is_applied(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    squares = np.array([[0, 85], [170, 255]], dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    decoded = picture(Image.fromarray(squares), 16, 1, "jpg", quality=100, exif=exif)
    assert np.abs(decoded[0, 4::8, 4::8].astype(int) - [[170, 0], [255, 85]]).max() <= 2


def test_the_centre_is_cut_and_resized_with_antialiasing(picture):
    pixels = np.zeros((64, 128), dtype=np.uint8)
    pixels[:, 32:96] = np.indices((64, 64)).sum(0) % 2 * 255  # a checkerboard in the centre
    for turned in (pixels, pixels.T):
        decoded = picture(Image.fromarray(turned), 16, 1)
        assert np.abs(decoded.astype(int) - 127).max() <= 8  # nearest-neighbour or bilinear without it: 0 or 255
    step = np.array([[100, 100, 100, 200]] * 4, dtype=np.uint8)
    wanted = [93, 146]  # Lanczos overshoots; means of two columns would be 100 and 150
    assert picture(Image.fromarray(step), 2, 1).tolist() == [[wanted, wanted]]


def damaged(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 255
    return bytes(changed)


def cut_jpeg(whole: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(GRADIENT).save(file, "JPEG")
    return file.getvalue()[:-300]


# Of a PNG that is not compressed: only a checksum can tell of one other byte.
BROKEN = [
    lambda whole: b"",
    lambda whole: b"text",
    lambda whole: whole[: len(whole) // 2],
    lambda whole: damaged(whole, len(whole) // 2),
    lambda whole: damaged(whole, len(whole) - 13),
    cut_jpeg,
]


@pytest.mark.parametrize("damage", BROKEN)
def test_broken_files_say_why(damage, tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(GRADIENT).save(path, compress_level=0)
    path.write_bytes(damage(path.read_bytes()))
    reason = read_or_reason(path, 8, 3)
    assert isinstance(reason, str)
    assert len(reason.splitlines()) == 1


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [1000, 500])  # 1,600 pixels: Pillow itself warns, then refuses
def test_decompression_bombs_say_why(limit, tmp_path, monkeypatch):
    Image.fromarray(GRADIENT).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert "bomb" in read_or_reason(tmp_path / "x.png", 8, 3)


def fill(folder, values, size=(12, 10)):
    """One flat grey file a value, named so that its sorted order is not the order of values."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new("L", size, value).save(folder / f"{value % 7}-{value}.png")


def build(root, threads=1, **settings):
    """The values of each split in order, and how they were made."""
    settings = complete(
        {
            "kind": "folder",
            "root": str(root),
            "size": 4,
            **settings,
        },
    )
    splits, made = folder.build(settings, root.parent, threads)
    shape = (settings["channels"], 4, 4)
    assert all(images.shape[1:] == shape for images in splits.values())
    return {split: images[:, 0, 0, 0].tolist() for split, images in splits.items()}, made


def test_a_root_of_files_is_split_by_fraction(tmp_path):
    fill(tmp_path / "a" / "deep", range(50))
    fill(tmp_path / "b", range(50, 100), size=(30, 44))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"junk")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/x.png").write_bytes(b"junk")
    (tmp_path / "b/1-50.png").rename(tmp_path / "b/A.JPG")  # as a camera names it; what it is its content says
    values, _ = build(tmp_path, test_fraction=0.2, val_fraction=0.25)
    assert [len(values[split]) for split in SPLITS] == [60, 20, 20]
    assert sorted(itertools.chain(*values.values())) == list(range(100))
    assert min(values["train"][:20]) < 50 <= max(values["train"][:20])  # shuffled: both folders among the first
    other, _ = build(tmp_path, test_fraction=0.2, split_seed=1)
    assert sorted(other["test"]) != sorted(values["test"])


def test_order_does_not_depend_on_the_file_system_nor_on_the_threads(tmp_path, monkeypatch):
    fill(tmp_path / "a", range(20))
    fill(tmp_path / "b", range(20, 40))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    expected = build(tmp_path, test_fraction=0.5, on_broken="skip")
    walk = os.walk

    def backwards(*arguments, **options):
        for parent, folders, names in walk(*arguments, **options):
            folders.sort(reverse=True)
            yield parent, folders, names[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    monkeypatch.setattr("vaeglow.data.arrays.BATCH", 7)
    assert build(tmp_path, 3, test_fraction=0.5, on_broken="skip") == expected


def test_train_and_test_folders(tmp_path):
    fill(tmp_path / "train" / "cats", range(10))
    fill(tmp_path / "test", range(10, 14))
    values, _ = build(tmp_path, channels=1, val_fraction=0.3)
    assert sorted(values["train"] + values["val"]) == list(range(10))
    assert len(values["val"]) == 3
    assert sorted(values["test"]) == [10, 11, 12, 13]
    fill(tmp_path / "val", [99])
    values, _ = build(tmp_path)
    assert values["val"] == [99]
    for key in ("val_fraction", "test_fraction"):
        with user_error(f"`{key}` would do nothing: leave it out"):
            build(tmp_path, **{key: 0.3})


def test_broken_files_are_named_and_counted(tmp_path):
    """Skipped if asked: above, and by the command in `test_dataset_kinds.py`."""
    fill(tmp_path / "test", range(20))
    (tmp_path / "train").mkdir()
    for number in range(4):
        (tmp_path / f"train/broken{number}.jpg").write_bytes(b"\xff\xd8 no more")
    with user_error(r"4 of 24 image files are broken, such as train/broken\d.jpg: .*on_broken"):
        build(tmp_path)
    with user_error("all 4 images of the train split are broken"):
        build(tmp_path, on_broken="skip")


def test_links_do_not_lead_out_nor_make_duplicates(tmp_path):
    root = tmp_path / "root"
    fill(tmp_path / "outside", [200])
    fill(root / "train", range(5))
    fill(root / "test", [10])
    fill(root / "pool", [50])
    links = {
        "out.png": "outside/4-200.png",
        "leak.png": "root/test/3-10.png",
        "in.png": "root/pool/1-50.png",
    }
    for name, target in {**links, "folder": "outside"}.items():
        (root / "train" / name).symlink_to(tmp_path / target)
    values, made = build(root)
    assert sorted(values["train"]) == [0, 1, 2, 3, 4, 50]
    assert values["test"] == [10]
    assert made["links_passed_over"] == 2


# Folders below the root, each with so many images (without one the root is a file), settings, and what is said.
WRONG = yaml.safe_load("""
- [{}, {}, is not a folder]
- [{.: 0}, {test_fraction: 0.1}, holds no image files]
- [{.: 5}, {}, "set the dataset's `test_fraction`"]
- [{.: 3}, {test_fraction: 0.1}, "is 0: too few images"]
- [{.: 1}, {test_fraction: 0.9}, "is 1: too few images"]
- [{.: 6}, {test_fraction: 0.5, val_fraction: 0.1}, "`val_fraction` 0.1 of 3"]
- [{train: 6}, {}, none named test]
- [{train: 6, test: 0}, {}, test holds no image files]
""")


@pytest.mark.parametrize("folders, settings, says", WRONG)
def test_folders_that_will_not_do(tmp_path, folders, settings, says):
    root = tmp_path / "root"
    for name, count in folders.items():
        fill(root / name, range(count))
    if not folders:
        root.touch()
    with user_error(one_line(says)):
        build(root, **settings)


def test_a_folder_without_permission(tmp_path, monkeypatch):
    denied = PermissionError(13, "Permission denied", str(tmp_path))
    monkeypatch.setattr(os, "scandir", Mock(side_effect=denied))  # as root, chmod would not
    with user_error(r"cannot read the folder .*Permission denied"):
        build(tmp_path, test_fraction=0.3)
