"""`cinegate config` and `cinegate drivers`: what can be set, and what can be connected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, print_json
from cinegate.verbs.driver_options import bounds, setting_rows
from cinegate.verbs.options import JsonOption
from cinegate.verbs.terminal import PlainConsole, plain
from gating.settings.config import Config, to_toml
from gating.settings.safeguards import in_words
from gating.settings.three_d import residual_risks


@app.command()
def config(
    show: Annotated[bool, typer.Option("--show", help="List every setting with unit, default and source.")] = False,
    check: Annotated[Path | None, typer.Option("--check", help="Check a configuration file.")] = None,
    toml: Annotated[bool, typer.Option("--toml", help="Print the settings in force as TOML.")] = False,
    file: Annotated[Path | None, typer.Option("--config", help="Show this file's values.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting, or check a file: a key that is unknown, out of range or disarming is named with its line."""
    if check is not None:
        checked = load_config(check)
        _print_check(check, in_words(checked, checked.overrides), residual_risks(checked.gating.three_d), as_json)
        return
    settings = load_config(file)
    if toml:
        typer.echo(to_toml(settings), nl=False)
        return
    if not show and file is None:
        raise CommandError("give --show, --toml or --check FILE")
    rows = list(_rows(Config, settings, ()))
    if as_json:
        print_json({"settings": rows})
        return
    for row in rows:
        changed = "" if row["value"] == row["default"] else f" (default {row['default']})"
        bounds = " ".join(part for part in (row["range"], row["unit"]) if part)
        notes = " · ".join(part for part in (bounds, row["meaning"], row["source"]) if part)
        value = (f" = {row['value']}", (changed, "yellow"), "\n    ")
        PlainConsole().print(Text.assemble((row["key"], "bold"), *value, (notes, "dim")))


@app.command()
def drivers(
    name: Annotated[str, typer.Argument(help="A source or beam switch: list its settings.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what can be connected: sources, recordings, beam switches, trackers; or the settings of one driver."""
    from drivers.recordings import FORMATS
    from drivers.registry import beam_names, load_beam, load_source, source_names
    from gating.tracking.registry import tracker_names

    found: dict[str, Any] = {
        "sources": source_names(),
        "recordings": list(FORMATS),
        "beams": beam_names(),
        "trackers": tracker_names(),
    }
    if name:
        offers = {"source": (found["sources"], load_source), "beam": (found["beams"], load_beam)}
        found = {kind: setting_rows(load(name)) for kind, (names, load) in offers.items() if name in names}
        if not found:
            raise CommandError(f"{name} is neither a source nor a beam switch; see `cinegate drivers`")
    missing = {} if name else _missing_extras(found)
    if as_json:
        print_json(found if name else {**found, "missing": missing})
    elif name:
        _print_driver(name, found)
    else:
        _print_drivers(found, missing)


def _missing_extras(found: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Return the command that installs what is missing, by kind and name."""
    from drivers.extras import how_to_install, installed
    from drivers.recordings import FORMAT_EXTRAS
    from drivers.registry import needed_extra

    extras = {kind: {name: needed_extra(name) for name in found[kind]} for kind in ("sources", "beams")}
    return {
        kind: {name: how_to_install(extra) for name, extra in needed.items() if extra and not installed(extra)}
        for kind, needed in {**extras, "recordings": FORMAT_EXTRAS}.items()
    }


def _print_drivers(found: dict[str, list[str]], missing: dict[str, dict[str, str]]) -> None:
    table = Table("kind", "names")
    for kind, names in found.items():
        lacking = missing.get(kind, {})
        shown = (Text(f"{name} (not installed)", "dim") if name in lacking else Text(name) for name in names)
        table.add_row(kind, Text(", ").join(shown))
    PlainConsole().print(table)
    for commands in missing.values():
        for name, command in commands.items():
            PlainConsole().print(Text.assemble((name, "bold"), f" needs: {command}"), soft_wrap=True)


def _print_driver(name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    for kind, rows in found.items():
        table = Table(title=f"{kind} {name}", title_justify="left")
        table.add_column("-o", no_wrap=True)
        for column in ("default", "allowed", "meaning"):
            table.add_column(column)
        for row in rows:
            default = Text("needed", "yellow") if row["needed"] else msgspec.json.encode(row["default"]).decode()
            table.add_row(row["setting"], default, row["allowed"], row["meaning"])
        PlainConsole().print(table if rows else f"{kind} {name}: nothing to set with -o")


def _print_check(path: Path, overrides: list[str], risks: list[str], as_json: bool) -> None:
    if as_json:
        print_json({"valid": True, "file": str(path), "overrides": overrides, "residual_risks": risks})
    else:
        for sentence in overrides:
            typer.echo(plain(f"{path}: safeguard off: {sentence}"))
        for sentence in risks:
            typer.echo(plain(f"{path}: residual risk: {sentence}"))
        typer.echo(plain(f"{path}: every setting is known and within its range"))


def _rows(kind: type[msgspec.Struct], values: Any, path: tuple[str, ...]) -> list[dict[str, Any]]:
    """Describe every setting of a table, deepest first tables included."""
    rows: list[dict[str, Any]] = []
    hints = get_type_hints(kind, include_extras=True)
    defaults = kind()
    for name in kind.__struct_fields__:
        value, default, hint = getattr(values, name), getattr(defaults, name), hints[name]
        if isinstance(value, msgspec.Struct):
            rows += _rows(type(value), value, (*path, name))
            continue
        meta = next((m for m in get_args(hint)[1:] if isinstance(m, msgspec.Meta)), None) if get_origin(hint) else None
        extra = (meta.extra or {}) if meta is not None else {}
        rows.append(
            {
                "key": ".".join((*path, name)),
                "value": msgspec.to_builtins(value),
                "default": msgspec.to_builtins(default),
                "unit": extra.get("unit", ""),
                "range": bounds(meta),
                "meaning": (meta.description or "") if meta is not None else "",
                "source": extra.get("source", ""),
            }
        )
    return rows
