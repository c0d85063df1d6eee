"""nginx with a configuration from the docs: checked, and run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.docs.commands import free_port, wait_until_open

# What belongs around a site: everything that nginx writes is in the folder, and it stays one process of ours.
_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


class Nginx:
    """An nginx before an app.

    Args:
        program: The path of nginx.
        folder: Where it writes.
        site: The configuration; it listens on 127.0.0.1:8080 and passes to 127.0.0.1:8000.
        app: The address that takes the place of the latter. A free port takes that of the former.
    """

    def __init__(self, program: str, folder: Path, site: str, app: str = "127.0.0.1:8000") -> None:
        self.address = ("127.0.0.1", free_port())
        site = site.replace("127.0.0.1:8080", f"127.0.0.1:{self.address[1]}").replace("127.0.0.1:8000", app)
        self._file = folder / "nginx.conf"
        self._file.write_text(_AROUND.format(folder=folder, site=site))
        self._log = folder / "error.log"
        self._command = [program, "-p", str(folder), "-c", str(self._file), "-e", str(self._log)]
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> None:
        """`nginx -t`: raises if it finds a fault."""
        checked = subprocess.run([*self._command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr

    def __enter__(self) -> Nginx:
        self._process = subprocess.Popen(self._command)
        wait_until_open(self._process, self.address)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
