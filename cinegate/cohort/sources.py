"""What a cohort consists of: session logs, labelled cases and recordings, by path or by fsspec URL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import xxhash

from cinegate.cohort.errors import CohortError
from drivers.extras import missing

LOG: Final = ".mcap"
WITH_TRUTH_BESIDE: Final = (".npz", ".raw")
"""Recordings whose truth lies in files of the same stem beside them."""
_PIECE_BYTES: Final = 1 << 20


def find_logs(asked: Sequence[str]) -> list[str]:
    """Return the session logs that paths, folders and URLs stand for, each once, in the order of their names.

    Paths are absolute, as a worker of a cluster has another working directory.

    Parameters
    ----------
    asked
        Paths of logs or recordings; folders, whose logs are found at any depth; URLs of either, which may have
        wildcards (`s3://bucket/logs/*.mcap`).

    Raises
    ------
    CohortError
        If there is nothing.
    """
    found = [source for one in asked for source in sorted(_logs_at_url(one) if "://" in one else _logs_at(Path(one)))]
    return _some(found, asked, f"session log (*{LOG})")


def find_cases(asked: Sequence[str]) -> list[str]:
    """Return the labelled cases in folders: each is the folder of a case, or a file whose truth lies beside it.

    Raises
    ------
    CohortError, BadRecording
        If there is none.
    """
    from drivers.recordings.labelled import labelled_places

    found = [str(place.absolute()) for folder in asked for place in labelled_places(Path(folder))]
    return _some(found, asked, "labelled case")


def _some(found: list[str], asked: Sequence[str], what: str) -> list[str]:
    if not found:
        raise CohortError(f"{', '.join(asked)}: there is no {what}")
    return list(dict.fromkeys(found))


def _logs_at(path: Path) -> Iterator[str]:
    if not path.exists():
        raise CohortError(f"{path}: there is no such file or folder")
    yield from (str(one.absolute()) for one in (path.rglob(f"*{LOG}") if path.is_dir() else [path]))


def _logs_at_url(url: str) -> Iterator[str]:
    store, path = _opened(url)
    _, chain, rest = url.partition("::")
    if "*" in path:
        paths = store.glob(path)
    else:
        paths = [one for one in store.find(path) if one.endswith(LOG)] if store.isdir(path) else [path]
    yield from (store.unstrip_protocol(one) + chain + rest for one in paths)


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise CohortError(missing(url, "fsspec", "cohort")) from None
    try:
        store, path = url_to_fs(url)
    except (ImportError, ValueError) as error:  # of a protocol whose package is not installed, or that is unknown
        raise CohortError(f"{url}: {error}") from None
    return store, str(path)


@contextmanager
def staged(source: str) -> Iterator[tuple[Path, str]]:
    """Give the path at which a source can be read, and the hash of its content.

    What lies behind a URL is copied to a folder of this process's own, and removed after the block. A path is read
    where it is.

    Raises
    ------
    OSError
        If it cannot be read.
    CohortError
        After the block, if it has changed meanwhile.
    """
    if "://" not in source:
        path = Path(source)
        before = _stamps(path)
        yield path, content_hash(path)
        if _stamps(path) != before:
            raise CohortError(f"{path} changed while it was read; it may be a session that still runs")
        return
    store, remote = _opened(source)
    with tempfile.TemporaryDirectory(prefix="cinegate-cohort-") as folder:
        path = Path(folder, remote.rpartition("/")[2])
        with store.open(remote, "rb") as far, path.open("wb") as near:
            shutil.copyfileobj(far, near, _PIECE_BYTES)
        yield path, content_hash(path)


def content_hash(path: Path) -> str:
    """Return the hash of a source's content: of a folder, every file and its name; of a file, its truth beside it too.

    A report beside a session log is no part of it.
    """
    digest = xxhash.xxh3_128()
    for file in _files_of(path):
        digest.update(f"{file.relative_to(path.parent)}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            for piece in iter(_reader(opened), b""):
                digest.update(piece)
    return digest.hexdigest()


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change, ns, of each file of a source."""
    return [(file.name, (known := file.stat()).st_size, known.st_mtime_ns) for file in _files_of(path)]


def _reader(opened: Any) -> Callable[[], bytes]:
    return lambda: opened.read(_PIECE_BYTES)


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.suffix in WITH_TRUTH_BESIDE:
        beside = (file for file in path.parent.iterdir() if file.name.startswith(path.stem) and file.is_file())
        return sorted({path, *beside})
    return [path]
