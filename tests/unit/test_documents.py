"""The files, modules, links and verbs that the documents name exist."""

from __future__ import annotations

import pkgutil
import re
import textwrap
import tomllib
from functools import cache
from pathlib import Path

import pytest
import typer

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating import __version__
from gating.settings.config import Config, parse_config
from gating.settings.safeguards import SAFEGUARDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if path.parent.name != "_generated"
)
FOLDERS = r"cinegate|gating|drivers|bench|replay_data|tests|docs|examples|requirements|\.ci|\.github"
PROSE_WIDTH = 100  # characters
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


def text_of(document: Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def code_in(document: Path) -> list[str]:
    """Every word in backticks, outside blocks of code."""
    prose = re.sub(r"^```.*?^```", "", text_of(document), flags=re.M | re.S)
    return [word for span in re.findall(r"`([^`\n]+)`", prose) for word in span.split()]


def anchors_of(document: Path) -> set[str]:
    """Every heading of a document, as links name it."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_DOCUMENT
def test_prose_wraps_at_a_hundred_characters(document):
    prose = re.sub(r"^ *```.*?^ *```", "", text_of(document), flags=re.M | re.S)
    lines = [line for line in prose.splitlines() if not line.lstrip().startswith("|")]
    assert [line for line in lines if len(line) > PROSE_WIDTH] == []


@EVERY_DOCUMENT
def test_every_path_in_a_document_exists(document):
    paths = [word for word in code_in(document) if re.match(rf"(?!cinegate/\d)({FOLDERS})/|[\w./-]+\.py$", word)]
    assert [path for path in paths if not list(ROOT.glob(path.replace("NAME", "*")))] == []


@EVERY_DOCUMENT
def test_every_name_of_the_code_in_a_document_exists(document):
    names = re.findall(r"python -m ([\w.]+)", text_of(document))
    for word in code_in(document):
        names += re.findall(r"^(?:gating|drivers|bench)(?:\.\w+){2,}", word)
    settings = {safeguard.setting.partition(".*")[0] for safeguard in SAFEGUARDS}
    for name in set(names) - settings:
        pkgutil.resolve_name(name)


@EVERY_DOCUMENT
def test_every_relative_link_leads_somewhere(document):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        if not (ROOT / target).exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@EVERY_DOCUMENT
def test_every_configuration_in_a_document_is_accepted(document):
    blocks = re.findall(r"^( *)```toml\n(.*?)^\1```", text_of(document), re.M | re.S)
    for block in (textwrap.dedent(text) for _, text in blocks):
        if set(tomllib.loads(block)) <= set(Config.__struct_fields__):
            parse_config(block)


def commands_in(document: Path) -> list[tuple[str, str]]:
    """Every verb with what follows it, in blocks and in backticks."""
    text = text_of(document)
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(span.split()) for span in re.findall(r"`(cinegate [^`]+)`", text)]
    found = [re.match(r"\s*(?:\S+=\S+ )?cinegate ([a-z][a-z|-]*)(.*)", line) for line in lines]
    return [(verb, match[2].partition(" # ")[0]) for match in found if match for verb in match[1].split("|")]


@cache
def verbs() -> dict[str, typer.core.TyperCommand]:
    register_verbs()
    return typer.main.get_command(app).commands


def options_of(verb: str, rest: str) -> set[str]:
    """Every option of a verb, or of the command of a group that follows it."""
    command = verbs()[verb]
    for word in rest.split():
        command = getattr(command, "commands", {}).get(word.partition("|")[0], command)
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"-h", "--help"}


@EVERY_DOCUMENT
def test_every_option_of_a_command_in_a_document_exists(document):
    for verb, rest in commands_in(document):
        named = set(re.findall(r"(?<!\S)(--?[a-z][\w-]*)", rest))
        assert named - options_of(verb, rest) == set(), verb


def test_the_readme_lists_every_verb_and_no_other():
    listed = {
        verb
        for verbs in re.findall(r"^cinegate ([\w|-]+)", text_of(Path("README.md")), re.M)
        for verb in verbs.split("|")
    }
    assert listed == set(verbs())


def test_every_file_that_names_the_version_names_the_same():
    project = tomllib.loads(text_of(Path("pyproject.toml")))["project"]["version"]
    cited = re.findall(r"^version: (\S+)$", text_of(Path("CITATION.cff")), re.M)
    released = re.findall(r"^## \[(\d\S+)\] - (\S+)$", text_of(Path("CHANGELOG.md")), re.M)
    cited += re.findall(r"^  version = \{(\S+)\}", text_of(Path("README.md")), re.M)
    assert [project, *cited, released[0][0]] == [__version__] * 4
    assert f'date-released: "{released[0][1]}"' in text_of(Path("CITATION.cff"))
