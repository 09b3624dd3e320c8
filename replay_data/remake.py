"""Remake the bundled sessions bit for bit: `python -m replay_data.remake [--check]`.

The content hash covers the arrays. The file hash also covers the compression, which may differ with another zlib.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.phantom import Phantom
from gating.geometry.contours import mask_from_contour
from replay_data import FOLDER
from replay_data.sessions import SESSIONS, Session

MANIFEST: Final = "manifest.toml"
Arrays = dict[str, NDArray[Any]]


def arrays_of(session: Session) -> Arrays:
    """Return the arrays of a session's file, by name."""
    phantom = Phantom(session.settings)
    count = session.settings.frame_count
    assert count is not None
    frames = np.empty((count, *phantom.shape), session.settings.dtype)
    for index in range(count):
        phantom.render_into(index, frames[index])
    truths = [phantom.truth(index) for index in range(count)]
    contours = np.array([truth.contour_px for truth in truths])
    return {
        "frames": frames,
        "t_s": np.array([phantom.stamp_ns(index) for index in range(count)]) / 1e9,
        "pixel_spacing_mm": np.array(phantom.spacing_mm),
        "image_position_patient": np.array(phantom.position_mm),
        "image_orientation_patient": np.array(phantom.orientation),
        "target_xy_px": _rounded(np.array([truth.centre_px for truth in truths])),
        "target_contour_px": _rounded(contours).astype(np.float32),
        "target_visible": np.array([truth.visible for truth in truths]),
        "target_mask_first": mask_from_contour(contours[0], phantom.shape),
        "description": np.array(session.description),
    }


def packed(arrays: Arrays) -> bytes:
    """Return an `.npz` file whose bytes depend on the arrays alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def content_sha256(arrays: Arrays) -> str:
    """Return a hash of every array's name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def remake(folder: Path = FOLDER) -> None:
    """Write every session and the manifest."""
    entries = []
    for session in SESSIONS:
        arrays = arrays_of(session)
        data = packed(arrays)
        (folder / f"{session.name}.npz").write_bytes(data)
        entries.append(_entry(session, arrays, data))
        print(f"{session.name}: {len(arrays['frames'])} frames, {len(data) / 1e6:.2f} MB")
    header = "# Made by `python -m replay_data.remake`; `--check` remakes everything in memory and compares.\n\n"
    (folder / MANIFEST).write_text(header + "\n".join(entries), encoding="utf-8")


def check(folder: Path = FOLDER) -> list[str]:
    """Return a sentence for each session that is damaged or cannot be remade bit for bit."""
    manifest = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))["session"]
    wrong = []
    for session in SESSIONS:
        entry = manifest.get(session.name)
        if entry is None:
            wrong.append(f"{session.name}: is not in {MANIFEST}")
            continue
        if hashlib.sha256((folder / f"{session.name}.npz").read_bytes()).hexdigest() != entry["sha256"]:
            wrong.append(f"{session.name}: the file's sha256 is not the one in {MANIFEST}")
        if content_sha256(arrays_of(session)) != entry["content_sha256"]:
            wrong.append(f"{session.name}: the content remade here differs from the one in {MANIFEST}")
    return wrong


def _rounded(px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to 2^-16 px, which is coarser than the solver and finer than any use needs."""
    rounded: NDArray[np.float64] = np.rint(px * 65536) / 65536
    return rounded


def _entry(session: Session, arrays: Arrays, data: bytes) -> str:
    settings = session.settings
    rows, columns = (np.flatnonzero(arrays["target_mask_first"].any(axis=axis)) for axis in (1, 0))
    box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    lines = {
        "description": f'"{session.description}"',
        "expected": f'"{session.expected}"',
        "frames": len(arrays["frames"]),
        "rows": settings.rows,
        "columns": settings.columns,
        "dtype": f'"{settings.dtype}"',
        "frames_per_s": settings.frames_per_s,
        "pixel_spacing_mm": list(settings.pixel_spacing_mm),
        "plane": f'"{settings.plane}"',
        "seed": settings.seed,
        "target_box": box,
        "sha256": f'"{hashlib.sha256(data).hexdigest()}"',
        "content_sha256": f'"{content_sha256(arrays)}"',
    }
    return f"[session.{session.name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m replay_data.remake", description="Remake the bundled sessions.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing; exit code 3 if they differ")
    if not parser.parse_args().check:
        remake()
        return 0
    wrong = check()
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
