"""Recordings written as files that `open_recording` and other programs read: `.npz`, TrackRAD2025 case, MRD."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording, Unavailable
from drivers.extras import missing
from drivers.formats.mrd import TICK_NS, TICKS_A_DAY, image_message
from drivers.recordings.recording import Recording
from gating.geometry.contours import mask_from_contour
from gating.settings.private_file import private_file

_MESSAGE: Final = slice(2, 200)
"""Where an MRD image message holds its header."""
_HEADER: Final = np.dtype(
    [
        *(("version", "<u2"), ("data_type", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4")),
        *(("matrix_size", "<u2", 3), ("field_of_view", "<f4", 3), ("channels", "<u2")),
        *((name, "<f4", 3) for name in ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")),
        *((name, "<u2") for name in ("average", "slice", "contrast", "phase", "repetition", "set")),
        *(("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", 3)),
        *((name, "<u2") for name in ("image_type", "image_index", "image_series_index")),
        *(("user_int", "<i4", 8), ("user_float", "<f4", 8), ("attribute_string_len", "<u4")),
    ]
)
"""MRD's ImageHeader, with the names by which the tools of the format read it from HDF5."""
_UNEVEN: Final = 0.001
"""Part of an interval by which a stamp may differ from an even rate."""


def write_recording(recording: Recording, path: str | os.PathLike[str]) -> list[str]:
    """Write a recording: `.npz`, MRD (`.h5`), or a TrackRAD2025 case in a folder (no suffix).

    Returns
    -------
    What the format could not hold, one sentence each.

    Raises
    ------
    BadRecording, Unavailable
        If the suffix is another one, the folder exists, or the file cannot be written; one sentence.
    """
    file = Path(path)
    assumed = [] if not recording.times_assumed or file.suffix == ".npz" else ["it does not say that times are assumed"]
    writers: dict[str, Callable[[Recording, Path], list[str]]] = {".npz": write_npz, ".h5": write_mrd, "": write_case}
    if file.suffix not in writers:
        raise BadRecording(f"{file}: {file.suffix} is not written; .npz, .h5 (MRD) or a folder (TrackRAD2025) is")
    try:
        return writers[file.suffix](recording, file) + assumed
    except OSError as error:
        raise BadRecording(f"{file}: cannot be written: {error.strerror or error}") from None


def stamp_tolerance_ns(recording: Recording, path: Path) -> float:
    """Return how far the times of a written recording may lie from the original, by its format."""
    if path.suffix == ".npz":
        return 0
    if path.suffix == ".h5":
        return TICK_NS
    even = np.linspace(recording.stamps_ns[0], recording.stamps_ns[-1], len(recording))
    return float(np.abs(recording.stamps_ns - even).max()) + 1_000


def difference(recording: Recording, other: Recording, stamp_tolerance_ns: float = 0) -> str:
    """Return the first thing in which two recordings differ, in words; empty if pixels, geometry and times agree.

    Parameters
    ----------
    recording, other
        The original and what was read back.
    stamp_tolerance_ns
        How far the time since the first frame may differ.
    """
    if (len(recording), recording.shape) != (len(other), other.shape):
        return f"{len(other)} frames of {other.shape} px stand for {len(recording)} of {recording.shape}"
    for field, tolerance in (("pixel_spacing_mm", 1e-4), ("image_orientation", 1e-4), ("image_position_mm", 1e-2)):
        own, others = getattr(recording, field), getattr(other, field)
        if not np.allclose(own, others, rtol=0, atol=tolerance):
            return f"{field} is {others}, and was {own}"
    since, others_since = (one.stamps_ns - one.stamps_ns[0] for one in (recording, other))
    if (late := int(np.abs(since - others_since).max())) > stamp_tolerance_ns:
        return f"times differ by up to {late / 1e6:g} ms"
    masks = recording.target_mask, other.target_mask
    if masks[0] is not None and masks[1] is not None and (masks[0] != masks[1]).any():
        return "the target in the first frame differs"
    for index in range(len(recording)):
        if not np.array_equal(recording.frames[index], other.frames[index]):
            return f"the pixels of frame {index} differ"
    return ""


def write_npz(recording: Recording, file: Path) -> list[str]:
    """Write everything that is known of a recording; all its frames are in memory."""
    known = {"target_contour_px": _contours(recording), "target_xy_px": recording.target_track_px}
    truth: dict[str, Any] = {name: array for name, array in known.items() if array is not None}
    np.savez_compressed(
        private_file(file),
        frames=_frames(recording),
        t_s=recording.stamps_ns / 1e9,
        stamps_ns=recording.stamps_ns,
        stamp_meaning=np.array(str(recording.stamp_meaning)),
        times_assumed=np.array(recording.times_assumed),
        pixel_spacing_mm=np.array(recording.pixel_spacing_mm),
        image_position_patient=np.array(recording.image_position_mm),
        image_orientation_patient=np.array(recording.image_orientation),
        frame_of_reference=np.array(recording.frame_of_reference),
        description=np.array(recording.description),
        **truth,
    )
    return []


def write_case(recording: Recording, folder: Path) -> list[str]:
    """Write a case of the TrackRAD2025 data set, named as its folder: frames, rate, and the target's masks."""
    if folder.exists():
        raise BadRecording(f"{folder}: it exists; a case is written to a new folder")
    if len(recording) < 2:
        raise BadRecording(f"{folder}: a case holds the rate of its frames, and a single frame has none")
    name = folder.name
    _write_image(folder / "images" / f"{name}_frames.mha", recording, _frames(recording))
    lost = []
    steps = np.diff(recording.stamps_ns) / recording.nominal_interval_ns
    rate = 1e9 * (len(recording) - 1) / float(recording.stamps_ns[-1] - recording.stamps_ns[0])
    (folder / "frame-rate.json").write_text(json.dumps(rate), encoding="utf-8")
    if np.abs(steps - 1).max() > _UNEVEN:
        lost.append(
            f"a case holds a rate only: {rate:g} frames/s on average stand for intervals of "
            f"{steps.min() * recording.nominal_interval_ns / 1e6:.0f} to "
            f"{steps.max() * recording.nominal_interval_ns / 1e6:.0f} ms"
        )
    if recording.target_contour_px is None:
        lost.append("no target is known in the first frame, and a case without one cannot be scored")
        return lost
    _write_image(folder / "targets" / f"{name}_first_label.mha", recording, _masks(recording, 1))
    if len(recording.target_contours_px) == len(recording):
        _write_image(folder / "targets" / f"{name}_labels.mha", recording, _masks(recording, len(recording)))
    elif recording.target_track_px is not None or len(recording.target_contours_px) > 1:
        lost.append("a case holds no track, and masks for every frame or for the first alone: later ones were left out")
    return lost


def write_mrd(recording: Recording, file: Path) -> list[str]:
    """Write the images of an MRD file as the `ismrmrd` tools do, `dataset/image_0`. Raises `Unavailable`."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise Unavailable(missing(f"{file}: writing MRD", "h5py", "mrd")) from None
    pixels = _frames(recording)
    pixels = pixels.astype(np.uint16) if pixels.dtype == np.uint8 else pixels
    ticks = np.rint(recording.stamps_ns / TICK_NS).astype(np.int64)
    shift = 1 if ticks[0] == 0 else 0  # 0 ticks means that nobody set the stamp
    headers = [
        image_message(
            image, recording.pixel_spacing_mm, recording.image_orientation, recording.image_position_mm,
            int((tick + shift) % TICKS_A_DAY), index,
        )[_MESSAGE]
        for index, (image, tick) in enumerate(zip(pixels, ticks, strict=True))
    ]  # fmt: skip
    with h5py.File(private_file(file), "w") as written:
        group = written.create_group("dataset/image_0")
        group["data"] = pixels[:, None, None]
        group["header"] = np.frombuffer(b"".join(headers), _HEADER)
        group.create_dataset("attributes", (len(headers),), h5py.string_dtype())
    moved = ", one step later, since 0 stands for no stamp" if shift else ""
    lost = [f"stamps are rounded to the {TICK_NS / 1e6:g} ms of the format, as times of day{moved}"]
    if recording.target_contour_px is not None or recording.target_track_px is not None:
        lost.append("MRD holds no target")
    return lost


def _frames(recording: Recording) -> NDArray[Any]:
    return np.stack([recording.frames[index] for index in range(len(recording))])


def _contours(recording: Recording) -> NDArray[np.float32] | None:
    """Return the contour of the first frame, (n, 2), or of every frame, (frames, n, 2), filled up with NaN."""
    drawn = dict(recording.target_contours_px)
    if recording.target_contour_px is not None:
        drawn[0] = recording.target_contour_px
    if not drawn or set(drawn) == {0}:
        return drawn.get(0)
    filled = np.full((len(recording), max(map(len, drawn.values())), 2), np.nan, np.float32)
    for index, contour in drawn.items():
        filled[index, : len(contour)] = contour
    return filled


def _masks(recording: Recording, count: int) -> NDArray[np.uint8]:
    assert recording.target_contour_px is not None
    drawn = {**recording.target_contours_px, 0: recording.target_contour_px}
    return np.stack([mask_from_contour(drawn[index], recording.shape) for index in range(count)]).astype(np.uint8)


def _write_image(path: Path, recording: Recording, array: NDArray[Any]) -> None:
    """Write (frames, rows, columns) with the axes of the challenge's files, of which `trackrad` tells."""
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    image: Any = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    row, column = np.reshape(recording.image_orientation, (2, 3))
    image.SetSpacing((1.0, recording.pixel_spacing_mm[1], recording.pixel_spacing_mm[0]))
    image.SetOrigin(recording.image_position_mm)
    image.SetDirection(np.column_stack([np.cross(row, column), row, column]).ravel().tolist())
    SimpleITK.WriteImage(image, str(private_file(path)), useCompression=True)
