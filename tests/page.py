"""Tries the page of `plot --html` in a real browser: width, sorting, the batch chooser, tooltips, the keyboard, no network.

Usage: page.py CHROMIUM RUN PAGE [RUN PAGE]...; RUN is the folder whose figures PAGE shows. Pictures go beside each page.
"""

import csv
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]

# Whatever is seen, outside of what scrolls by itself, and sticks out of the window.
OUTSIDE = """() => [...document.querySelectorAll("body *")]
  .filter(e => !e.closest(".scroll") && !e.closest(".skip") && e.checkVisibility())
  .filter(e => { const b = e.getBoundingClientRect(); return b.width && (b.right > innerWidth + 1 || b.left < -1); })
  .map(e => e.tagName + " " + (e.className.baseVal ?? e.className))"""
CUT_OFF = """() => [...document.querySelectorAll(".scroll")]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute("aria-label"))"""
# The tooltip at the middle of each invisible rectangle that has one, as the mouse would find it.
TIPS = """() => [...document.querySelectorAll("svg g[fill=transparent] rect")].filter(e => e.checkVisibility()).map(e => {
  e.scrollIntoView({block: "center"});
  const b = e.getBoundingClientRect();
  const hit = document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);
  return [e.textContent, hit?.closest("rect")?.querySelector("title")?.textContent ?? ""];
})"""


def rows(file):
    with open(file, newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def number(text):
    try:
        return float(text.split()[0])
    except (IndexError, ValueError):
        return None


def body(table):
    return [row.locator("th, td").all_text_contents() for row in table.locator("tbody tr").all()]


def is_sorted(values, descending):
    """Numbers before what is none; words by the alphabet."""
    numbers = [number(value) for value in values]
    known = [value for value in numbers if value is not None]
    if not known:
        folded = [value.lower() for value in values]
        return folded == sorted(folded, reverse=descending)
    return numbers[: len(known)] == sorted(known, reverse=descending)


def check_width(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    inside = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert inside, f"the page is wider than {width} pixels"
    outside = page.evaluate(OUTSIDE)
    assert not outside, f"outside of {width} pixels: {outside}"
    if width >= 1280:
        cut_off = page.evaluate(CUT_OFF)
        assert not cut_off, f"cut off at {width} pixels: {cut_off}"


def check_sorting(page):
    count = 0
    for table in page.locator(".scroll table:visible").all():
        before = body(table)
        for column, head in enumerate(table.locator("thead th").all()):
            for order in ["ascending", "descending"]:
                head.locator("button").click()
                assert head.get_attribute("aria-sort") == order
                now = body(table)
                assert sorted(now) == sorted(before), "sorting moves whole rows"
                values = [row[column] for row in now]
                assert is_sorted(values, order == "descending"), f"{order}: {values}"
                count += 1
        assert table.locator("th[aria-sort]").count() == 1, "one column is the sorted one"
    assert count > 20, f"only {count} columns"


def check_chooser(page, run):
    phases = rows(run / "phases.csv")
    for chooser in page.locator(".chooser").all():
        image, select = chooser.get_attribute("data-image"), chooser.locator("select")
        for batch in select.locator("option").all_text_contents():
            select.select_option(batch)
            shown = page.locator(f".layers:visible[data-image='{image}']")
            assert shown.count() == 1 and shown.get_attribute("data-batch") == batch
            of_batch = [row for row in phases if (row["batch"], row["image"], row["phase"]) == (batch, image, "forward")]
            cells = {row[0]: row[2] for row in body(shown)}
            for row in of_batch:
                wanted, found = float(row["mean_us"]) / 1e3, cells[row["layer"]]
                assert abs(wanted - float(found)) <= 0.000501, f"{row['layer']} at {batch}: {found}, not {wanted}"


def check_tips(page, run):
    # Of one image size or another.
    shares = {}
    for row in rows(run / "summary.csv"):
        place = row["batch"], f"{row['group']} {row['phase'].replace('_', ' ')}"
        shares.setdefault(place, []).append(float(row["share_pct"] or "nan"))
    tips, checked = page.evaluate(TIPS), 0
    # Narrow charts have short words.
    whole = {"fwd": "forward", "data": "backward data", "weights": "backward weights", "update": "weight update"}
    for text, under_mouse in tips:
        assert any(c.isdigit() for c in text), f"a tooltip without a value: {text}"
        assert under_mouse, f"the mouse does not find: {text}"
        place, _, value = text.partition(": ")
        batch, _, part = place.removeprefix("batch ").partition(", ")
        group, _, phase = part.partition(" ")
        known = shares.get((batch, f"{group} {whole.get(phase, phase)}"), [])
        if known and value.endswith(" %"):
            assert any(abs(share - float(value[:-2])) <= 0.0501 for share in known), f"{text}, not {known}"
            checked += 1
    assert checked > 5, f"only {checked} of {len(tips)} tooltips were recognised"


def check_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip", "the first stop leads to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    seen, last = set(), None
    for _ in range(400):
        page.keyboard.press("Tab")
        tag = page.evaluate("document.activeElement.tagName + (document.activeElement.closest('thead') ? ' head' : '')")
        if tag in seen or tag in ("BODY", "A"):
            continue
        seen.add(tag)
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"the focus is not seen on {tag}"
        if tag == "SUMMARY":
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open"), "the words open"
        elif tag == "BUTTON head":
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
        elif tag == "SELECT":
            last = page.evaluate("document.activeElement.value")
            page.keyboard.press("Home")
            first = page.evaluate("document.activeElement.options[0].value")
            shown = page.locator(".layers:visible").first.get_attribute("data-batch")
            assert shown == first, f"the keyboard chose {first}, {shown} is shown, {last} was"
    assert seen == {"SUMMARY", "DIV", "BUTTON head", "SELECT"}, seen


def check_without_script(browser, url):
    page = browser.new_page()
    page.route("**/*", lambda route: route.continue_())
    page.goto(url)
    assert page.locator(".chooser:visible").count() == 0 and page.locator(".layers:visible").count() > 0
    assert page.locator("thead button").count() == 0
    page.close()


def check_page(start, run, file):
    requests, faults = [], []
    browser = start()
    page = browser.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(file.as_uri())
        page.screenshot(path=file.with_name(f"page-{width}.png"), full_page=True)
        check_width(page, width)
        check_tips(page, run)
        check_chooser(page, run)
        check_sorting(page)
        check_width(page, width)
        page.goto("about:blank")
        page.goto(file.as_uri())
        check_keyboard(page)
    own = file.as_uri()
    others = [url for url in requests if url.split("#")[0] != own and url != "about:blank"]
    assert not others and not faults, (others, faults)
    browser.close()
    browser = start(java_script_enabled=False)
    check_without_script(browser, own)
    browser.close()


def main():
    chromium, *pairs = sys.argv[1:]
    # A browser that ends may still be writing.
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profiles:

        def start(**options):
            profile = tempfile.mkdtemp(dir=profiles)
            launch = playwright.chromium.launch_persistent_context
            return launch(profile, executable_path=chromium, headless=True, args=OPTIONS, **options)

        for run, file in zip(pairs[::2], pairs[1::2]):
            check_page(start, Path(run), Path(file).resolve())
            print(f"{run}: the page holds")


main()
