"""Forms as real clients send them, to real servers: every part byte for byte, whatever its name."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from playwright.async_api import async_playwright

from tests.servers import DEADLINE, Server

APP = "tests.servers.apps.uploads:app"
BIG = bytes(range(256)) * 4096 + b"\r\n--"  # more than a buffer holds, and nearly a delimiter at its end
CONTENTS = [b"", b"\r\n", b"\r\n--\r\n----", b"\0\xff\xfe", "é\n".encode(), BIG]
HOSTILE = [
    "../../etc/passwd", "..", "C:\\x\\y.txt", "\\\\server\\share", 'a"b.txt', "a;b=c.txt", "a%2fb%0d.txt", "a%.txt",
    "caf\u00e9 \u65e5\u672c.png", "gnp\u202e.exe", "con", ".htaccess", "a\tb", "a\nb", "a\r\nb", "a'b&<c>.txt",
    " a ", "x" * 300 + ".txt",
]  # fmt: skip
SAFE = re.compile(r'[^/\\:*?"<>|\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]+')
Parts = list[dict[str, Any]]


@pytest.fixture(params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """The servers that everything must hold on."""
    return start_server(request.param, APP)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Files on disk, one for each content."""
    paths = [tmp_path / f"{number}.bin" for number in range(len(CONTENTS))]
    for path, content in zip(paths, CONTENTS, strict=True):
        path.write_bytes(content)
    return paths


def url(server: Server, path: str) -> str:
    """The address of a route."""
    return f"http://{server.address[0]}:{server.address[1]}{path}"


async def run(*command: str, stdin: bytes = b"") -> str:
    """Runs a client, and gives what it prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        out, _ = await asyncio.wait_for(process.communicate(stdin), DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode()


def contents(parts: Parts) -> list[bytes]:
    """The content of each part."""
    return [base64.b64decode(part["content"]) for part in parts]


def check_names(parts: Parts, sent: list[str]) -> None:
    """The raw names are those that were given to the client, and the safe ones are safe."""
    assert [part["raw_filename"] for part in parts] == sent
    for part in parts:
        name = part["filename"]
        assert SAFE.fullmatch(name) and len(name.encode()) <= 200 and not name.startswith(".")
        assert name.lower() not in ("con", "..")


# -- curl


@pytest.mark.parametrize(
    ("server", "version"),
    [("hypercorn", "--http1.1"), ("hypercorn", "--http2-prior-knowledge"), ("uvicorn", "--http1.1")],
    indirect=["server"],
)
async def test_curl(server: Server, files: list[Path], tool: Callable[[str], str], version: str) -> None:
    """Files and a field, over both versions of HTTP, with and without a length."""
    for extra in ([], ["-H", "Transfer-Encoding: chunked"] if version == "--http1.1" else ["-H", "Expect:"]):
        form = [word for path in files for word in ("-F", f"files=@{path}")]
        command = [tool("curl"), "-s", version, *extra, *form, "-F", "text=caf\u00e9", url(server, "/parts")]
        *parts, field = json.loads(await run(*command))
        assert contents(parts) == CONTENTS
        assert [part["filename"] for part in parts] == [path.name for path in files]
        assert (contents([field]), field["is_file"]) == (["caf\u00e9".encode()], False)


async def test_names_from_curl(server: Server, files: list[Path], tool: Callable[[str], str]) -> None:
    """As its `filename=` takes them."""
    form = []
    for name in HOSTILE:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        form += ["-F", f'files=@{files[3]};filename="{quoted}"']
    parts = json.loads(await run(tool("curl"), "-s", *form, url(server, "/parts")))
    assert contents(parts) == [CONTENTS[3]] * len(HOSTILE)
    check_names(parts, HOSTILE)


# -- Python


def in_httpx(name: str) -> str:
    """It doubles backslashes, which browsers do not, and writes control characters in a way that nobody reads."""
    return name.replace("\\", "\\\\").replace("\t", "%09")


@pytest.mark.parametrize(
    ("server", "http2"), [("hypercorn", False), ("hypercorn", True), ("uvicorn", False)], indirect=["server"]
)
async def test_httpx(server: Server, http2: bool) -> None:
    """Fields before files, as it sends them, and hostile names."""
    sent = [("files", (name, content, "image/png")) for name in HOSTILE for content in CONTENTS[:4]]
    async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=DEADLINE) as client:
        answer = await client.post(url(server, "/parts"), files=sent, data={'te"xt': "caf\u00e9"})
        field, *parts = answer.json()
        assert (field["name"], contents([field])) == ('te"xt', ["caf\u00e9".encode()])
        assert contents(parts) == CONTENTS[:4] * len(HOSTILE)
        check_names(parts, [in_httpx(name) for name in HOSTILE for _ in range(4)])
        assert {part["type"] for part in parts} == {"image/png"}
        big = await client.post(url(server, "/parts"), files={"file": ("big", BIG)})
        assert contents(big.json()) == [BIG]


async def test_what_httpx_is_refused(server: Server) -> None:
    """Types, by what is declared and by what is there."""
    async with httpx.AsyncClient(timeout=DEADLINE) as client:
        files = {"file": ("caf\u00e9.bin", BIG, "image/png")}
        answer = await client.post(url(server, "/form?type=text/csv"), files=files)
        assert (answer.status_code, answer.json()["error"]) == (415, "type_not_allowed")
        answer = await client.post(url(server, "/form?sniff"), files=files)
        assert (answer.status_code, answer.json()["error"]) == (415, "type_mismatch")


async def test_requests(server: Server, files: list[Path]) -> None:
    """Files that are open, and hostile names."""

    def post(sent: Any, data: Any = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            return session.post(url(server, "/parts"), files=sent, data=data, timeout=DEADLINE).json()

    with files[5].open("rb") as file:
        field, part = await asyncio.to_thread(post, {"file": file}, {"text": "caf\u00e9"})
    assert contents([field, part]) == ["caf\u00e9".encode(), BIG]
    assert part["filename"] == files[5].name
    parts = await asyncio.to_thread(post, [("files", (name, b"\r\n--", "text/csv")) for name in HOSTILE])
    assert contents(parts) == [b"\r\n--"] * len(HOSTILE)
    check_names(parts, HOSTILE)


async def test_quarts_own_forms(server: Server) -> None:
    """They go on as before."""
    async with httpx.AsyncClient(timeout=DEADLINE) as client:
        answer = await client.post(url(server, "/files"), files={"file": ("a", BIG)})
    assert answer.json() == {"file": len(BIG)}


# -- Node and a browser: `FormData`, with contents and names made by the same script

FORM_DATA = """
const contents = CONTENTS.map(text => Uint8Array.from(atob(text), c => c.charCodeAt(0)));
const form = new FormData();
form.append('te"xt', 'caf\\u00e9\\nb');
for (const content of contents) form.append('files', new File([content], 'a.png', {type: 'image/png'}));
for (const name of NAMES) form.append('names', new File(['\\r\\n--'], name));
"""


def form_data() -> str:
    """The script, with its constants."""
    encoded = [base64.b64encode(content).decode() for content in CONTENTS]
    return f"const CONTENTS = {json.dumps(encoded)}, NAMES = {json.dumps(HOSTILE)};\n{FORM_DATA}"


def check_form_data(parts: Parts, *, line_end: str) -> None:
    """The form that the script makes."""
    field, files, names = parts[0], parts[1 : 1 + len(CONTENTS)], parts[1 + len(CONTENTS) :]
    assert (field["name"], contents([field])) == ('te"xt', [f"caf\u00e9{line_end}b".encode()])
    assert contents(files) == CONTENTS and {part["type"] for part in files} == {"image/png"}
    assert contents(names) == [b"\r\n--"] * len(HOSTILE)
    check_names(names, HOSTILE)


async def test_node(server: Server, tool: Callable[[str], str]) -> None:
    """Its fetch, with a form."""
    script = "const {File} = require('node:buffer');\n" + form_data()
    script += f"fetch('{url(server, '/parts')}', {{method: 'POST', body: form}}).then(r => r.text()).then(console.log)"
    check_form_data(json.loads(await run(tool("node"), "-", stdin=script.encode())), line_end="\r\n")


async def test_chromium(server: Server, files: list[Path], tool: Callable[[str], str]) -> None:
    """A form that is filled in and submitted, with files from the disk, from the page, and a field left empty."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=tool("chromium"), args=flags)
        try:
            page = await browser.new_page()
            page.set_default_timeout(DEADLINE * 1000)
            await page.goto(url(server, "/page"))
            await page.fill("#text", "caf\u00e9")
            await page.fill("#lines", "a\nb")
            await page.set_input_files("#files", files)
            await page.click("button")
            text, lines, *parts, empty = json.loads(await page.inner_text("body"))
            assert (text["name"], contents([text, lines])) == ('te"xt', ["caf\u00e9".encode(), b"a\r\nb"])
            assert contents(parts) == CONTENTS
            assert [part["filename"] for part in parts] == [path.name for path in files]
            assert (empty["is_file"], empty["raw_filename"], empty["content"]) == (False, "", "")

            await page.goto(url(server, "/page"))
            script = (
                "const choice = new DataTransfer();\nfor (const file of form.getAll('names')) choice.items.add(file);"
            )
            await page.evaluate(f"{form_data()}{script}\ndocument.querySelector('#files').files = choice.files; null")
            await page.click("button")
            _, _, *parts, _ = json.loads(await page.inner_text("body"))
            assert contents(parts) == [b"\r\n--"] * len(HOSTILE)
            check_names(parts, HOSTILE)

            await page.goto(url(server, "/page"))
            send = "(await fetch('/parts', {method: 'POST', body: form})).json()"
            check_form_data(await page.evaluate(f"(async () => {{ {form_data()}\nreturn {send} }})()"), line_end="\r\n")
        finally:
            await browser.close()
