"""The set-up scripts of the Makefile, on machines that lack things: stand-ins on PATH play those."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# A Python whose venv module lacks its other half until `lacking` is gone.
PYTHON_WITHOUT_ENSUREPIP = """#!/bin/sh
if [ "$1" = -m ] && [ -e lacking ]; then mkdir "$4"; exit 1; fi
if [ "$1" = -m ]; then mkdir "$4"; exit 0; fi
exec {python} "$@"
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script in an empty folder; `programs` are stand-ins on PATH."""

    def run(script: str, *arguments: str, CI: str = "", **programs: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name, text in programs.items():
            program = tmp_path / "bin" / name.replace("_", "-")
            program.write_text(text)
            program.chmod(0o755)
        environment = {"PATH": f"{tmp_path / 'bin'}:{os.defpath}", "HOME": str(tmp_path), "CI": CI}
        command = [str(SCRIPTS / script), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_launcher_without_its_python_is_passed_over(run: Run, tmp_path: Path) -> None:
    """A name on PATH that answers for no such version is none; pyenv's folder is looked at too."""
    versions = tmp_path / ".pyenv" / "versions" / f"{VERSION}.0" / "bin"
    versions.mkdir(parents=True)
    (versions / "python3").symlink_to(sys.executable)
    broken = "#!/bin/sh\necho 'no such version' >&2\nexit 127\n"
    found = run("find-python", VERSION, **{f"python{VERSION}": broken, "python3": broken, "python": broken})
    assert (found.returncode, Path(found.stdout.strip()).is_file(), found.stderr) == (0, True, "")


def test_no_python_is_a_failure_without_output(run: Run) -> None:
    """Nothing is made up."""
    found = run("find-python", "3.99")
    assert (found.returncode, found.stdout) == (1, "")


def test_what_is_missing_is_named_to_those_who_may_not_install(run: Run, tmp_path: Path) -> None:
    """Without root the package is named, and no half-made folder is left to look like a whole one."""
    (tmp_path / "lacking").touch()
    python = PYTHON_WITHOUT_ENSUREPIP.format(python=sys.executable)
    made = run("make-venv", "python", "env", python=python, id="#!/bin/sh\necho 1000\n", apt_get="#!/bin/sh\nexit 1\n")
    assert made.returncode == 1
    assert f"sudo apt-get install python{VERSION}-venv" in made.stderr
    assert not (tmp_path / "env").exists()


def test_what_is_missing_is_installed_by_root(run: Run, tmp_path: Path) -> None:
    """As root on Debian the package is installed, after the lists were fetched, and the folder made."""
    (tmp_path / "lacking").touch()
    python = PYTHON_WITHOUT_ENSUREPIP.format(python=sys.executable).replace('mkdir "$4"', 'mkdir -p "$4"')
    apt = '#!/bin/sh\necho "$1" >> asked\nif [ "$1" = install ]; then rm lacking; fi\n'
    made = run("make-venv", "python", "env", python=python, id="#!/bin/sh\necho 0\n", apt_get=apt)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "asked").read_text().split() == ["update", "install"]
    assert (tmp_path / "env").is_dir()


def test_no_python_at_all_says_what_to_do(run: Run) -> None:
    """The message names the version and the way out."""
    made = run("make-venv", "", "env")
    assert made.returncode == 1
    assert "3.11" in made.stderr
    assert "PYTHON=" in made.stderr


APT = """#!/bin/sh
echo "$1" >> asked
if [ "$1" = install ]; then echo "#!/bin/sh" > bin/gadget; chmod +x bin/gadget; fi
"""


def test_a_tool_that_is_missing_is_installed_by_root(run: Run, tmp_path: Path) -> None:
    """As root on Debian; one that is there costs nothing."""
    there = run("install-tools", "sh", id="#!/bin/sh\necho 0\n", apt_get=APT)
    assert (there.returncode, (tmp_path / "asked").exists()) == (0, False)
    installed = run("install-tools", "sh", "gadget", id="#!/bin/sh\necho 0\n", apt_get=APT)
    assert (installed.returncode, installed.stdout) == (0, "")
    assert (tmp_path / "asked").read_text().split() == ["update", "install"]


def test_a_tool_that_cannot_be_installed_is_named(run: Run) -> None:
    """Aloud, and as a failure in CI."""
    missing = run("install-tools", "gadget", id="#!/bin/sh\necho 1000\n", apt_get=APT)
    assert (missing.returncode, "NOT FOUND: gadget" in missing.stdout) == (0, True)
    assert run("install-tools", "gadget", id="#!/bin/sh\necho 1000\n", apt_get=APT, CI="true").returncode == 1
