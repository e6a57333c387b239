"""What a reader does with the dashboard, in Chromium: check.py DAY EMPTY ONE HOSTILE (addresses of the demo's scenes).

Prints a line a check, and leaves with 1 if one has failed. Times are reported and never asserted.
"""
import csv
import io
import re
import sys
import traceback
from urllib.parse import parse_qs, urlsplit

from axe_core_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
PAGES = "now overview applications hosts clients talkers protocols risks findings flows dns fingerprints networks query".split()
LANGUAGES = "en be ru de fr".split()
WEIGHT_MAX = 500 * 1000
PHONE = {"width": 390, "height": 844}
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def until(page, expression, argument=None):
    """Waits until it is so. Playwright's own wait_for_function evaluates text in the page, which the page's policy forbids."""
    for _ in range(600):
        if page.evaluate(expression, argument):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never so: {expression}")


class Reader:
    """A page of its own, which keeps what went wrong in it."""

    def __init__(self, browser, address, **options):
        options.setdefault("viewport", {"width": 1280, "height": 800})
        self.address, self.wrong = address, []
        self.context = browser.new_context(locale=options.pop("locale", "en-GB"), **options)
        self.context.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI))")
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.wrong.append("dialog: " + dialog.message), dialog.dismiss()))
        self.page.on("request", self.requested)

    def requested(self, request):
        if not request.url.startswith((self.address + "/", "data:", "blob:")):
            self.wrong.append("asks elsewhere: " + request.url)

    def go(self, path):
        answer = self.page.goto(self.address + "/" + path.lstrip("/"))
        assert answer.status == 200, (path, answer.status)
        return self.page

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            assert not self.wrong, self.wrong


def details(reader):
    """One thing of each kind, found as a reader finds it."""
    found = []
    for path, part in (("flows", "a.id"), ("applications", "tbody th a"), ("hosts", "tbody th a"), ("clients", "tbody th a"),
                       ("protocols", "tbody th a"), ("risks", "tbody th a"), ("fingerprints", "tbody th a")):
        link = reader.go(path).locator("section.card " + part).first
        assert link.count(), f"{path} leads to nothing"
        found.append(link.get_attribute("href"))
    return found


@check
def every_page_loads_and_fits(browser, scenes):
    for scene, address in scenes.items():
        for size in ({"width": 1280, "height": 800}, PHONE):
            with Reader(browser, address, viewport=size) as reader:
                for path in [*PAGES, *(details(reader) if scene == "day" else [])]:
                    page = reader.go(path)
                    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    assert too_wide <= 0, f"{scene}, {path}: {too_wide} px too wide for {size['width']}"
                    assert page.locator("h1").inner_text().strip(), path
                    picture = Image.open(io.BytesIO(page.screenshot()))
                    assert len(picture.getcolors(1 << 24)) > 8, f"{scene}, {path}: nothing is drawn"


@check
def no_page_is_heavy_and_paint_is_told(browser, scenes):
    heaviest, paints = (0, ""), []
    with Reader(browser, scenes["day"]) as reader:
        for path in [*PAGES, *details(reader)]:
            page = reader.go(path)
            bytes_ = page.evaluate("""[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                .filter(e => !e.name.includes('/api/v1/live')).reduce((sum, e) => sum + e.decodedBodySize, 0)""")
            assert 2000 < bytes_ <= WEIGHT_MAX, f"{path}: {bytes_} bytes"
            heaviest = max(heaviest, (bytes_, path))
            until(page, "performance.getEntriesByName('first-contentful-paint').length")
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    paints.sort()
    print(f"  heaviest page: {heaviest[1]}, {heaviest[0] / 1000:.0f} kB unpacked; first contentful paint: median {paints[len(paints) // 2]:.0f} ms, most {paints[-1]:.0f} ms")


@check
def axe_finds_nothing(browser, scenes):
    axe = Axe()
    for theme in ("light", "dark"):
        for scene in ("day", "empty"):
            # axe is put into the page by the debugger, which the page's policy would forbid to everybody else.
            with Reader(browser, scenes[scene], color_scheme=theme, bypass_csp=True, reduced_motion="reduce") as reader:
                for path in [*PAGES, *(details(reader) if scene == "day" else [])]:
                    found = axe.run(reader.go(path))["violations"]
                    told = [(one["id"], [node["target"] for node in one["nodes"]][:4]) for one in found]
                    assert not told, f"{scene}, {theme}, {path}: {told}"


@check
def drill_down_keeps_the_time(browser, scenes):
    with Reader(browser, scenes["day"]) as reader:
        page = reader.go("hosts?range=7d")
        link = page.locator("section.card tbody th a").first
        host = link.inner_text()
        link.click()
        page.wait_for_url("**/host?**")
        assert page.locator("h1").inner_text() == host
        page.locator("section.card h2 a", has_text="Flows").click()
        page.wait_for_url("**/flows?**")
        assert parse_qs(urlsplit(page.url).query)["host"] == [host]
        page.locator("a.id").first.click()
        page.wait_for_url("**/flow?**")
        assert page.locator(".host").first.inner_text() == host
        page.locator(".between a").first.click()
        page.wait_for_url("**/client?**")
        assert parse_qs(urlsplit(page.url).query)["range"] == ["7d"], page.url
        page.locator(".side .m-dns a").click()
        page.wait_for_url("**/dns?range=7d")


@check
def the_live_page_moves_and_pauses(browser, scenes):
    with Reader(browser, scenes["day"]) as reader:
        page = reader.go("now")
        events = "Number(document.getElementById('live').dataset.events ?? 0)"
        until(page, events + " >= 2")
        first = page.locator("[data-live] path.line").get_attribute("d")
        until(page, "d => document.querySelector('[data-live] path.line').getAttribute('d') !== d", first)
        page.locator("[data-pause]").click()
        held = page.locator("[data-live] path.line").get_attribute("d")
        before = page.evaluate(events)
        until(page, f"{events} >= {before + 2}")
        assert page.locator("[data-live] path.line").get_attribute("d") == held


@check
def colours_and_language_are_remembered(browser, scenes):
    with Reader(browser, scenes["day"], color_scheme="light") as reader:
        page = reader.go("overview?range=7d")
        for theme, colour in (("dark", "rgb(15, 20, 26)"), ("light", "rgb(245, 246, 248)")):
            page.locator("details.settings summary").click()
            page.locator("select[name=theme]").select_option(theme)
            with page.expect_navigation():
                page.locator(".settings form").first.locator("button").click()
            assert page.url.endswith("/overview?range=7d"), page.url
            reader.go("hosts")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
            reader.go("overview?range=7d")
        titles = set()
        for language in LANGUAGES:
            page.locator("details.settings summary").click()
            page.locator("select[name=language]").select_option(language)
            with page.expect_navigation():
                page.locator(".settings form").first.locator("button").click()
            assert page.locator("html").get_attribute("lang") == language
            titles.add(page.locator("h1").inner_text())
        assert len(titles) == len(LANGUAGES), titles


@check
def long_words_fit(browser, scenes):
    for language in LANGUAGES:
        for size in ({"width": 1024, "height": 768}, PHONE):
            with Reader(browser, scenes["day"], locale=language, viewport=size) as reader:
                for path in PAGES:
                    page = reader.go(path)
                    assert page.locator("html").get_attribute("lang") == language
                    cut = page.evaluate("""[...document.querySelectorAll('h1, h2, dt, dd, button, .button, .side a')]
                        .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map(e => e.textContent)""")
                    assert not cut, f"{language}, {path}, {size['width']}: {cut}"
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{language}, {path}"


def downloaded(page, click):
    with page.expect_download() as waiting:
        click()
    return waiting.value.path()


def rows_of(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@check
def files_are_what_is_shown(browser, scenes):
    with Reader(browser, scenes["day"], accept_downloads=True) as reader:
        for path in ("protocols", "hosts", "clients", "risks"):
            # Between fixed ends, so that the file is about what the page was about.
            page = reader.go(path + "?from=2020-01-01&to=2040-01-01")
            section = page.locator("section.card").last
            rows = rows_of(downloaded(page, section.locator("a[download]").click))
            # What is long is cut in a table, and whole in the file and the title; the first cell's is a link or a text.
            shown = section.locator("tbody th [title]").evaluate_all("all => all.map(one => one.title)")
            assert len(shown) > 2, path
            assert [row[0] for row in rows[1:len(shown) + 1]] == shown, (path, rows[:3], shown[:3])


@check
def pictures_are_png_in_the_readers_colours(browser, scenes):
    corners = set()
    for theme in ("light", "dark"):
        with Reader(browser, scenes["day"], accept_downloads=True, color_scheme=theme) as reader:
            for path in ("applications", "networks", "now"):
                page = reader.go(path)
                button = page.locator("[data-png]").first
                button.wait_for()
                picture = Image.open(downloaded(page, button.click))
                assert picture.format == "PNG" and picture.width > 1000, path
                assert len(picture.getcolors(1 << 24)) > 20, f"{path}: nothing is drawn"
                corners.add((theme, picture.convert("RGB").getpixel((2, 2))))
    assert corners == {("light", (255, 255, 255)), ("dark", (23, 30, 38))}, corners


@check
def a_charts_file_equals_its_table(browser, scenes):
    with Reader(browser, scenes["day"], accept_downloads=True) as reader:
        page = reader.go("findings?from=2026-01-01&to=2030-01-01&sort=severity&direction=asc")
        figure = page.locator("[data-chart]")
        rows = rows_of(downloaded(page, figure.locator("a[download]").click))
        # A count is shown to the last digit. What is left over has a column in the file even where nothing is.
        cells = figure.locator("[data-values] tbody tr").evaluate_all(
            "all => all.map(row => [...row.cells].slice(1).map(cell => Number(cell.textContent.replace(/[^0-9]/g, ''))))")
        # A chart has six lines, and the others as one; the file has each line of the table's rows.
        lines = min(len(rows[0]) - 2, 6)
        numbers = [[int(cell) for cell in row[1:]] for row in rows[1:]]
        wanted = [row[:lines] + [sum(row[lines:])] for row in numbers]
        if len(cells[0]) == lines:
            assert all(row[-1] == 0 for row in wanted)
            wanted = [row[:-1] for row in wanted]
        assert cells == wanted and sum(map(sum, cells)) > 0, (cells[:2], wanted[:2])


@check
def the_keyboard_is_enough(browser, scenes):
    with Reader(browser, scenes["day"]) as reader:
        page = reader.go("overview")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        box = page.locator(".skip").bounding_box()
        assert box["x"] >= 0 and box["y"] >= 0, box
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        for _ in range(60):
            page.keyboard.press("Tab")
            ring = page.evaluate("""(() => { const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
                return e === document.body ? null : [e.outerHTML.slice(0, 90), s.outlineStyle, b.width * b.height] })()""")
            if ring is None:
                break
            assert ring[1] != "none" and ring[2] > 0, ring
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        assert page.locator("#help").is_hidden()
        for keys, path in (("gh", "hosts"), ("gf", "flows"), ("gq", "query")):
            page.keyboard.type(keys)
            page.wait_for_url(f"**/{path}*")
            if path == "query":
                break
            page.keyboard.press("/")
            assert page.evaluate("document.activeElement.name") == "search"
            page.keyboard.type("video")
            page.keyboard.press("Enter")
            page.wait_for_url("**search=video*")
            page.evaluate("document.activeElement.blur()")
        reader.go("hosts")
        page.keyboard.press("]")
        page.wait_for_url("**range=7d*")
        page.keyboard.press("[")
        page.wait_for_url(lambda url: "range" not in url)


@check
def names_from_the_network_stay_text(browser, scenes):
    for path in [*PAGES]:
        with Reader(browser, scenes["hostile"]) as reader:
            page = reader.go(path)
            if path == "now":
                until(page, "Number(document.getElementById('live').dataset.events ?? 0) >= 2")
            assert page.evaluate("typeof window.hacked") == "undefined", path
            assert page.locator("main script, main iframe, main img, main [onerror], main [onload]").count() == 0, path
            links = page.locator("main a").evaluate_all("all => all.map(a => new URL(a.href.baseVal ?? a.href, location).protocol)")
            assert set(links) <= {"http:"}, (path, set(links))
            text = page.locator("main").inner_text()
            assert not re.search("[\u202e\u2066\u200b\ufeff\x1b\x07]", text), path
    with Reader(browser, scenes["hostile"]) as reader:
        links = reader.go("hosts").locator("section.card tbody th a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        for link in links:
            reader.page.goto(reader.address + link)
            assert reader.page.evaluate("typeof window.hacked") == "undefined", link


@check
def it_works_without_scripts(browser, scenes):
    with Reader(browser, scenes["day"], java_script_enabled=False) as reader:
        for path in PAGES:
            page = reader.go(path)
            assert page.locator("main button[hidden]").count() == page.locator("main [data-png], main [data-pause], main [data-csv]").count(), path
        page = reader.go("hosts")
        assert page.locator("svg.timechart path.area").count() > 1
        page.locator("section.card tbody th a").first.click()
        assert "/host?" in page.url


@check
def motion_is_left_out_for_who_wants_none(browser, scenes):
    for motion, name in (("reduce", "none"), ("no-preference", "breathe")):
        with Reader(browser, scenes["day"], reduced_motion=motion) as reader:
            page = reader.go("now")
            page.wait_for_selector("[data-dot].on")
            assert page.evaluate("getComputedStyle(document.querySelector('[data-dot].on')).animationName") == name


def main(day, empty, one, hostile, *wanted):
    scenes = {"day": day, "empty": empty, "one": one, "hostile": hostile}
    failed = 0
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM)
        for function in CHECKS:
            if wanted and function.__name__ not in wanted:
                continue
            try:
                function(browser, scenes)
                print("ok    ", function.__name__, flush=True)
            except Exception:  # each check is told of, whatever stopped it
                failed += 1
                print("FAILED", function.__name__, flush=True)
                traceback.print_exc(file=sys.stdout)
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
