"""The report in a real browser, opened from disk: headless Chromium, steered by its own driver.

Where there is no Chromium these tests are skipped, and say why; in CI that is a failure.
GMEMBENCH_SCREENSHOTS=DIR keeps the screenshots.
"""

import base64
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image
from report_files import EVIL
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from gmembench.reports import overview

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
)
PHONE, DESKTOP = 390, 1280
LIGHT, DARK = "rgb(254, 254, 253)", "rgb(21, 23, 26)"


def programs() -> tuple[str, str]:
    """Paths of Chromium and its driver."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if found[0] and found[1]:
        return found[0], found[1]
    missing = "no chromium and chromedriver here: apt-get install chromium chromium-driver"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser for the tests of one process."""
    browser, driver = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


class Reader:
    """A reader of the report: what the tests do with the browser."""

    def __init__(self, browser: webdriver.Chrome, report: Path) -> None:
        self.browser, self.page = browser, (report / "index.html").as_uri()

    def like(self, paper: str, width: int = DESKTOP) -> None:
        """Like light or dark paper, on a screen of a width."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": paper}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [feature]})

    def open(self, place: str = "") -> None:
        """Open the page anew."""
        self.browser.get("about:blank")
        self.browser.get(self.page + place)

    def go(self, place: str) -> None:
        """Follow a link in the page."""
        self.run("location.hash = arguments[0]", place)

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script in the page."""
        return self.browser.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        """Elements."""
        return cast(list[Any], self.browser.find_elements(By.CSS_SELECTOR, selector))

    def one(self, selector: str) -> Any:
        """The first of them."""
        return self.all(selector)[0]

    def choose(self, selector: str, text: str) -> None:
        """Choose in a list."""
        Select(self.one(selector)).select_by_visible_text(text)

    def texts(self, selector: str) -> list[str]:
        """Texts of all elements that are shown."""
        script = (
            "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.innerText)"
        )
        return cast(list[str], self.run(script, selector))

    def screenshot(self) -> Image.Image:
        """The whole page as a picture."""
        height = min(int(self.run("return document.documentElement.scrollHeight")), 4000)
        clip = {"x": 0, "y": 0, "width": self.run("return innerWidth"), "height": height, "scale": 1}
        found = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        return Image.open(io.BytesIO(base64.b64decode(found["data"])))


@pytest.fixture
def reader(chromium: webdriver.Chrome, browsed_report: Path) -> Reader:
    """A reader who likes light paper, with the report open on a desk, and nothing said before."""
    found = Reader(chromium, browsed_report)
    chromium.get_log("browser")  # type: ignore[no-untyped-call]
    chromium.get_log("performance")  # type: ignore[no-untyped-call]
    found.like("light")
    found.open()
    return found


def test_it_asks_for_nothing_and_complains_of_nothing(reader: Reader) -> None:
    """Opened from disk and used, the page requests itself alone, logs no error, and runs no text of a file."""
    reader.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    reader.run("window.alert = () => { window.fooled = true; }")
    reader.choose("#theme", "dark")
    reader.choose("#theme", "auto")
    for place in ("#overview", "#scenario-trace", "#failure-1"):
        reader.go(place)
    assert EVIL in reader.texts("#heat th")
    assert reader.run("return window.fooled") is None
    logged = [json.loads(entry["message"])["message"] for entry in reader.browser.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = {entry["params"]["request"]["url"] for entry in logged if entry["method"] == "Network.requestWillBeSent"}
    assert {url.partition("#")[0] for url in asked} - {"about:blank"} == {reader.page}
    assert reader.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_a_table_sorts_filters_and_is_saved(reader: Reader, tmp_path: Path) -> None:
    """A click on a head sorts, a second one backwards; words filter; CSV has the rows that are shown, each traced."""
    reader.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    heads = [text.split("\n")[0].strip() for text in reader.texts("#cells-table thead tr:last-child th")]
    steps = heads.index("steps") + 1
    shown = f"#cells-table tbody tr[data-c] td:nth-child({steps})"
    before = reader.texts(shown)
    for way in (False, True):
        reader.run("arguments[0].click()", reader.all("#cells-table thead tr:last-child th button")[steps - 1])
        assert reader.texts(shown) == sorted(before, key=lambda text: int(text.replace(",", "")), reverse=way)
    box = reader.one(".tools:has(+ div > #cells-table) input")
    box.send_keys("trace guest-memfd")
    rows = reader.texts("#cells-table tbody tr")
    assert len(rows) == 2
    assert all("trace" in row and "guest-memfd" in row for row in rows)
    reader.run("arguments[0].click()", reader.one(".tools:has(+ div > #cells-table) button"))
    saved = tmp_path / "all-cells.csv"
    until(saved.is_file)
    lines = saved.read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("cell,file,command")
    assert "Work: steps (counted)" in lines[0]
    assert all("result.json,gmembench run --quick -o result.json" in line for line in lines[1:])


def until(found: Any) -> None:
    """Wait for something that the browser does in its own time."""
    for _ in range(400):
        if found():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen")


def test_the_overview_obeys_its_choices(reader: Reader) -> None:
    """Metric and baseline change every field to what the results say; the address keeps the choice."""
    data = json.loads(reader.run("return document.getElementById('data').textContent"))
    names = [metric[0] for metric in data["metrics"]]
    metric = names.index("memory")
    Select(reader.one("#metric")).select_by_index(metric)
    reader.choose("#baseline", "fd-private")
    value = {(cell[1], cell[2], cell[3]): data["values"][number][metric] for number, cell in enumerate(data["cells"])}
    for row in reader.all("#heat tbody tr:not([hidden])"):
        scenario = row.get_attribute("data-scenario")
        fields = row.find_elements(By.TAG_NAME, "td")
        for design, field in zip(data["designs"], fields, strict=True):
            if (scenario, design, 0) in value:
                expected = overview.compared(value[scenario, design, 0], value[scenario, "fd-private", 0])
                assert (field.text, field.get_attribute("class").split()[1]) == expected
                assert field.get_attribute("title").startswith(f"{scenario}/{design}/none/4K")
    assert "measured" not in reader.one("#heat-said").text
    kept = reader.run("return location.hash")
    reader.open(kept)
    assert reader.one("#baseline").get_attribute("value") == "fd-private"
    assert reader.one("#metric").get_attribute("value") == str(metric)
    Select(reader.one("#metric")).select_by_index(names.index("time"))
    assert reader.one("#heat-kind").text == "measured"


def test_the_theme_follows_the_reader(reader: Reader) -> None:
    """The page is dark for who likes dark; a choice holds over that, and outlives the page."""
    paper = "return getComputedStyle(document.documentElement).backgroundColor"
    assert reader.run(paper) == LIGHT
    reader.like("dark")
    assert reader.run(paper) == DARK
    reader.choose("#theme", "light")
    assert reader.run(paper) == LIGHT
    reader.open()
    assert reader.run(paper) == LIGHT
    reader.choose("#theme", "auto")
    assert reader.run(paper) == DARK


def test_links_lead_to_their_places(reader: Reader) -> None:
    """A link to a section shows it, also one inside details that are closed; a count of cells filters their table."""
    top = "return document.querySelector(arguments[0]).getBoundingClientRect().top"
    for place in ("#scenario-bounce-buffer", "#figure-trace-icicle", "#necessity-1-access", "#touchpoints"):
        reader.go(place)
        until(lambda place=place: -5 < reader.run(top, place) < 120)  # type: ignore[misc]
        assert reader.one(place).is_displayed()
    reader.open("#necessity-1-access")
    until(lambda: -5 < reader.run(top, "#necessity-1-access") < 120)
    reader.run("document.querySelector('#scenario-bounce-buffer a[data-filter]').click()")
    rows = reader.texts("#cells-table tbody tr")
    assert [row.split()[0] for row in rows] == ["bounce-buffer"] * 3


def test_a_number_tells_where_it_is_from(reader: Reader) -> None:
    """A click on a number, on a bar, or Enter on the head of a row tells cell, file and command; Escape ends it."""
    panel = reader.one("#source")
    assert not panel.is_displayed()
    number = reader.one("#cells-table tr[data-c] td.number")
    reader.run("arguments[0].click()", number)
    for text in ("result.json", "gmembench run --quick", "/none/4K", "(counted)"):
        assert text in panel.text
    reader.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not panel.is_displayed()
    bar = reader.one("#figure-trace-steps-per-fault svg g[data-c] path")
    reader.run("arguments[0].dispatchEvent(new MouseEvent('click', { bubbles: true }))", bar)
    assert "steps per fault" in panel.text
    assert "trace/legacy-vma/none/4K" in panel.text
    reader.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    reader.one(".findings summary").click()
    reader.one(".findings button").send_keys(Keys.ENTER)
    assert "Steps a fault" in panel.text
    head = reader.one("#cells-table tbody th button")
    head.send_keys(Keys.ENTER)
    assert panel.is_displayed()


UNTRACED = r"""
const data = JSON.parse(document.getElementById("data").textContent);
const reasoned = data.reasons.map(reason => reason[1]);
const named = [...data.cells.flatMap(cell => cell.slice(0, 3)), ...data.designs, ...reasoned];
const names = [...new Set(named)].sort((a, b) => b.length - a.length);
const bare = text => names.reduce((left, name) => left.replaceAll(name, ""), text).replace(/\b\d+[KMG]\b|stage-2/g, "");
const prose = "title, option, a, summary, h3, figcaption, .caption, .sort, .told, .warning, .about, text.tick";
const about = "#cells > p, #touchpoints > p";
const reasons = ".reason, .reasons, .notes";
const itself = "#provenance, #reading, .replay";  // files and commands, or what to do with them
const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
const found = { numbers: 0, untraced: [] };
while (walker.nextNode()) {
  const text = walker.currentNode.data, element = walker.currentNode.parentElement;
  if (element.closest(`${prose}, ${about}, ${reasons}, ${itself}`) || text.startsWith("not applicable")) continue;
  if (!/\d/.test(bare(text))) continue;
  found.numbers += 1;
  const cell = element.closest("[data-c]") || element.closest(".findings li")?.querySelector(".from [data-c]");
  const section = element.closest("#necessity section, #failures section")?.textContent || "";
  if (!cell && !/From .+gmembench \w+/s.test(section)) found.untraced.push(`${element.tagName}: ${text}`);
}
return found;
"""
"""Counts the numbers that the page shows outside of prose, and lists those that lead to no cell, file and command."""


def test_every_number_can_be_traced(reader: Reader) -> None:
    """All of them, in tables, figures and sentences: each stands in what tells cell, file and command when clicked."""
    reader.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    found = reader.run(UNTRACED)
    assert found["numbers"] > 500
    assert found["untraced"] == []
    owners = "return [...document.querySelectorAll('[data-c]')].map(e => Number(e.dataset.c))"
    data = json.loads(reader.run("return document.getElementById('data').textContent"))
    assert set(reader.run(owners)) == set(range(len(data["cells"])))
    assert all(name and command for name, command, *_ in data["files"])


def test_everything_has_a_name_for_a_screen_reader(reader: Reader) -> None:
    """What can be focused has a name, pictures are labelled or hidden, and the first key press leads to a skip link."""
    reader.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    nodes = reader.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    unnamed = []
    for node in nodes:
        properties = {entry["name"]: entry["value"].get("value") for entry in node.get("properties", [])}
        role = node.get("role", {}).get("value")
        if properties.get("focusable") and role not in {"RootWebArea", "generic"} and not node["name"].get("value"):
            unnamed.append(role)
        if role in {"img", "image"}:
            assert node["name"]["value"]
    assert [role for role in unnamed if role in {"button", "link", "combobox", "searchbox", "textbox", "group"}] == []
    reader.one("body").send_keys(Keys.TAB)
    assert reader.run("return document.activeElement.className") == "skip"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_fits_the_screen(reader: Reader, width: int) -> None:
    """On a phone and on a desk nothing sticks out sideways, and the page is as light as the reader likes."""
    for paper, colour in (("light", (254, 254, 253)), ("dark", (21, 23, 26))):
        reader.like(paper, width)
        picture = reader.screenshot().convert("RGB")
        assert picture.width == width
        assert picture.getpixel((2, 2)) == colour
        assert len(picture.getcolors(1 << 24) or []) > 500
        if folder := os.environ.get("GMEMBENCH_SCREENSHOTS"):
            picture.save(Path(folder) / f"report-{width}-{paper}.png")
    reader.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert reader.run("return document.documentElement.scrollWidth") == width


def test_it_prints_on_light_paper(reader: Reader) -> None:
    """Printed, the page is light though the reader likes dark, and tools that paper cannot use are left out."""
    reader.like("dark")
    printed = reader.browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")
    reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert reader.run("return getComputedStyle(document.documentElement).backgroundColor") == LIGHT
    assert reader.texts("nav.bar, .tools, .choices") == []
