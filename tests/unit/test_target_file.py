"""Target files keep the image in which a target was drawn; what does not fit is refused with a sentence."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from gating.errors import TargetError
from gating.targets.spec import TargetSpec
from gating.targets.target_file import read_targets, write_targets
from tests.engine_bench import BOX, drawn_on
from tests.factories import anatomy, frame


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "targets.json"
    write_targets(path, [drawn_on(frame(0)), drawn_on(frame(0), "second")])
    return path


def packed(raw):
    return base64.b64encode(zlib.compress(raw)).decode()


def change(file, **fields):
    plain = json.loads(file.read_text())
    next(iter(plain["images"].values())).update(fields)
    file.write_text(json.dumps(plain))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_target_comes_back_with_its_image(tmp_path, dtype):
    sent = frame(0, anatomy(dtype=dtype))
    write_targets(tmp_path / "t.json", [drawn_on(sent)])
    (got,) = read_targets(tmp_path / "t.json")
    np.testing.assert_array_equal(got.contour_px, BOX)
    np.testing.assert_array_equal(got.image.pixels, sent.pixels)
    assert got.image.pixels.dtype == dtype
    assert got.image.mismatch(sent.header) is None
    assert got.image.content_hash == sent.header.content_hash


def test_targets_of_one_image_share_it_in_the_file(file):
    assert len(json.loads(file.read_text())["images"]) == 1
    first, second = read_targets(file)
    assert first.image is second.image


def test_a_target_file_is_readable_by_its_owner_alone(file):
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_without_images_is_read_as_before(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"targets": [{"name": "GTV", "contour_px": BOX.tolist()}]}))
    (target,) = read_targets(path)
    assert (target.name, target.image) == ("GTV", None)


def test_a_target_without_an_image_stays_without(tmp_path):
    write_targets(tmp_path / "t.json", [TargetSpec("GTV", BOX)])
    assert read_targets(tmp_path / "t.json")[0].image is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"zlib": packed(anatomy(seed=5).tobytes())}, "content_hash of the pixels is"),
        ({"content_hash": "0" * 16}, "0000000000000000 is needed"),
        ({"zlib": packed(bytes(2**26))}, "zlib holds more than 18432 bytes; 96x96 uint16 needs 18432"),
        ({"zlib": packed(bytes(7))}, "zlib holds 7 bytes; 96x96 uint16 needs 18432"),
        ({"zlib": packed(bytes(18432))[:16]}, "zlib holds"),
        ({"zlib": "no base64!"}, "zlib cannot be unpacked"),
        ({"shape": [96, 5000]}, "<= 4096"),
        ({"shape": [96]}, "length 2"),
        ({"dtype": "float64"}, "float64"),
        ({"pixel_spacing_mm": [0.0, 2.0]}, "> 0"),
        ({"image_position_mm": [0.0, 1e9, 0.0]}, "<= 10000"),
        ({"more": 1}, "unknown field"),
    ],
    ids=["pixels", "hash", "bomb", "short", "cut", "base64", "size", "shape", "dtype", "spacing", "position", "field"],
)
def test_a_damaged_image_is_refused_with_a_sentence(file, fields, sentence):
    change(file, **fields)
    with pytest.raises(TargetError) as refused:
        read_targets(file)
    assert sentence in str(refused.value)
    assert str(file) in str(refused.value)


def test_an_image_that_is_missing_is_refused(file):
    plain = json.loads(file.read_text())
    file.write_text(json.dumps({**plain, "images": {}}))
    with pytest.raises(TargetError, match="KeyError"):
        read_targets(file)


def test_more_images_than_targets_can_be_are_refused(file):
    plain = json.loads(file.read_text())
    (image,) = plain["images"].values()
    file.write_text(json.dumps({**plain, "images": {str(n): image for n in range(11)}}))
    with pytest.raises(TargetError, match="holds 11 images; 10 are possible"):
        read_targets(file)
