"""What a block of shell may say. Each command is run, or what it names is checked; others are refused."""

from __future__ import annotations

import os
import re
import selectors
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT, Block

DEADLINE: Final = 60.0
SHOWN_ADDRESS: Final = "127.0.0.1:8000"
"""The address in the docs; where a server really listens takes its place."""


class Shell:
    """Runs commands in a page's folder, and the servers that they start until the next one, or the end of the page."""

    def __init__(self, folder: Path, tool: Callable[[str], str]) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.address: str | None = None
        self._folder = folder
        self._tool = tool
        self._server: subprocess.Popen[bytes] | None = None
        self._commands: dict[str, Callable[[list[str], str | None], None]] = {
            "curl": self._curl,
            "hypercorn": self._hypercorn,
            "make": _make,
            "mkdir": self._mkdir,
            "pip": _pip,
            "printf": self._shell,
            "pytest": lambda words, expected: self._run([sys.executable, "-m", *words], expected),
            "python": self._python,
            "redis-server": lambda words, expected: None,  # the tests have started one
            "uvicorn": self._uvicorn,
        }

    def run(self, block: Block) -> None:
        """Runs the lines of a `sh` block; what they print is not looked at."""
        for command in block.code.replace("\\\n", " ").splitlines():
            if words := shlex.split(command, comments=True):
                self._command(words, None)

    def run_console(self, block: Block) -> None:
        """Runs the commands of a `console` block; each must print the lines after it."""
        code = block.code.replace("\\\n", " ")
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", code, re.MULTILINE):
            self._command(shlex.split(command, comments=True), output or None)

    def serve(self, command: str) -> None:
        """Starts a server; `address` is where it listens."""
        self._command(shlex.split(command), None)

    def close(self) -> None:
        """Stops the server."""
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(DEADLINE)
            finally:
                self._server.kill()
            self._server = None

    def _command(self, words: list[str], expected: str | None) -> None:
        while assignment := re.fullmatch(r"([A-Z_]+)=(.*)", words[0]):
            self.environment[assignment[1]] = assignment[2]
            words = words[1:]
        name = Path(words[0]).name
        assert name in self._commands, f"nobody knows how to run {words}"
        self._commands[name](words, expected)

    # -- the commands

    def _mkdir(self, words: list[str], expected: str | None) -> None:
        for name in words[1:]:
            (self._folder / name).mkdir()

    def _shell(self, words: list[str], expected: str | None) -> None:
        *text, arrow, name = words
        assert arrow == ">", words
        self._run(["sh", "-c", '"$@" > "$0"', name, *text], expected)

    def _python(self, words: list[str], expected: str | None) -> None:
        if SHOWN_ADDRESS in words:  # a script that serves there
            self._serve(lambda address: [address if word == SHOWN_ADDRESS else word for word in words[1:]])
        elif words[1:3] != ["-m", "venv"]:  # which the tests have made already
            self._run([sys.executable, *words[1:]], expected)

    def _curl(self, words: list[str], expected: str | None) -> None:
        assert self.address is not None, "curl before a server was started"
        words = [word.replace(SHOWN_ADDRESS, self.address) for word in words[1:]]
        self._run([self._tool("curl"), "--silent", "--show-error", *words], expected)

    def _hypercorn(self, words: list[str], expected: str | None) -> None:
        self._serve(lambda address: ["-m", *words, "--bind", address])

    def _uvicorn(self, words: list[str], expected: str | None) -> None:
        self._serve(lambda address: ["-m", *words, "--host", "127.0.0.1", "--port", address.rpartition(":")[2]])

    def _serve(self, arguments: Callable[[str], list[str]]) -> None:
        self.close()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [sys.executable, *arguments(self.address)]
        self._server = subprocess.Popen(command, cwd=self._folder, env=self.environment)
        wait_until_open(self._server, ("127.0.0.1", port))

    # -- running

    def _run(self, command: list[str], expected: str | None) -> None:
        """Runs a command to its end; or until it has printed what is expected, when that ends with `...`."""
        with subprocess.Popen(
            command, cwd=self._folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                output, ended = _read(process, expected)
            finally:
                process.terminate()
            errors = process.stderr.read().decode() if process.stderr is not None else ""
        assert not ended or process.returncode == 0, f"{command}: {output}{errors}"
        assert expected is None or _fits(expected, output), f"{command} printed\n{output}{errors}\nand not\n{expected}"


def _read(process: subprocess.Popen[bytes], expected: str | None) -> tuple[str, bool]:
    """What a process prints, and whether it ended by itself."""
    assert process.stdout is not None
    endless = expected is not None and expected.rstrip().endswith("...")
    output = b""
    end = time.monotonic() + DEADLINE
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < end:
            if not ready.select(1.0):
                continue
            chunk = os.read(process.stdout.fileno(), 65536)
            output += chunk
            if not chunk:
                process.wait(DEADLINE)
                return output.decode(), True
            if endless and expected is not None and _fits(expected, output.decode(errors="replace")):
                return output.decode(errors="replace"), False
    raise AssertionError(f"{process.args!r} neither ended nor printed what was expected: {output!r}")


def _fits(expected: str, output: str) -> bool:
    """Whether the output is what is expected, where `...` is any text in a line, and as a line of its own any lines."""
    pattern = ""
    for line in expected.strip().splitlines():
        pattern += r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, output.replace("\r\n", "\n").strip() + "\n") is not None


def _make(words: list[str], expected: str | None) -> None:
    targets = re.findall(r"^([a-z][\w.-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words[1:]) <= set(targets), f"no such target: {words}"


def _pip(words: list[str], expected: str | None) -> None:
    """What is installed is there already: each extra is one of ours, each other package can be imported."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[1] == "install", words
    for word in words[2:]:
        package, _, named = word.partition("[")
        assert set(filter(None, named.rstrip("]").split(","))) <= set(extras), f"no such extra: {word}"
        if package not in (".", "rxstream"):
            assert shutil.which(package) or _importable(package.replace("-", "_")), word


def _importable(name: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {name}"], check=False).returncode == 0


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_open(process: subprocess.Popen[bytes], address: tuple[str, int]) -> None:
    """Waits until a process answers at its address."""
    end = time.monotonic() + DEADLINE
    while True:
        assert process.poll() is None, f"{process.args!r} ended"
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"{process.args!r} does not answer"
            time.sleep(0.02)
