"""The file of a memory: it comes back as it was, and whatever is wrong with it is one sentence."""

import base64
import contextlib
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.errors import TargetError
from gating.targets.spec import TargetSpec
from gating.targets.target_file import read_targets, write_targets
from gating.tracking.memory_file import MOST_FILE_BYTES, memory_from_plain, memory_to_plain, read_memory, write_memory
from gating.tracking.memory_learning import learn_memory
from gating.tracking.tracker import TrackingError
from tests.memory_bench import TARGET, cine, elapsed, held


@pytest.fixture(scope="module")
def memory():
    return learn_memory(cine(held(40), changes=0.6), elapsed(40), TARGET, (1.5, 1.5))


@pytest.fixture
def plain(memory):
    return json.loads(json.dumps(memory_to_plain(memory)))


def test_a_memory_comes_back_as_it_was(memory, tmp_path):
    write_memory(tmp_path / "memory.json", memory)
    back = read_memory(tmp_path / "memory.json")
    assert back.content_hash == memory.content_hash
    assert back.remarks == memory.remarks
    for ours, theirs in zip(memory.key_frames, back.key_frames, strict=True):
        assert np.array_equal(ours.pixels, theirs.pixels)
        assert ours.pixels.dtype == theirs.pixels.dtype


def test_the_file_is_readable_by_its_owner_alone(memory, tmp_path):
    write_memory(tmp_path / "memory.json", memory)
    assert (tmp_path / "memory.json").stat().st_mode & 0o777 == 0o600


def test_a_target_file_carries_the_memory(memory, tmp_path):
    write_targets(tmp_path / "targets.json", [TargetSpec("tumour", TARGET, memory=memory)])
    (back,) = read_targets(tmp_path / "targets.json")
    assert back.memory.content_hash == memory.content_hash


def test_a_damaged_memory_in_a_target_file_names_the_target(memory, tmp_path):
    write_targets(tmp_path / "targets.json", [TargetSpec("tumour", TARGET, memory=memory)])
    text = (tmp_path / "targets.json").read_text().replace(memory.picture_hash, "nonsense")
    (tmp_path / "targets.json").write_text(text)
    with pytest.raises(TargetError, match=r"memory of tumour: .*picture_hash"):
        read_targets(tmp_path / "targets.json")


def changed(plain, field, value):
    place, _, last = field.rpartition(".")
    part = plain
    for step in filter(None, place.split(".")):
        part = part[int(step) if step.isdigit() else step]
    part[int(last) if last.isdigit() else last] = value
    return plain


def packed(count):
    return base64.b64encode(zlib.compress(bytes(count))).decode()


WRONG = {
    "version": ("memory", 2, "its version is 2; 1 is read"),
    "content hash": ("content_hash", "0" * 16, "content_hash is 0000000000000000, what the file holds has"),
    "a point": ("contour_px.0.0", 38.25, "content_hash is"),
    "picture hash": ("picture_hash", "x", "picture_hash"),
    "side": ("shape", [110, 100_000], r"shape\[1\]"),
    "spacing": ("spacing_mm", [0.0, 1.0], r"spacing_mm\[0\]"),
    "contour": ("contour_px", [[1, 1], [2, 2]], "contour_px"),
    "contour outside": ("contour_px.0", [5e3, 1.0], "reaches beyond the frame"),
    "score": ("rest_score", 1.5, "rest_score"),
    "axis": ("axis", [0.1, 0.1], "axis is .*, of length 0.141; 1 is needed"),
    "no usual": ("usual", [], "usual"),
    "order": ("usual.0.excursion_mm", 500.0, "the excursions must rise"),
    "number": ("key_frames.0.number", 0, r"key_frames\[0\].number|key_frames\[...\].number"),
    "dtype": ("key_frames.0.dtype", "float64", "dtype"),
    "points": ("key_frames.0.contour_px", [[30, 30], [40, 30], [40, 40]], "has 3 points, the reference's"),
    "content": ("key_frames.0.content_px", [1e6, 0.0], "content_px is .*, far from a frame"),
    "pixels": ("key_frames.0.zlib", packed(22_000), "content_hash is .*, its pixels have"),
    "too few": ("key_frames.0.zlib", packed(100), "holds 100 bytes; 22000 are needed"),
    "bomb": ("key_frames.0.zlib", packed(200_000_000), "holds at least 22001 bytes; 22000 are needed"),
    "no zlib": ("key_frames.0.zlib", "AAAA", "cannot be inflated"),
    "no base64": ("key_frames.0.zlib", "!", "cannot be inflated"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_every_fault_is_one_sentence_that_names_the_field(plain, fault):
    field, value, sentence = WRONG[fault]
    with pytest.raises(TrackingError, match=f"here.*({sentence})"):
        memory_from_plain(changed(plain, field, value), "here")


def test_more_than_eight_key_frames_are_refused(plain):
    plain["key_frames"] = plain["key_frames"][:1] * 9
    with pytest.raises(TrackingError, match="length <= 8"):
        memory_from_plain(plain, "here")


def test_an_unknown_field_is_refused(plain):
    with pytest.raises(TrackingError, match="unknown field `more`"):
        memory_from_plain(plain | {"more": 1}, "here")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 5000], ids=range(6))
def test_what_is_no_memory_is_refused(tmp_path, content):
    (tmp_path / "memory.json").write_bytes(content)
    with pytest.raises(TrackingError, match="is not a memory"):
        read_memory(tmp_path / "memory.json")


def test_a_huge_file_is_refused_unread(tmp_path):
    with (tmp_path / "memory.json").open("wb") as file:
        file.truncate(MOST_FILE_BYTES + 1)
    with pytest.raises(TrackingError, match=f"a memory has {MOST_FILE_BYTES} at most"):
        read_memory(tmp_path / "memory.json")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_anywhere_is_refused_or_changes_nothing(memory, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    write_memory(path, memory)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(TrackingError):
        assert read_memory(path).content_hash == memory.content_hash
