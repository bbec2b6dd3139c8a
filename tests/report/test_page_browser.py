"""The report in a real browser: requests, errors, sorting, filters, hostile texts, size, contrast, phone, paper."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.report.figures import inline_svg
from ropo_bench.report.page import page as write_page
from ropo_bench.report.sections import samples
from tests.report.open_report import Report
from tests.report.page_example import HOSTILE, report_data

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return {name: inline_svg(figure, name) for name, figure in report_data().figures().items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, str]) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(write_page(report_data(seeds=2), drawn), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(browser: Any, small: Path) -> Iterator[Report]:
    opened = Report(browser, small)
    yield opened
    opened.context.close()


@pytest.fixture
def fresh(report: Report) -> Report:
    report.tab.reload()
    return report


def test_nothing_is_asked_of_any_host_and_nothing_is_complained_of(fresh: Report, small: Path) -> None:
    assert set(fresh.requests) == {small.as_uri()}
    assert fresh.complaints == []
    assert fresh.tab.title() == "Report on night <1> · base pocket:sft"


def test_a_click_sorts_by_the_better_end_then_the_other_then_not_at_all(fresh: Report) -> None:
    assert fresh.names() == ["SFT", "dpo", "ropo", "oft"]
    header = fresh.tab.get_by_role("columnheader", name="WR %")
    orders = []
    for _ in range(3):
        header.get_by_role("button").click()
        orders.append((header.get_attribute("aria-sort"), fresh.names()))
    assert orders == [
        ("descending", ["SFT", "ropo", "dpo", "oft"]),  # the reference first, what is not measured last
        ("ascending", ["SFT", "dpo", "ropo", "oft"]),
        ("none", ["SFT", "dpo", "ropo", "oft"]),
    ]


def test_the_keyboard_sorts_and_reads_cells(fresh: Report) -> None:
    fresh.tab.get_by_role("columnheader", name="seconds").get_by_role("button").focus()
    fresh.tab.keyboard.press("Enter")
    assert fresh.names() == ["SFT", "ropo", "dpo", "oft"]
    first = fresh.tab.locator("#board tbody td").first
    first.focus()
    for key in ("ArrowDown", "ArrowRight"):
        fresh.tab.keyboard.press(key)
    told = fresh.tab.locator("#readout").inner_text()
    assert told == (
        "ropo, pocket-arena WR % †: 60.2 ± 1.3; 95 % interval [57.6, 62.8]; 240 items; 3 seeds; "
        "separated from every other row."
    )
    assert fresh.tab.locator("#board td[tabindex='0']").count() == 1


def test_intervals_are_text_on_demand(fresh: Report) -> None:
    interval = fresh.tab.locator("#board .interval", has_text="[57.6, 62.8]")
    assert not interval.is_visible()
    fresh.tab.get_by_role("button", name="95 % intervals").click()
    assert interval.is_visible()


def test_filters(fresh: Report) -> None:
    assert fresh.status() == "1 of 40 matches, 40 prompts in all"
    fresh.tab.locator("select[name=category]").select_option("maths")
    assert fresh.found() == 13
    fresh.tab.locator("input[name=text]").fill("PROMPT-1 ")
    assert fresh.found() == 1
    assert fresh.tab.locator("#battle mark").first.inner_text() == "prompt-1 "
    fresh.tab.locator("input[name=text]").fill("no such words")
    assert fresh.status() == "No match among 40 prompts"


@pytest.mark.parametrize("seed", ["0", ""])
def test_quick_filters_find_what_the_data_say(fresh: Report, seed: str) -> None:
    shown = report_data(seeds=2).of(samples.SECTION)
    assert shown is not None
    battles = shown.battles
    own = [[each for each in battle.answers if seed in ("", str(each.seed))] for battle in battles]
    fresh.tab.locator("select[name=seed]").select_option(seed)
    fresh.quick("unscored")
    assert fresh.found() == sum(any(a.value is None for a in answers) for answers in own) == 6
    fresh.quick("flipped")
    assert fresh.found() == sum({"won", "lost"} <= {a.verdict for a in answers} for answers in own) > 0
    fresh.quick("won")
    fresh.tab.locator("select[name=a]").select_option("ropo")
    assert fresh.found() == sum(any(a.row == "ropo" and a.verdict == "won" for a in answers) for answers in own) > 0
    fresh.tab.locator("select[name=b]").select_option("dpo")
    value = [{(a.row, a.seed): a.value for a in answers} for answers in own]
    beats = [
        any(
            (mine := each["ropo", s]) is not None and (its := each["dpo", s]) is not None and mine > its
            for _, s in each
        )
        for each in value
    ]
    assert fresh.found() == sum(beats) > 0


def test_rows_may_be_hidden_and_then_do_not_count(fresh: Report) -> None:
    fresh.tab.locator("input[name=row][value=dpo]").uncheck()
    assert fresh.tab.locator("#battle h4").all_inner_texts() == ["SFT, seed 0", "ropo, seed 0", "oft, seed 0"]
    fresh.quick("unscored")
    assert fresh.found() == 0


def test_the_keyboard_pages_through_samples(fresh: Report) -> None:
    fresh.tab.locator("#browser").focus()
    for key in ("ArrowRight", "PageDown", "ArrowLeft", "ArrowRight"):
        fresh.tab.keyboard.press(key)
    assert fresh.status().startswith("14 of 40")
    fresh.tab.locator("#next").focus()
    for _ in range(40):
        fresh.tab.keyboard.press("Enter")
    assert fresh.status().startswith("40 of 40")
    assert fresh.tab.evaluate("document.activeElement.id") == "next"
    fresh.tab.locator("#matches button").first.click()
    assert fresh.status().startswith("37 of 40")
    fresh.tab.keyboard.press("ArrowLeft")
    assert fresh.tab.evaluate("document.activeElement.ariaCurrent") == "true"
    assert fresh.status().startswith("36 of 40")


def test_hostile_text_is_text(fresh: Report) -> None:
    shown = ""
    for _ in HOSTILE:
        shown += fresh.tab.locator("#battle").inner_text()
        fresh.tab.locator("#next").click()
    for text in (
        HOSTILE[0],
        HOSTILE[1],
        HOSTILE[2],
        HOSTILE[4],
        "‹U+202E›abc‹U+202C›",
        "‹U+0000› null",
        "‹U+001B›[31m",
    ):
        assert text in shown
    assert fresh.tab.title() == "Report on night <1> · base pocket:sft"
    assert fresh.tab.locator("img, #battle a, #battle script, #battle b").count() == 0
    assert fresh.complaints == []


def test_a_foreign_script_would_not_run(fresh: Report) -> None:
    fresh.tab.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'run'";
        document.body.append(script);
    }""")
    assert fresh.tab.title() == "Report on night <1> · base pocket:sft"
    assert "Content Security Policy" in fresh.complaints.pop()


CONTRAST = """selector => {
    const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = colour => {
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data.slice(0, 3)].map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const own = light(getComputedStyle(document.querySelector(selector)).color);
    const paper = light(getComputedStyle(document.body).backgroundColor);
    return [paper, (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_readable_contrast_and_the_button_changes_them(fresh: Report, scheme: str) -> None:
    fresh.tab.emulate_media(color_scheme=scheme)
    for selector in (
        "h1",
        ".subtitle",
        ".contents a",
        ".error",
        ".coverage",
        ".letters",
        ".verdict.won",
        ".verdict.lost",
    ):
        while not fresh.tab.locator(selector).count():
            fresh.tab.locator("#next").click()
        paper, contrast = fresh.tab.evaluate(CONTRAST, selector)
        assert contrast > 4.5, selector
        assert (paper < 0.1) == (scheme == "dark")
    fresh.tab.locator("#theme").click()
    assert (fresh.tab.evaluate(CONTRAST, "h1")[0] < 0.1) == (scheme == "light")
    fresh.tab.emulate_media(color_scheme="light")


def test_on_a_phone_only_tables_and_figures_scroll_sideways(browser: Any, small: Path) -> None:
    phone = Report(browser, small, viewport={"width": 360, "height": 740})
    phone.tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert phone.tab.evaluate("document.documentElement.scrollWidth") <= 360
    board = phone.tab.locator(".scroll").first
    assert board.evaluate(
        "each => each.scrollWidth > each.clientWidth && getComputedStyle(each).overflowX === 'auto'"
    )
    phone.context.close()


def test_paper_has_all_figures_and_tables_and_no_controls(fresh: Report, drawn: dict[str, str]) -> None:
    fresh.tab.emulate_media(media="print", color_scheme="dark")
    for figure in fresh.tab.locator("figure svg").all():
        assert figure.is_visible()
    assert fresh.tab.locator("figure svg").count() == len(drawn) == 10
    assert fresh.tab.locator("details table").first.is_visible()
    assert not any(
        each.is_visible()
        for each in fresh.tab.locator("button, select, input").all()
        if "sort" not in (each.get_attribute("class") or "")
    )
    assert fresh.tab.evaluate(CONTRAST, "h1")[1] > 10
    assert fresh.tab.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    fresh.tab.emulate_media(media="screen", color_scheme="light")


TIMES = """() => {
    const text = document.querySelector("input[name=text]");
    const clock = work => {
        const start = performance.now();
        work();
        document.body.offsetHeight; // lays out
        return performance.now() - start;
    };
    const search = words => clock(() => {
        text.value = words;
        text.dispatchEvent(new Event("input", {bubbles: true}));
    });
    const press = id => clock(() => document.getElementById(id).click());
    return [search("prompt-7"), search("lantern copper"), search(""), press("next")];
}"""


def test_805_prompts_by_four_rows_stay_quick(browser: Any, tmp_path: Path, drawn: dict[str, str]) -> None:
    path = tmp_path / "large.html"
    path.write_text(write_page(report_data(805, 1500), drawn), encoding="utf-8")
    assert path.stat().st_size < 8e6
    start = time.monotonic()
    large = Report(browser, path)
    assert large.found() == 805
    assert time.monotonic() - start < 5
    assert large.tab.locator("#samples *").count() < 300  # one battle and one page of matches, not all
    milliseconds = large.tab.evaluate(TIMES)
    assert max(milliseconds) < 300, milliseconds
    assert large.complaints == []
    large.context.close()
