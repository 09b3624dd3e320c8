"""MRD version 2: the same images in yardl's encoding. Raw data and reconstructions to come are refused.

Model: ismrmrd.github.io/mrd, of 2.1 and 2.2. The names of fields and cases are those of the schema in the stream; 2.2
begins those of cases with a small letter.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np

from drivers.errors import BadFrame
from drivers.formats.mrd_image import ImageHeader, MrdImage, checked_size
from drivers.formats.stream import SKIPPED, StreamParser
from drivers.formats.yardl import MAGIC, Schema, read_schema
from drivers.formats.yardl_values import MAX_ELEMENTS, Budget, Reader, varint

FIRST_BYTES: Final = int.from_bytes(MAGIC[:2], "little")
"""The first two bytes as a message of version 1 would name its kind."""
MAX_HEADER_BYTES: Final = 4 * 2**20
MAX_ITEM_BYTES: Final = MAX_ELEMENTS * 8 + 2**20
_IMAGES: Final = ("ImageUint16", "ImageInt16", "ImageUint32", "ImageInt32", "ImageFloat", "ImageDouble")
_SKIPPED: Final = ("WaveformUint32",)
_NS_STAMP: Final = "acquisitionTimeStampNs"
"""Of 2.2; earlier, the stamp has no unit in its name."""


def parse_stream() -> StreamParser:
    """Parse what follows the first two bytes; yield an `MrdImage` for each image. See `drivers.formats.stream`."""
    rest = yield len(MAGIC) - 2
    if rest != MAGIC[2:]:
        raise BadFrame(f"the stream begins with {MAGIC[:2] + rest!r}; {MAGIC!r} begins MRD version 2")
    schema = yield from read_schema()
    header, cases = _protocol(schema)
    held = yield from header(Budget(MAX_HEADER_BYTES))
    scan = "" if held is None else hashlib.sha256(repr(held).encode()).hexdigest()[:16]
    yield SKIPPED
    while block := (yield from varint(Budget(10))):
        for _ in range(block):
            budget = Budget(MAX_ITEM_BYTES)
            chosen = (yield from budget.take(1))[0]
            if chosen >= len(cases):
                raise BadFrame(f"kind of a stream item is {chosen}; 0 to {len(cases) - 1} is possible")
            tag, reader = cases[chosen]
            if reader is None:
                raise BadFrame(f"stream item is {tag}; {', '.join(_IMAGES)} are read")
            value = yield from reader(budget)
            yield SKIPPED if tag in _SKIPPED else _image(value, scan)


def _protocol(schema: Schema) -> tuple[Reader, list[tuple[str, Reader | None]]]:
    """Return the reader of the header, and the name and reader of each kind of item. Raises `BadFrame`."""
    try:
        header, items = schema.steps["header"], schema.steps["data"]["stream"]["items"]
        cases = schema.definition(items)["type"]
        tags = [str(case["tag"])[:1].upper() + str(case["tag"])[1:40] for case in cases]
        wanted = [case["type"] if tag in (*_IMAGES, *_SKIPPED) else None for tag, case in zip(tags, cases, strict=True)]
    except (KeyError, TypeError):
        raise BadFrame("the schema of the stream is not that of MRD: a header and a stream of items are read") from None
    readers = [None if kind is None else schema.reader(kind) for kind in wanted]
    return schema.reader(header), list(zip(tags, readers, strict=True))


def _image(value: Any, scan: str) -> MrdImage:
    try:
        head, data = value["head"], value["data"]
        channels, slices, rows, columns = data.shape
        if data.dtype.kind not in "uif":
            raise ValueError(f"its pixels are {data.dtype}")
        stamp = _NS_STAMP if _NS_STAMP in head else "acquisitionTimeStamp"
        header = ImageHeader(
            dtype=data.dtype.newbyteorder("<").str,
            columns=columns,
            rows=rows,
            field_of_view_mm=(float(head["fieldOfView"][0]), float(head["fieldOfView"][1])),
            position_mm=_triple(head["position"]),
            read_dir=_triple(head["colDir"]),
            phase_dir=_triple(head["lineDir"]),
            slice=int(head["slice"] or 0),
            ticks=int(head[stamp] or 0),
            tick_ns=1 if stamp == _NS_STAMP else None,
            image_index=int(head["imageIndex"] or 0),
            series=int(head["imageSeriesIndex"] or 0),
        )
        kind = int(head["imageType"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise BadFrame(f"an image is not as MRD describes it: {type(error).__name__}: {str(error)[:60]}") from None
    checked_size(columns, rows, slices, channels, kind)
    return MrdImage(header, np.ascontiguousarray(data, header.dtype).tobytes(), scan)


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
