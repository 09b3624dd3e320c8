"""Pages in a real browser: they draw their plots offline, and their tables and settings answer clicks."""

from __future__ import annotations

from pathlib import Path

from gating.analysis.whatif import pareto
from gating.report.html import write_html
from gating.report.whatif_page import write_whatif_page
from gating.settings.config import Config
from tests.factories import outcome
from tests.pages import dom_after_scripts
from tests.unit.session_bench import write_session


def test_the_page_draws_its_three_plots(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_html(write_session(tmp_path / "s1.mcap"), page)
    dom = dom_after_scripts(page)
    for plot in ("motion", "latency", "reasons"):
        assert f'<div id="{plot}" class="js-plotly-plot"' in dom
    assert dom.count('class="main-svg"') >= 3
    assert "scatterlayer" in dom


def test_a_click_sorts_the_settings_and_another_chooses_one(tmp_path: Path) -> None:
    page = tmp_path / "whatif.html"
    write_whatif_page(page, pareto([outcome(7.0, 0.9, 5.0), outcome(2.0, 0.3, 2.0)]), Config())
    clicks = "const title = text => [...document.querySelectorAll('th')].find(one => one.textContent === text);"
    clicks += "title('duty cycle (%)').click(); document.querySelector('tr[data-row]').click();"
    page.write_text(page.read_text().replace("</body>", f"<script>{clicks}</script></body>"))
    _, _, chosen = dom_after_scripts(page).partition('id="chosen">')
    assert "superior_mm = 2.0" in chosen.partition("</pre>")[0]
