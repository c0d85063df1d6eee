"""Runs the blocks of a page in order, in a folder of their own, as a reader would."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from quart import Quart

from quart_adapter.testing import stream
from tests.docs.commands import Shell
from tests.docs.nginx import Nginx
from tests.docs.pages import Block

DEADLINE: Final = 60.0
"""Seconds that any block may take."""

Namespace = dict[str, Any]


class Runner:
    """The blocks of one page. What they leave behind, files and names, is there for the blocks after them.

    Args:
        folder: Empty; it is the working directory, and where titled blocks become files.
        tool: Finds a program that is no part of Python.
        services: Variables that blocks may read, and what starts the service and gives its address.
    """

    def __init__(self, folder: Path, tool: Callable[[str], str], services: dict[str, Callable[[], str]]) -> None:
        self.folder = folder
        self.namespace: Namespace = {}
        self.shell = Shell(folder, tool)
        self._services = services
        self._tool = tool
        self._kinds: dict[str, Callable[[Block], None]] = {
            "console": self.shell.run_console,
            "html": self._write,
            "js": self._check_script,
            "nginx": self._check_nginx,
            "python": self._python,
            "sh": self.shell.run,
            "text": lambda block: None,
        }

    def run(self, block: Block) -> None:
        """Runs a block, or says that nobody knows how."""
        assert block.language in self._kinds, f"{block.place}: no one runs {block.language} blocks; call it text?"
        for name, start in self._services.items():
            if name in block.code:
                self.shell.environment[name] = start()
        try:
            self._kinds[block.language](block)
        except Exception as error:
            error.add_note(f"in the block at {block.place}")
            raise

    def drawings(self) -> list[Path]:
        """The pictures that the blocks drew."""
        return sorted(self.folder.glob("*.svg"))

    def close(self) -> None:
        """Ends what the blocks have started, and forgets the modules that they were."""
        self.shell.close()
        self._forget_modules()

    def _write(self, block: Block) -> None:
        if block.title is not None:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)

    def _forget_modules(self) -> None:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(f"{self.folder}/"):
                del sys.modules[name]

    def _python(self, block: Block) -> None:
        self._write(block)
        if block.title is not None and Path(block.title).name.startswith("test_"):
            self._pytest(block.title)
            return
        if block.title is not None and "\n@app." not in block.code:
            return  # a module for the blocks after it, or a script for a command
        self._forget_modules()
        if not block.continues:
            self.namespace = {"__name__": Path(block.title or "app").stem}
        before = self.namespace.get("app")
        lines = "\n" * (block.line - 1)  # so that a traceback names the line of the page
        exec(compile(lines + block.code, str(block.page), "exec"), self.namespace)
        app = self.namespace.get("app")
        if isinstance(app, Quart) and app is not before:
            with ThreadPoolExecutor(1) as thread:  # a test that runs on a loop itself may call this
                thread.submit(asyncio.run, asyncio.wait_for(_request_all(app), DEADLINE)).result()

    def _pytest(self, name: str) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
        ran = subprocess.run(
            command, cwd=self.folder, env=self.shell.environment, capture_output=True, text=True, timeout=DEADLINE
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def _check_script(self, block: Block) -> None:
        script = self.folder / "script.mjs"
        script.write_text(block.code)
        subprocess.run([self._tool("node"), "--check", script], check=True, timeout=DEADLINE)

    def _check_nginx(self, block: Block) -> None:
        self._write(block)
        Nginx(self._tool("nginx"), self.folder, block.code).check()


async def _request_all(app: Quart) -> None:
    """Every GET route without variables answers, and with something."""
    async with app.test_app() as served:
        for rule in app.url_map.iter_rules():
            if "GET" in (rule.methods or ()) and not rule.arguments and rule.endpoint != "static":
                async with stream(served.test_client(), rule.rule, deadline=DEADLINE) as client:
                    assert client.status == 200, rule.rule
                    await client.read(1)
