"""A cine as scanners export it, a DICOM file a frame, made from a bundled session: something to try other tools on."""

import sys
from pathlib import Path

from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import cinegate
from replay_data import session_path

folder = Path(sys.argv[1])
folder.mkdir()
cine, series, study = cinegate.open_recording(session_path("free_breathing")), generate_uid(), generate_uid()
for number, (pixels, seconds) in enumerate(zip(cine.frames, cine.stamps_ns / 1e9, strict=True)):
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
    image.SeriesInstanceUID, image.StudyInstanceUID = series, study
    image.InstanceNumber, image.AcquisitionTime = number + 1, f"1000{seconds:09.6f}"
    image.PixelSpacing = list(cine.pixel_spacing_mm)
    image.ImageOrientationPatient = list(cine.image_orientation)
    image.ImagePositionPatient = list(cine.image_position_mm)
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.Rows, image.Columns, image.BitsAllocated, image.BitsStored, image.HighBit = *cine.shape, 16, 16, 15
    image.PixelData = pixels.astype("<u2").tobytes()
    image.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
print(f"{folder} holds {len(cine.frames)} images")
