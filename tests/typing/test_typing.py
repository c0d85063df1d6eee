"""The types that users get: the API as they write it is clean, and their mistakes are found.

Where the packages are installed and not beside the tests, this also shows that they tell checkers of their types.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Finding = tuple[str, int, str]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """(file, line, code) of each error in both files."""
    cache = tmp_path_factory.mktemp("mypy")
    files = [str(HERE / name) for name in ("usage.py", "misuse.py")]
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache)]
    run = subprocess.run([*command, "--no-pretty", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = re.findall(r"^(.+?):(\d+): error: .*\[([\w-]+)\]$", run.stdout, re.MULTILINE)
    assert len(found) == run.stdout.count(": error:"), run.stdout
    return [(Path(file).name, int(line), code) for file, line, code in found]


@pytest.mark.timeout(300)
def test_the_api_as_users_write_it_is_clean(findings: list[Finding]) -> None:
    """No error, in strict mode, and each type is the one that is asserted."""
    assert [finding for finding in findings if finding[0] == "usage.py"] == []


@pytest.mark.timeout(300)
def test_mistakes_are_found(findings: list[Finding]) -> None:
    """Each marked line has the error that its mark names, and no other line has any."""
    marks = [
        ("misuse.py", number, mark[1])
        for number, line in enumerate((HERE / "misuse.py").read_text().splitlines(), 1)
        if (mark := re.search(r"# finds: ([\w-]+)", line))
    ]
    assert len(marks) > 10
    assert sorted(finding for finding in findings if finding[0] == "misuse.py") == marks
