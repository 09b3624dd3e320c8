"""A page as PDF, for a file that is signed and kept."""

from __future__ import annotations

import base64
import json
import re
from importlib.resources import files
from typing import Final

from gating.errors import CinegateError

_SCRIPT: Final = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
_PLOTS: Final = re.compile(r"^const plots = (.*);$", re.MULTILINE)
_SVG: Final = re.compile(r"<svg\b[^>]*>")
_OUTLINES: Final = re.compile(r"polygon[^{}]*{[^}]*}")
_THIN: Final = "polygon[class] { stroke-width:.7; } polygon.boundary { stroke-dasharray:2 1.4; }"
"""In pixels of the picture, because WeasyPrint scales every stroke."""


class PdfError(CinegateError, ValueError):
    """A PDF cannot be made; the text is one sentence."""


def page_as_pdf(html: str) -> bytes:
    """Return a page of `gating.pages.page` as PDF, laid out for paper.

    Scripts do not run: matplotlib draws the plots, and where it is not installed they are left out. Nothing is fetched:
    pictures must be part of the page, as data URIs or SVG.

    Raises
    ------
    PdfError
        If WeasyPrint is not installed.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except ImportError:
        raise PdfError(
            "a PDF needs WeasyPrint, which is not installed; `cinegate doctor` says how to install the part `pdf`"
        ) from None
    paper = files("gating.pages").joinpath("paper.css").read_text(encoding="utf-8")
    still = _SCRIPT.sub("", _with_still_plots(html))
    outlines = "".join(_OUTLINES.findall(still)) + _THIN  # WeasyPrint shows no SVG the style sheets of the page
    styled = _SVG.sub(rf"\g<0><style>{outlines}</style>", still)
    laid_out = styled.replace("</head>", f"<style>{paper}</style></head>", 1)
    made = HTML(string=laid_out, url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf()
    if made is None:
        raise PdfError("WeasyPrint made no PDF of the page")
    return bytes(made)


def _with_still_plots(html: str) -> str:
    found = _PLOTS.search(html)
    if found is None:
        return html
    try:
        from gating.pages.still import still_plot

        drawn = {name: still_plot(figure) for name, figure in json.loads(found[1]).items()}
    except ImportError:
        return html
    for name, svg in drawn.items():
        picture = f'<img class="plot" src="data:image/svg+xml;base64,{base64.b64encode(svg).decode("ascii")}">'
        html = html.replace(f'<div id="{name}"></div>', picture)
    return html
