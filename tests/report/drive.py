"""Drives a report in headless Chromium: every section renders, hover, sort, filter and dark mode work, nothing is
logged as an error, nothing is asked of a network, and axe-core has no serious finding.

    python tests/report/drive.py REPORT [--axe axe.min.js] [--name NAME] [--screenshots FOLDER] [--complete]

--complete asks that no section be without data: the folder was curated to its end and a run was trained from it.
Screenshots are for sample cohorts: those of patients are nobody's to keep.

The browser and its driver are the system's (chromium, chromedriver).
"""

import argparse
import base64
import json
import pathlib
import time

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SECTIONS = ["cohort", "audit", "curriculum", "similarity", "map", "extremes", "training", "cases"]


def browser():
    options = webdriver.ChromeOptions()
    for flag in ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1360,1000", "--hide-scrollbars"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    return webdriver.Chrome(options=options, service=service)


def find(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


def texts(driver, selector):
    return driver.execute_script("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)


def check_sections(driver, data):
    for section in SECTIONS:
        body = find(driver, f"#{section} .body")
        assert body.text.strip(), f"the section {section} is empty"
    if data["matrix"]:
        assert len(driver.find_elements(By.CSS_SELECTOR, "#map svg path, #map svg circle")) >= data["compared"]
        assert driver.find_elements(By.CSS_SELECTOR, "#extremes .pair")
    if data["curriculum"]:
        cards = len(driver.find_elements(By.CSS_SELECTOR, "#curriculum .stage:not(.rest) .card"))
        ranked = sum(case["rank"] is not None for case in data["cases"])
        assert cards == ranked, f"{cards} cards of {ranked} ranked cases"
        stages = len(driver.find_elements(By.CSS_SELECTOR, "#curriculum .stage:not(.rest)"))
        assert stages == len(data["curriculum"]["stages"])
    if data["runs"]:
        rows = driver.find_elements(By.CSS_SELECTOR, "#training [aria-label='Runs'] tbody tr")
        assert len(rows) == len(data["runs"])
        assert driver.find_elements(By.CSS_SELECTOR, "#training svg path")
    check_failures(driver, data)
    assert len(texts(driver, "#case-table tbody tr")) == len(data["cases"])


def check_failures(driver, data):
    """The worst validation cases are drawn, the worst first."""
    worst = (data["worst"] or {"cases": []})["cases"]
    shown = driver.find_elements(By.CSS_SELECTOR, "#failures figure")
    assert len(shown) == len(worst), f"{len(shown)} of {len(worst)} worst cases"
    for image in driver.find_elements(By.CSS_SELECTOR, "#failures img"):
        driver.execute_script("arguments[0].scrollIntoView()", image)
        driver.execute_async_script("arguments[0].decode().then(arguments[arguments.length - 1])", image)
        assert driver.execute_script("return arguments[0].naturalWidth", image) == 504
    assert [case["dice_mean"] for case in worst] == sorted(case["dice_mean"] for case in worst)


def check_heatmap(driver, data):
    """Hover tells the pair that the data has, in every order; the keyboard moves the cursor, too."""
    canvas = find(driver, "#heatmap")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    cases, low, high = data["compared"], data["matrix"]["low"], data["matrix"]["high"]
    drawn = driver.execute_script(
        "const c = document.getElementById('heatmap'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "const s = new Set(); for (let i = 0; i < d.length; i += 404) s.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return s.size")
    assert drawn > 20, f"the matrix has only {drawn} colours"
    ActionChains(driver).move_to_element_with_offset(canvas, 100, -140).perform()
    hovered = texts(driver, "#readout .card button")
    assert len(hovered) == 2, f"hover shows {hovered}"
    value = float(texts(driver, "#readout strong")[0].split()[-1])
    index = {case["id"]: i for i, case in enumerate(data["cases"])}
    a, b = sorted(index[name] for name in hovered)
    exact = driver.execute_script("return pairValue(arguments[0], arguments[1])", a, b)
    assert abs(value - exact) < 6e-4 and low - 1e-3 <= value <= high + 1e-3
    for order in ["cluster", "patient", "id", "rank"]:
        driver.execute_script("const s = document.getElementById('order'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", order)
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, "+", Keys.ARROW_RIGHT)
    by_keys = texts(driver, "#readout .card button")
    ranks = {case["rank"]: case["id"] for case in data["cases"]}
    assert by_keys[0] == ranks[3] and by_keys[1] == ranks[2], f"the cursor shows {by_keys}"
    canvas.send_keys("0", Keys.ENTER)
    assert texts(driver, "#case-title") == [ranks[3]]
    find(driver, "#case").send_keys(Keys.ESCAPE)
    assert cases


def check_nearest(driver, data):
    """What the page says is nearest agrees with its own matrix within a step."""
    matrix = data["matrix"]
    step = (matrix["high"] - matrix["low"]) / 510 + 1e-6
    for a, b, value in matrix["nearest"] + matrix["farthest"]:
        assert abs(driver.execute_script("return pairValue(arguments[0], arguments[1])", a, b) - value) <= step


def check_table(driver, data):
    head = find(driver, "#case-table thead th:nth-child(4) button")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)
    head.click()
    column = [text for text in texts(driver, "#case-table tbody td:nth-child(4)") if text != "–"]
    assert [int(text) for text in column] == sorted(int(text) for text in column), "not sorted by rank"
    head.click()
    column = [text for text in texts(driver, "#case-table tbody td:nth-child(4)") if text != "–"]
    assert [int(text) for text in column] == sorted((int(text) for text in column), reverse=True)
    assert not column or texts(driver, "#case-table tbody td:nth-child(4)")[0] != "–", "blanks come last"
    driver.execute_script("const s = document.getElementById('split'); s.value = 'val'; s.dispatchEvent(new Event('change'))")
    held_out = [case["id"] for case in data["cases"] if case["split"] == "val"]
    assert len(texts(driver, "#case-table tbody tr")) == len(held_out)
    find(driver, "#filter").send_keys(held_out[0])
    assert held_out[0] in texts(driver, "#case-table tbody td:first-child")
    find(driver, "#filter").clear()
    find(driver, "#filter").send_keys("no such case")
    assert texts(driver, "#case-table tbody tr") == [] and texts(driver, "#matching")[0].startswith("0 of")
    find(driver, "#filter").clear()
    driver.execute_script("for (const [i, e] of [['split', 'change'], ['filter', 'input']]) { const s = document.getElementById(i); s.value = ''; s.dispatchEvent(new Event(e)) }")


def check_map(driver):
    """Hover shows a tip, and every colouring draws."""
    box = find(driver, "#scatter")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    dots = driver.find_elements(By.CSS_SELECTOR, "#scatter [data-mark=dot] path")
    ActionChains(driver).move_to_element(dots[len(dots) // 2]).perform()
    time.sleep(0.3)
    assert "".join(texts(driver, "#scatter [aria-label=tip], #scatter [data-mark=tip]")).strip(), "no tip"
    for option in texts(driver, "#colour option"):
        driver.execute_script("const s = document.getElementById('colour'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", option)
        assert driver.find_elements(By.CSS_SELECTOR, "#scatter [data-mark=dot] path")
    driver.execute_script("const s = document.getElementById('colour'); s.selectedIndex = 0; s.dispatchEvent(new Event('change'))")


def set_theme(driver, theme):
    driver.execute_script("const s = document.getElementById('theme'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))", theme)
    return driver.execute_script("return getComputedStyle(document.body).backgroundColor")


def check_axe(driver, axe):
    driver.execute_script(axe)
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run().then((r) => done(r.violations.map((v) => [v.impact, v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' :: ' + (n.any[0]?.message ?? ''))])))")
    for finding in found:
        print("axe:", json.dumps(finding))
    serious = [finding for finding in found if finding[0] in ("serious", "critical")]
    assert not serious, f"{len(serious)} serious findings"


def check_quiet(driver, report):
    loud = [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert not loud, loud
    asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {m["params"]["request"]["url"].split(":")[0] for m in asked if m["method"] == "Network.requestWillBeSent"}
    assert urls <= {"file", "data", "blob"}, urls


def screenshots(driver, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    for section in SECTIONS:
        place = find(driver, f"#{section}").rect
        # The driver's own screenshot of an element ends where the window ends.
        picture = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": place | {"scale": 1}})
        (folder / f"{name}-{section}.png").write_bytes(base64.b64decode(picture["data"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--axe", type=pathlib.Path)
    parser.add_argument("--name", default="report")
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("--complete", action="store_true")
    words = parser.parse_args()
    driver = browser()
    driver.set_script_timeout(120)
    try:
        began = time.monotonic()
        driver.get(words.report.resolve().as_uri())
        opened = time.monotonic() - began
        data = json.loads(driver.execute_script("return document.getElementById('data').textContent"))
        if words.complete:
            for part in ["matrix", "curriculum", "audit", "thumbnails", "runs", "worst"]:
                assert data[part], f"the report has no {part}"
        check_sections(driver, data)
        if data["matrix"]:
            check_heatmap(driver, data)
            check_nearest(driver, data)
            check_map(driver)
        check_table(driver, data)
        light, dark = set_theme(driver, "light"), set_theme(driver, "dark")
        assert light != dark, "dark is as light as light"
        for theme in ["dark", "light"]:
            set_theme(driver, theme)
            if words.axe:
                check_axe(driver, words.axe.read_text())
            if words.screenshots:
                screenshots(driver, words.screenshots, f"{words.name}-{theme}")
        check_quiet(driver, words.report)
        print(f"{words.name}: {len(data['cases'])} cases, {words.report.stat().st_size / 2**20:.2f} MiB, opened in {opened:.1f} s: all well")
    finally:
        driver.quit()


main()
