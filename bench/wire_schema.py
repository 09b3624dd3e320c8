"""The wire in the words of JSON Schema, and as the tables of docs/messages.md.

`python -m bench.wire_schema docs` writes both anew from `gating/messages/`: `docs/messages.schema.json`, which
describes the msgpack header of each message (pixels are a part of their own), and the tables below the marker.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import msgspec

from gating import messages
from gating.messages import SCHEMA, TOPICS

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
MARKER: Final = "<!-- made by python -m bench.wire_schema docs -->"


MEANINGS: Final = {
    "schema": "another major is refused",
    "session_id": "the session",
    "source": "the source, by name",
    "source_kind": "repeated in every later message",
    "pacing": "how frames are spaced; only `real_time` latencies are reported as real-time ones",
    "sequence": "from 0, one more each frame",
    "plane": "the imaging plane, by name",
    "acquired_clock": "the clock of the raw stamps; `assumed rate`: a recording without stamps, whose rate a user gave",
    "acquired_meaning": "what the raw stamps mark",
    "published_ns": "when the source sent it",
    "publish_clock": "the clock of `published_ns`",
    "dtype": "of the pixels, little-endian",
    "shape": "(rows, columns)",
    "pixel_spacing_mm": "(row, column) spacing: DICOM PixelSpacing",
    "image_orientation": "DICOM ImageOrientationPatient",
    "image_position_mm": "DICOM ImagePositionPatient, LPS",
    "content_hash": "xxh3-64 of the pixel bytes, hexadecimal",
    "speed": "replay speed relative to the recording",
    "planes": "every plane of the stream",
    "nominal_interval_ns": "from one frame to the next",
    "description": "a sentence for people",
    "frames_published": "how many",
    "why": "a sentence for the log",
    "frame_sequence": "the frame",
    "target": "the target, by name",
    "x_px": "centre, column",
    "y_px": "centre, row",
    "confidence": "probability that centre and target-out fraction are right",
    "score": "of the best match, -1 to 1",
    "status": "`tracked`, `low_confidence`, `lost` or `refused`",
    "target_out_fraction": "share of the target's area outside the boundary, 0 to 1",
    "contour_px": "(x, y) points of the outline",
    "boundary_px": "(x, y) points of the gating boundary",
    "centre_px": "(x, y)",
    "centre_mm": "LPS",
    "templates": "in use",
    "detail": "a sentence",
    "gate": "the permission that the frame led to",
    "reason": "a word of the table of reasons, or of the beam interface",
    "engine_id": "new at every start of the engine",
    "command_sequence": "one more each command; older ones are refused",
    "state": "for a command the permission, for a process a word",
    "engine_state": "of the engine",
    "lease_ms": "how long the permission lasts from receipt; 0 for a hold",
    "stamps": "when the frame reached each stage",
    "beam": "the beam switch, by name",
    "beam_kind": "of the switch",
    "status_sequence": "one more each status",
    "commanded": "what the interface was told",
    "confirmed": "what the line reads back",
    "command_sent_ns": "on the engine's clock",
    "command_received_ns": "on `clock`",
    "applied_ns": "when the line was driven, on `clock`",
    "sent_ns": "on the sender's clock",
    "clock": "of this message's times",
    "latched": "only a restart of the interface ends it",
    "role": "which process",
    "process_id": "of the operating system",
    "counters": "by name",
    "severity": "of the event",
    "code": "the same for events of one kind",
    "text": "one sentence",
    "at_ns": "on the sender's clock",
    "versions": "of cinegate and its libraries, by name",
    "config_toml": "every setting",
    "config_hash": "of the settings",
    "tracker": "by name",
    "action": "what is asked for",
    "operator": "who asks",
    "accepted": "whether it is done",
    "peers": "source, beam interface and recorder",
    "peer": "by name",
    "position_sequence": "one more each position",
    "structure": "by name",
    "valid": "whether a machine may follow it",
    "measured_mm": "LPS, each coordinate as it was last seen",
    "predicted_mm": "LPS",
    "predictor": "by name; empty if there is none",
}
"""What a key means, where the code does not say it beside the field."""


def wire_schema() -> dict[str, Any]:
    """Return one JSON Schema for all messages, under `$defs` by class, and under `topics` by topic.

    A receiver ignores keys that it does not know, so the schema allows them. `schema` itself is always needed.
    """
    kinds, definitions = msgspec.json.schema_components(TOPICS)
    for definition in definitions.values():
        definition.pop("additionalProperties", None)
        if "schema" in definition.get("properties", {}):
            definition["required"] = ["schema", *definition["required"]]
            definition["properties"]["schema"] = {"type": "string", "pattern": "^cinegate/1(\\.|$)", "maxLength": 32}
    topics = {topic.decode(): kind for topic, kind in zip(TOPICS.values(), kinds, strict=True)}
    return {"$schema": _DRAFT, "title": SCHEMA, "topics": topics, "$defs": definitions}


def key_tables() -> str:
    """Return a table of keys for each message and each map inside one: type, what is assumed if absent, meaning."""
    definitions = wire_schema()["$defs"]
    meanings = _meanings()
    parts = [_table(kind.__name__, f"`{topic.decode()}`", definitions, meanings) for kind, topic in TOPICS.items()]
    inner = [name for name, kind in definitions.items() if kind.get("type") == "object"]
    known = {kind.__name__ for kind in TOPICS}
    parts += [_table(name, name, definitions, meanings) for name in inner if name not in known]
    return "\n".join(parts)


def documented(page: str) -> str:
    """Return the page with the tables of today below its marker."""
    return page.partition(MARKER)[0] + MARKER + "\n\n" + key_tables()


def _table(name: str, title: str, definitions: dict[str, Any], meanings: dict[tuple[str, str], str]) -> str:
    kind = definitions[name]
    needed = kind.get("required", ())
    lines = [f"### {title}", "", fill(kind["description"].partition("\n\n")[0], 100), ""]
    lines += ["| key | type | if absent | meaning |", "|---|---|---|---|"]
    for key, value in kind["properties"].items():
        absent = "refused" if key in needed else _assumed(value.get("default"))
        meaning = meanings.get((name, key)) or MEANINGS.get(key, "")
        lines.append(f"| `{key}` | {_words(value, definitions)} | {absent} | {meaning} |")
    return "\n".join([*lines, ""])


def _meanings() -> dict[tuple[str, str], str]:
    """Return what the code says below each field, by class and field."""
    found = {}
    modules = [ast.parse(file.read_text("utf-8")) for file in Path(messages.__file__).parent.glob("*.py")]
    for kind in (node for module in modules for node in module.body if isinstance(node, ast.ClassDef)):
        for field, text in pairwise(kind.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    words = re.sub(r"\bNone\b", "nil", " ".join(said.split())).rstrip(".")
                    found[kind.name, name] = words if words[:2].isupper() else words[0].lower() + words[1:]
    return found


def _resolved(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definitions[value["$ref"].rpartition("/")[2]] if "$ref" in value else value
    return found


def _assumed(default: object) -> str:
    return "nil" if default is None else f"`{json.dumps(default)}`"


def _words(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a type and its bounds in words."""
    if "$ref" in value:
        inner = _resolved(value, definitions)
        return f"map: `{inner['title']}`" if inner.get("type") == "object" else _words(inner, definitions)
    if "anyOf" in value:
        return " or ".join(_words(one, definitions) for one in value["anyOf"])
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    kind = value["type"]
    if kind == "array":
        return _array(value, definitions)
    if kind == "object":
        return f"map of str to {_words(value['additionalProperties'], definitions)}"
    return {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "nil"}[kind] + _bounds(
        value
    )


def _array(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    members = value.get("prefixItems")
    if members is None:
        return f"array of any length: {_words(value['items'], definitions)}"
    return f"array of {len(members)}: {_words(members[0], definitions)}"


def _bounds(value: dict[str, Any]) -> str:
    if "pattern" in value:
        return f", `{SCHEMA}`"
    longest, shortest = value.get("maxLength"), value.get("minLength", 0)
    if longest is not None:
        return f", {longest} characters" if shortest == longest else f", {shortest} to {longest} characters"
    low, above, high = value.get("minimum"), value.get("exclusiveMinimum"), value.get("maximum")
    if high is None:
        return ""
    return f", {low:g} to {_number(high)}" if low is not None else f", above {above:g}, to {_number(high)}"


def _number(value: float) -> str:
    return f"2^{int(value).bit_length() - 1}" if value > 1e15 else f"{value:g}".replace("e+0", "e")


def schema_text() -> str:
    """Return the schema as its file has it."""
    return json.dumps(wire_schema(), indent=1) + "\n"


def main(folder: Path) -> None:
    """Write schema and tables into the folder of the documents."""
    (folder / "messages.schema.json").write_text(schema_text(), "utf-8")
    page = folder / "messages.md"
    page.write_text(documented(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
