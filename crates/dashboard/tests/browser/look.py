"""Takes pictures of every page, to be looked at by a person.

look.py ADDRESS FOLDER [PREFIX]
"""
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
PAGES = "now overview applications hosts clients talkers protocols risks findings flows dns fingerprints networks query".split()
SIZES = {"wide": (1280, 800), "phone": (390, 844)}


def main(address, folder, prefix=""):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM)
        for theme in ("light", "dark"):
            for name, (width, height) in SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
                for path in [*PAGES, *details(page, address)]:
                    page.goto(f"{address}/{path}")
                    if path == "now":
                        page.wait_for_timeout(1500)
                    stem = path.split("?")[0]
                    page.screenshot(path=folder / f"{prefix}{stem}-{name}-{theme}.png", full_page=True)
                    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    if wide > 0:
                        print(f"{stem} {name} {theme}: {wide} px too wide")
                page.close()
        browser.close()


def details(page, address):
    """One thing of each kind, found as a reader finds it."""
    found = []
    for path, part in (("flows", "a.id"), ("applications", "tbody th a"), ("hosts", "tbody th a"), ("clients", "tbody th a"),
                       ("risks", "tbody th a"), ("fingerprints", "tbody th a")):
        page.goto(f"{address}/{path}")
        link = page.locator(part).first
        if link.count():
            found.append(link.get_attribute("href").lstrip("/"))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
