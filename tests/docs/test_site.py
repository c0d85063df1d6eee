"""The site: it builds without a warning, and reading it asks nothing of anyone else."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.browser import tab
from tests.docs.pages import ROOT

MODULES = [
    "rxstream",
    "rxstream.explore",
    "rxstream.formats",
    "rxstream.metrics",
    "rxstream.operators",
    "rxstream.virtual",
    "quart_adapter",
    "quart_adapter.testing",
]
LOADED = {"audio", "embed", "iframe", "img", "link", "object", "script", "source", "video"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. `make docs` runs the same command; with --quiet, neither would count warnings."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class _Loaded(HTMLParser):
    """What a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in LOADED:
            names = ("src", "href", "srcset", "data")
            self.addresses += [value for name, value in attrs if name in names and value]


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No script, style, font, picture or counter of another host, so that it can be read without the internet."""
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]  # which only a server sends
    assert len(pages) > 20
    for page in pages:
        parser = _Loaded()
        parser.feed(page.read_text())
        assert parser.addresses
        for address in parser.addresses:
            assert not address.startswith(("http:", "https:", "//")), (page.name, address)
            if not address.startswith("data:"):
                assert (page.parent / address.partition("?")[0].partition("#")[0]).exists(), (page.name, address)
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(), style.name


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """The reference comes from the docstrings of all that may be imported."""
    anchors = "".join(page.read_text() for page in (site / "api").glob("*.html"))
    for name in MODULES:
        public = importlib.import_module(name).__all__
        missing = [public for public in public if f'id="{name}.{public}"' not in anchors]
        assert missing in ([], ["operators"]), name  # which has a page of its own


async def test_a_browser_reads_it_from_the_folder(site: Path, tool: Callable[[str], str]) -> None:
    """No server: pages open without an error or a request to anyone, diagrams are there, and the search finds."""
    asked: list[str] = []
    async with tab(tool("chromium"), dark=True) as page:
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "strategies", "demand", "howto/workers", "api/rxstream"):
            await page.goto(f"{site.as_uri()}/{name}.html", wait_until="load")
            assert await page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)"), name
        await page.get_by_placeholder("Search").fill("to_async_iterable")
        await page.locator(".md-search-result__item").first.wait_for()
    assert asked
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
