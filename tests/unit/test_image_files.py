"""Image files from elsewhere: what they claim is looked at before room is made for it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from drivers.errors import BadRecording
from drivers.formats.image import read_image
from drivers.recordings.masks import read_mask


def _nifti_bomb(path: Path) -> None:
    """Write the header of 2.8 GB of zeros, and a thousand of them: what follows would take 3 MB when packed."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h2h", header, 40, 3, 2000, 2000, 700, 1, 1, 1, 1, 0, 0)
    struct.pack_into("<hh8ff", header, 70, 2, 8, *(1.0,) * 8, 352.0)
    header[344:348] = b"n+1\0"
    path.write_bytes(gzip.compress(bytes(header) + bytes(1000)))


def test_a_packed_image_that_would_be_huge_is_refused_unread(tmp_path):
    _nifti_bomb(tmp_path / "mask.nii.gz")
    with pytest.raises(BadRecording, match=r"2000 x 2000 x 700 pixels, which take 2800000000 bytes; 2147483648 is"):
        read_mask(tmp_path / "mask.nii.gz")


def test_an_array_that_is_larger_than_its_file_is_refused(tmp_path):
    with (tmp_path / "mask.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (100_000, 100_000)}
        )
    with pytest.raises(BadRecording, match="is not a mask image: mmap length is greater than file size"):
        read_mask(tmp_path / "mask.npy")


def test_colours_count_as_values(tmp_path):
    SimpleITK.WriteImage(SimpleITK.Image([6, 4], SimpleITK.sitkVectorUInt8, 3), str(tmp_path / "colour.png"))
    assert read_image(tmp_path / "colour.png").GetNumberOfComponentsPerPixel() == 3
