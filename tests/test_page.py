"""The page to step through, in a real browser: what a reader sees, clicks, types and hears."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor, draw
from tinygrad_bp.expression import format_number
from tinygrad_bp.program import Program
from tinygrad_bp.worked import examples, step_by_step

pytestmark = pytest.mark.browser

CHROMIUM, DRIVER = (shutil.which(name) or shutil.which(name, path="/usr/bin") for name in ("chromium", "chromedriver"))
HOSTILE = "</svg><script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium without a network."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not CHROMIUM or not DRIVER:
        pytest.skip("there is no browser: chromium and chromedriver, Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def steps(folder: Path) -> draw.Steps:
    """Those of the second document's example, saved as steps.html."""
    found = draw.steps(step_by_step.forward())
    found.save(folder / "steps.html")
    return found


@pytest.fixture
def page(browser: Any, steps: draw.Steps, folder: Path) -> Any:
    """The page as a double click on the file opens it."""
    return opened(browser, folder / "steps.html")


def opened(browser: Any, path: Path, width: int = 1100, height: int = 850, scheme: str = "light") -> Any:
    browser.get_log("performance")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    )
    media = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.get("about:blank")
    browser.get(path.as_uri())
    return browser


def click(page: Any, button: str) -> None:
    page.find_element("id", button).click()


def press(page: Any, key: str) -> None:
    page.find_element("css selector", "figure").send_keys(key)


def titled(step: draw.Step) -> str:
    """Its title as the page writes it."""
    return step.heading + (step.goal.text(unicode=True) if step.goal else "")


def said(page: Any) -> str:
    """The words beneath the picture."""
    return str(page.find_element("id", "now").text)


def seen(page: Any, selector: str = "svg text[data-number]") -> dict[str, str]:
    """What the picture shows: the number's name -> its text."""
    script = """return [...document.querySelectorAll(arguments[0])].map((text) =>
        [text.dataset.number, text.textContent, getComputedStyle(text).visibility])"""
    return {number: text for number, text, visibility in page.execute_script(script, selector) if visibility == "visible" and text.strip()}


def test_every_number_of_every_step_is_the_tensors_own(page: Any, steps: draw.Steps) -> None:
    program = Program.of(step_by_step.forward())
    given = set(seen(page))
    for k in range(1, len(steps)):
        click(page, "next")
        step, shown = steps[k], seen(page)
        assert said(page).startswith(titled(step))
        assert set(shown) == given | {number for earlier in steps[: k + 1] for number in earlier.new}
        assert set(seen(page, "svg text.new")) == set(step.new)
        for number in step.new:
            kind, place, *index = number.split("-")
            array = program.gradients[int(place)] if kind == "grad" else program.lines[int(place)].value
            value = format_number(np.asarray(array)[tuple(map(int, index))], 6)
            assert shown[number].endswith(value)
            assert step.formulas[-1].members()[-1] == value
            assert f"= {value}" in said(page)
    assert len(shown) == len({number for step in steps for number in step.new}) + len(given) == 39
    assert "0.298371" in shown.values()


def test_buttons(page: Any, steps: draw.Steps) -> None:
    enabled = lambda: [page.find_element("id", name).is_enabled() for name in ("first", "previous", "next")]  # noqa: E731
    assert enabled() == [False, False, True]
    click(page, "next")
    click(page, "next")
    assert enabled() == [True, True, True]
    click(page, "previous")
    assert said(page).startswith(titled(steps[1]))
    click(page, "first")
    assert said(page).startswith(titled(steps[0]))


def test_keys(page: Any, steps: draw.Steps) -> None:
    right, left, home, end, space = "\ue014", "\ue012", "\ue011", "\ue010", " "
    for key, k in ((right, 1), (right, 2), (left, 1), (end, len(steps) - 1), (right, len(steps) - 1), (home, 0), (left, 0)):
        press(page, key)
        assert said(page).startswith(titled(steps[k]))
    press(page, space)
    assert "Pause" in page.find_element("id", "play").text
    press(page, space)
    assert "Play" in page.find_element("id", "play").text


def test_play_runs_to_the_end_and_stops(page: Any, steps: draw.Steps) -> None:
    page.execute_script("window.setInterval = ((real) => (f, ms) => real(f, 1))(window.setInterval)")  # the same, without the waiting
    click(page, "play")
    waited = page.execute_async_script("setTimeout(() => arguments[0](true), 1500)")
    assert waited
    assert said(page).startswith(titled(steps[-1]))
    assert "Play" in page.find_element("id", "play").text
    assert page.find_element("id", "now").get_attribute("aria-live") == "polite"


def test_the_slider_and_the_address_lead_to_a_step(page: Any, steps: draw.Steps, folder: Path) -> None:
    slider = page.find_element("id", "slider")
    page.execute_script("arguments[0].value = 14; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert said(page).startswith(titled(steps[14]))
    assert slider.get_attribute("aria-valuetext") == titled(steps[14])
    assert page.current_url.endswith("#14")
    page.get("about:blank")
    page.get((folder / "steps.html").as_uri() + "#19")
    assert said(page).startswith(titled(steps[19]))


def test_a_screen_reader_is_told(page: Any) -> None:
    now = page.find_element("id", "now")
    assert (now.get_attribute("aria-live"), now.get_attribute("aria-atomic")) == ("polite", "true")
    assert page.find_element("tag name", "html").get_attribute("lang") == "en"
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]}
    for name in ("First step", "Previous step", "Play", "Next step"):
        assert ("button", name) in named
    assert ("slider", "Step") in named
    assert any(role == "image" and name for role, name in named)
    assert all(name for role, name in named if role in ("button", "slider", "image", "figure", "group", "region"))


def test_a_page_opened_from_a_file_asks_for_nothing_else(page: Any, folder: Path) -> None:
    press(page, "\ue010")
    log = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in log if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("about:")} == {(folder / "steps.html").as_uri()}
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [320, 390, 820, 1400])
def test_the_page_fits_its_width_and_shows_what_is_new(browser: Any, steps: draw.Steps, folder: Path, width: int) -> None:
    page = opened(browser, folder / "steps.html", width, 800)
    for k in range(len(steps)):
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        outside = page.execute_script(
            """const frame = document.querySelector("figure").getBoundingClientRect();
            return [...document.querySelectorAll("text.new")].filter((text) => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1;
            }).length"""
        )
        assert outside == 0, steps[k].title
        press(page, "\ue014")
    small = page.execute_script("""return [...document.querySelectorAll("button")].map((b) => b.getBoundingClientRect())
        .filter((box) => box.height < 44 || box.width < 44).length""")
    assert small == 0  # a finger needs that much
    assert page.execute_script("return document.querySelector('svg text').getBoundingClientRect().height") > 9


@pytest.mark.parametrize("picture", [draw.network, draw.circuit, draw.backward])
def test_text_stands_in_the_middle_of_its_node_in_the_browsers_font(browser: Any, tmp_path: Path, picture: Any) -> None:
    path = tmp_path / "picture.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{picture(step_by_step.forward()).svg()}", encoding="utf-8")
    off = opened(browser, path).execute_script("""
        const middle = (element) => { const box = element.getBoundingClientRect(); return (box.left + box.right) / 2; };
        return [...document.querySelectorAll("g.node")].flatMap((node) => [...node.querySelectorAll("text")].filter((text) =>
            text.textContent.trim() && Math.abs(middle(text) - middle(node.querySelector("ellipse, polygon, path"))) > 1)
        ).map((text) => text.textContent)""")
    assert off == []


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it, of a colour as a browser gives it."""
    parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_both_modes(browser: Any, steps: draw.Steps, folder: Path, scheme: str) -> None:
    page = opened(browser, folder / "steps.html", scheme=scheme)
    colours = page.execute_script("""const of = (s, p) => getComputedStyle(document.querySelector(s))[p];
        return [of("body", "backgroundColor"), of("h2", "color"), of(".formula", "color"), of(".keys", "color")]""")
    ground, *inks = map(luminance, colours)
    assert (ground < 0.1) == (scheme == "dark")
    for ink in inks:
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 4.5


@pytest.mark.parametrize("name", [HOSTILE, '<b>&"\\N', "{{script}}", "'\"><img src=x onerror=alert(1)>", "误差 δ"])
def test_names_are_text_and_run_no_script(browser: Any, tmp_path: Path, name: str) -> None:
    w = Tensor(0.5, requires_grad=True, name=name)
    loss = tg.sigmoid(w * 3.0).named(f"net {name}") * 2.0
    path = draw.steps(loss.named(f"E {name}")).save(tmp_path / "hostile.html")
    page = opened(browser, path)
    press(page, "\ue010")
    press(page, "\ue012")
    assert page.execute_script("return document.scripts.length") == 1
    assert page.execute_script("return document.querySelectorAll('img, b').length") == 0
    assert name in page.execute_script("return document.querySelector('h1').textContent")
    assert name in page.execute_script("return document.querySelector('svg').textContent")
    assert name in said(page)
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_script_that_slips_in_does_not_run(browser: Any, steps: draw.Steps, tmp_path: Path) -> None:
    """Were a name not escaped, the page's own policy would still stop it."""
    path = tmp_path / "slipped.html"
    path.write_text(steps.html().replace("<main>", "<main><script>document.title = 'ran'</script>"), encoding="utf-8")
    page = opened(browser, path)
    assert page.title == steps.title
    assert said(page)
    page.get_log("browser")


def test_without_scripts_the_whole_story_can_be_read(browser: Any, steps: draw.Steps, folder: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = opened(browser, folder / "steps.html")
        text = page.find_element("tag name", "body").text
        assert all(titled(step) in text for step in steps)
        assert not page.find_element("id", "play").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_in_a_notebook_the_page_stands_in_a_frame(browser: Any, steps: draw.Steps, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{steps._repr_mimebundle_()['text/html']}", encoding="utf-8")
    page = opened(browser, path)
    page.switch_to.frame(0)
    click(page, "next")
    assert said(page).startswith(titled(steps[1]))
    page.switch_to.default_content()
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_training_shows_the_weights_of_each_update(browser: Any, tmp_path: Path) -> None:
    example = examples.load("step_by_step")
    sgd = tg.optim.SGD(example.model.parameters(), lr=example.lr)
    path = draw.training(example.loss, sgd, updates=4, every=2).save(tmp_path / "training.html")
    page = opened(browser, path)
    for updates in (0, 2, 4):
        model = step_by_step.network()
        again = tg.optim.SGD(model.parameters(), lr=example.lr)
        for _ in range(updates):
            again.zero_grad()
            step_by_step.forward(model).backward()
            again.step()
        shown = " ".join(seen(page).values())
        for name, value in step_by_step.updated_weights(model).items():
            assert f"{name} = {format_number(value, 6)}" in shown
        press(page, "\ue014")
