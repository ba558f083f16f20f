"""Dataset kind `folder`: the user's own images; and single image files."""

import io
import os
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from vaeglow.data import complete, folder
from vaeglow.data.folder import read_or_reason, read_square
from vaeglow.errors import UserError

GRADIENT = np.linspace(0, 255, 4800).reshape(40, 40, 3).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tiff", "gif", "jpg"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_formats_and_modes_give_the_same_picture(tmp_path, suffix, mode):
    image = Image.fromarray(GRADIENT).convert("L" if (suffix, mode) == ("jpg", "P") else mode)
    image.save(tmp_path / f"x.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    found = read_square(tmp_path / f"x.{suffix}", 40, 3)
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert found.dtype == np.uint8 and found.shape == (3, 40, 40)
    lossy = suffix == "jpg" or (suffix == "gif" and mode == "RGB")
    assert np.abs(found.astype(int) - expected).mean() < (12 if lossy else 0.01)


def test_alpha_is_composited_on_white_and_luminance_is_itus(tmp_path):
    Image.new("RGB", (20, 20), (200, 100, 50)).convert("CMYK").save(tmp_path / "x.tiff")
    assert np.abs(read_square(tmp_path / "x.tiff", 4, 3)[:, 2, 2].astype(int) - (200, 100, 50)).max() <= 3
    Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / "x.png")
    assert (read_square(tmp_path / "x.png", 4, 1) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()
    for alpha, expected in ((0, (255, 255, 255)), (255, (100, 0, 0)), (128, (177, 127, 127))):
        Image.new("RGBA", (9, 9), (100, 0, 0, alpha)).save(tmp_path / "x.png")
        assert np.abs(read_square(tmp_path / "x.png", 3, 3)[:, 1, 1].astype(int) - expected).max() <= 1
    Image.new("LA", (9, 9), (7, 0)).save(tmp_path / "x.png")
    assert (read_square(tmp_path / "x.png", 3, 1) == 255).all()
    palette = Image.new("P", (9, 9), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "x.png", transparency=0)
    assert (read_square(tmp_path / "x.png", 3, 3) == 255).all()


def test_16_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257], [32896, 65535]], dtype=np.uint16)
    for suffix in ("png", "tiff"):
        Image.fromarray(values).save(tmp_path / f"x.{suffix}")
        assert read_square(tmp_path / f"x.{suffix}", 2, 1)[0].tolist() == [[0, 1], [128, 255]]
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "f.tiff")
    assert "range" in read_or_reason(tmp_path / "f.tiff", 2, 1)


def test_exif_orientation_is_applied_and_the_centre_cut_and_resized_with_antialiasing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    squares = np.kron(np.array([[0, 85], [170, 255]], dtype=np.uint8), np.ones((8, 8), np.uint8))
    Image.fromarray(squares).save(tmp_path / "x.jpg", quality=100, exif=exif)
    found = read_square(tmp_path / "x.jpg", 16, 1)[0, 4::8, 4::8].astype(int)
    assert np.abs(found - [[170, 0], [255, 85]]).max() <= 2
    pixels = np.zeros((64, 128), dtype=np.uint8)
    pixels[:, 32:96] = np.indices((64, 64)).sum(0) % 2 * 255  # a checkerboard in the centre
    for turned in (pixels, pixels.T):
        Image.fromarray(turned).save(tmp_path / "x.png")
        found = read_square(tmp_path / "x.png", 16, 1).astype(int)
        assert np.abs(found - 127).max() <= 8  # nearest-neighbour or bilinear without antialiasing: 0 or 255


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_files_and_decompression_bombs_say_why(tmp_path, monkeypatch):
    path, jpeg = tmp_path / "x.png", io.BytesIO()
    Image.fromarray(GRADIENT).save(path, compress_level=0)  # only a checksum can tell of one other byte
    Image.fromarray(GRADIENT).save(jpeg, "JPEG")
    whole = path.read_bytes()
    damaged = [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in (len(whole) // 2, len(whole) - 13)]
    for content in (b"", b"text", whole[: len(whole) // 2], *damaged, jpeg.getvalue()[:-300]):
        path.write_bytes(content)
        reason = read_or_reason(path, 8, 3)
        assert isinstance(reason, str) and reason and "\n" not in reason
    path.write_bytes(whole)
    for limit in (1000, 500):  # 1,600 pixels: Pillow itself warns, then refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "bomb" in read_or_reason(path, 8, 3)


def _fill(where, values, size=(12, 10)):
    """One flat grey file a value, named so that its sorted order is not the order of values."""
    where.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new("L", size, value).save(where / f"{value % 7}-{value}.png")


def _build(root, threads=1, **settings):
    settings = complete("mine", {"kind": "folder", "root": str(root), "size": 4, **settings})
    return folder.build(settings, root.parent, threads)


def _values(images):
    return images[:, 0, 0, 0].tolist()


def test_a_root_of_files_is_split_by_fraction(tmp_path):
    _fill(tmp_path / "a" / "deep", range(0, 50))
    _fill(tmp_path / "b", range(50, 100), size=(30, 44))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"junk")
    splits, source = _build(tmp_path, test_fraction=0.2, val_fraction=0.25)
    values = {split: _values(images) for split, images in splits.items()}
    assert {s: len(v) for s, v in values.items()} == {"train": 60, "val": 20, "test": 20}
    assert sorted(values["train"] + values["val"] + values["test"]) == list(range(100))
    assert splits["train"].shape == (60, 3, 4, 4) and source["broken_files"] == {}
    assert min(values["train"][:20]) < 50 <= max(values["train"][:20])  # shuffled: both folders among the first
    other = _build(tmp_path, test_fraction=0.2, split_seed=1)[0]
    assert sorted(_values(other["test"])) != sorted(values["test"]) and len(other["val"]) == 0


def test_order_does_not_depend_on_the_file_system_nor_on_the_threads(tmp_path, monkeypatch):
    _fill(tmp_path / "a", range(20))
    _fill(tmp_path / "b", range(20, 40))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    expected = _build(tmp_path, test_fraction=0.5, on_broken="skip")
    assert expected[1]["broken_files"] == {"bad.png": "not an image"}
    walk = os.walk

    def backwards(*arguments, **options):
        for parent, folders, names in walk(*arguments, **options):
            folders.sort(reverse=True)
            yield parent, folders, sorted(names, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    monkeypatch.setattr("vaeglow.data.arrays.BATCH", 7)
    found = _build(tmp_path, threads=3, test_fraction=0.5, on_broken="skip")
    assert _values(found[0]["train"]) == _values(expected[0]["train"]) and found[1] == expected[1]


def test_train_and_test_folders(tmp_path):
    _fill(tmp_path / "train" / "cats", range(10))
    _fill(tmp_path / "test", range(10, 14))
    splits, _ = _build(tmp_path, channels=1, val_fraction=0.3)
    values = {split: sorted(_values(images)) for split, images in splits.items()}
    assert sorted(values["train"] + values["val"]) == list(range(10)) and values["test"] == [10, 11, 12, 13]
    assert splits["train"].shape == (7, 1, 4, 4) and len(_build(tmp_path)[0]["val"]) == 0
    _fill(tmp_path / "val", [99])
    assert _values(_build(tmp_path)[0]["val"]) == [99]
    for key in ("val_fraction", "test_fraction"):
        with pytest.raises(UserError, match=f"`{key}` would do nothing: leave it out"):
            _build(tmp_path, **{key: 0.3})


def test_broken_files_are_named_and_counted(tmp_path):
    """Skipped if asked: above, and by the command in `test_dataset_kinds.py`."""
    _fill(tmp_path, range(20))
    for i in range(4):
        (tmp_path / f"broken{i}.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(UserError, match=r"4 of 24 image files are broken, such as broken\d.jpg: .*on_broken"):
        _build(tmp_path, test_fraction=0.25)
    (tmp_path / "train").mkdir()
    _fill(tmp_path / "test", [1])
    (tmp_path / "broken0.jpg").rename(tmp_path / "train" / "broken0.jpg")
    with pytest.raises(UserError, match="all 1 images of the train split are broken"):
        _build(tmp_path, on_broken="skip")


def test_links_do_not_lead_out_nor_make_duplicates(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    _fill(outside, [200])
    _fill(root / "train", range(5))
    _fill(root / "test", [10])
    _fill(root / "pool", [50])
    (root / "train" / "out.png").symlink_to(outside / "4-200.png")
    (root / "train" / "folder").symlink_to(outside)
    (root / "train" / "leak.png").symlink_to(root / "test" / "3-10.png")
    (root / "train" / "in.png").symlink_to(root / "pool" / "1-50.png")
    splits, source = _build(root)
    assert sorted(_values(splits["train"])) == [0, 1, 2, 3, 4, 50] and _values(splits["test"]) == [10]
    assert source["links_passed_over"] == 2


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (lambda r: r.write_text(""), {}, "is not a folder"),
        (lambda r: r.mkdir(), {"test_fraction": 0.1}, "holds no image files"),
        (lambda r: _fill(r, range(5)), {}, "set the dataset's `test_fraction`"),
        (lambda r: _fill(r, range(3)), {"test_fraction": 0.1}, "is 0: too few images"),
        (lambda r: _fill(r, [1]), {"test_fraction": 0.9}, "is 1: too few images"),
        (lambda r: _fill(r, range(6)), {"test_fraction": 0.5, "val_fraction": 0.1}, "`val_fraction` 0.1 of 3"),
        (lambda r: _fill(r / "train", range(6)), {}, "none named test"),
        (lambda r: (_fill(r / "train", range(6)), (r / "test").mkdir()), {}, "test holds no image files"),
    ],
)
def test_folders_that_will_not_do(tmp_path, make, settings, says):
    make(tmp_path / "root")
    with pytest.raises(UserError, match=says) as caught:
        _build(tmp_path / "root", **settings)
    assert "\n" not in str(caught.value)


def test_a_folder_without_permission(tmp_path, monkeypatch):
    denied = PermissionError(13, "Permission denied", str(tmp_path))
    monkeypatch.setattr(os, "scandir", Mock(side_effect=denied))  # as root, chmod would not
    with pytest.raises(UserError, match=r"cannot read the folder .*Permission denied"):
        _build(tmp_path, test_fraction=0.3)
