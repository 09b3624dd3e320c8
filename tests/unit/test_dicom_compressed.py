"""Compressed DICOM images: without loss and bit for bit, or refused with a sentence. The peers are dcmtk and GDCM."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from drivers.errors import BadFrame
from drivers.formats import dicom_pixels
from drivers.formats.dicom import frames_of, read_dicom_file
from tests.dicom_files import encoded, image, picture

DCMTK = {RLELossless: ["dcmcrle"], JPEGLosslessSV1: ["dcmcjpeg", "+e1"], JPEGLSLossless: ["dcmcjpls", "+el"]}


def compressed(folder: Path, syntax: str, dataset: Any) -> Path:
    """A file that dcmtk or GDCM has compressed."""
    plain, packed = folder / "plain.dcm", folder / "packed.dcm"
    plain.write_bytes(encoded(dataset))
    if syntax in DCMTK:
        if shutil.which(DCMTK[syntax][0]) is None:
            pytest.skip("dcmtk is not installed (apt-get install dcmtk)")
        subprocess.run([*DCMTK[syntax], plain, packed], check=True)
        return packed
    import gdcm

    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEG2000Lossless))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(packed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return packed


def needs(syntax: Any) -> None:
    if not get_decoder(syntax).is_available:
        pytest.skip(f"no decoder for {syntax.name} is installed ({dicom_pixels.INSTALL})")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("syntax", [*DCMTK, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_pixels_come_out_bit_for_bit(tmp_path: Path, syntax: Any, dtype: str) -> None:
    needs(syntax)
    pixels = (picture(0).astype(np.int64) - (2000 if dtype == "int16" else 0)).astype(dtype)
    packed = compressed(tmp_path, syntax, image(pixels=pixels))
    assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID == syntax
    (frame,) = read_dicom_file(packed)
    np.testing.assert_array_equal(frame.pixels, pixels)


def test_every_frame_of_a_compressed_multi_frame_image_comes_out(tmp_path: Path) -> None:
    pixels = np.stack([picture(index) for index in range(3)])
    packed = compressed(tmp_path, RLELossless, image(pixels=pixels, NumberOfFrames=3, FrameTime="100"))
    np.testing.assert_array_equal([frame.pixels for frame in read_dicom_file(packed)], pixels)


def test_a_missing_decoder_is_reported_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = compressed(tmp_path, JPEGLSLossless, image())

    class Missing:
        is_available = False

    monkeypatch.setattr(dicom_pixels, "get_decoder", lambda _: Missing())
    with pytest.raises(BadFrame, match=r"JPEG-LS Lossless .*pip install .*python-gdcm"):
        read_dicom_file(packed)


def test_compression_with_loss_is_refused() -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with pytest.raises(BadFrame, match=r"JPEG Baseline .*uncompressed or compressed without loss are read"):
        frames_of(lambda: dataset, "one")


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_a_frame_that_says_another_size_is_refused_before_it_is_unpacked(tmp_path: Path, syntax: Any) -> None:
    needs(syntax)
    dataset = pydicom.dcmread(compressed(tmp_path, syntax, image()))
    dataset.Rows = 60
    with pytest.raises(BadFrame, match=r"compressed frame 1 declares \(48, 40\), the image 60 x 40"):
        frames_of(lambda: dataset, "one")


def test_a_compressed_frame_larger_than_its_image_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(compressed(tmp_path, RLELossless, image()))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame + bytes(100_000)])
    with pytest.raises(BadFrame, match="bytes; 73216 is the limit for 48 x 40"):
        frames_of(lambda: dataset, "one")


def test_damaged_streams_are_refused(tmp_path: Path) -> None:
    needs(JPEGLSLossless)
    for syntax in (RLELossless, JPEGLSLossless):
        whole = compressed(tmp_path, syntax, image()).read_bytes()
        for cut in (50, 500, 1500):
            (tmp_path / "cut.dcm").write_bytes(whole[:-cut])
            with pytest.raises(BadFrame):
                read_dicom_file(tmp_path / "cut.dcm")
