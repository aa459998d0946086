"""report.html in Chromium: rules of accessibility (axe-core), widths, and print.

`make browser` gets axe-core from npm; Chromium is looked for on PATH. Without one of them, these tests are skipped.
"""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import tdd_deploy as td

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=60000")
DARK = "--blink-settings=preferredColorScheme=0"
MOST_PAGES = 4
ASK = """
axe.run(document, {resultTypes: ["violations"]}).then(found => {
  const violations = found.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 200))]);
  const sizes = [innerWidth, document.documentElement.scrollWidth];
  const text = JSON.stringify({violations, sizes, dark: matchMedia("(prefers-color-scheme: dark)").matches});
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = text;
});
"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: make browser"),
]


@pytest.fixture(scope="module")
def page(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a trained network, priced, beside an ANN."""
    folder = tmp_path_factory.mktemp("page")
    td.train(folder / "ann", data="digits", method="ann", epochs=1)
    options = {"profiles": ("loihi1-davies2018", "cmos45-memory", "loihi2"), "baseline": folder / "ann"}
    td.simulate(run_folder, data="digits", samples=20, energy=True, out=folder / "report", **options)
    return folder / "report" / "report.html"


def chromium(*words: object) -> str:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def examined(page: Path, folder: Path, *, width: int, is_dark: bool) -> dict[str, Any]:
    """Open the page, and return what axe-core finds."""
    copy = folder / "page.html"
    script = f"<script>{AXE.read_text(encoding='utf-8')}</script><script>{ASK}</script></body>"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    dom = chromium(*([DARK] if is_dark else []), f"--window-size={width},900", "--dump-dom", copy.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    result: dict[str, Any] = json.loads(unescape(found[1]))
    return result


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_the_page_is_accessible_and_no_wider_than_the_window(
    page: Path, tmp_path: Path, width: int, is_dark: bool
) -> None:
    found = examined(page, tmp_path, width=width, is_dark=is_dark)
    assert found["dark"] == is_dark
    assert found["violations"] == []
    assert found["sizes"][1] <= found["sizes"][0]


def test_axe_finds_a_fault(page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text(encoding="utf-8").replace("--ink: #1a1a1a", "--ink: #dddddd"), encoding="utf-8")
    assert "color-contrast" in [rule for rule, *_ in examined(broken, tmp_path, width=800, is_dark=False)["violations"]]


def n_pages(page: Path, pdf: Path) -> int:
    chromium(f"--print-to-pdf={pdf}", "--no-pdf-header-footer", page.as_uri())
    return len(re.findall(rb"/Type\s*/Page\b[^s]", pdf.read_bytes()))


def test_at_most_four_pages_are_printed(page: Path, run_folder: Path, tmp_path: Path) -> None:
    assert 1 <= n_pages(page, tmp_path / "page.pdf") <= MOST_PAGES
    options = {"data": "digits", "samples": 2, "steps": 300, "energy": True}
    td.simulate(run_folder, out=tmp_path / "long", **options)
    assert 1 <= n_pages(tmp_path / "long" / "report.html", tmp_path / "long.pdf") <= MOST_PAGES
