"""A headless Chromium, spoken to over its pipe: no driver and no package are needed.

The DevTools protocol sends JSON messages, each ended by a NUL, over the file descriptors 3 and 4
of the process (`--remote-debugging-pipe`).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE_SECONDS = 60
# It reads from descriptor 3 and writes to 4.
_START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
# Shadow roots hide what is inside them from `querySelectorAll` and `innerText`.
_DEEP = """
const deep = (root, found = []) => {
  for (const node of root.querySelectorAll('*')) {
    found.push(node);
    if (node.shadowRoot) deep(node.shadowRoot, found);
    if (node.tagName === 'IFRAME' && node.contentDocument) deep(node.contentDocument, found);
  }
  return found;
};
const all = (selector) => deep(document).filter((node) => node.matches(selector));
const text = () => deep(document)
  .filter((node) => !['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.tagName))
  .flatMap((node) => [...node.childNodes])
  .filter((node) => node.nodeType === Node.TEXT_NODE)
  .map((node) => node.textContent.trim()).filter(Boolean).join('\\n');
"""


def find_chromium() -> str | None:
    """Returns the path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page of a browser."""

    def __init__(self, to_browser: int, from_browser: int):
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")

    def open(self, url: str) -> None:
        """Goes to an address."""
        self._call("Page.navigate", url=url)

    def run(self, script: str):
        """Runs a script's expression, which may use `all(selector)` and `text()`."""
        found = self._call(
            "Runtime.evaluate",
            expression=f"(() => {{ {_DEEP} return {script}; }})()",
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description"))
        return found["result"].get("value")

    def wait_for(self, script: str):
        """Waits until an expression is true; returns its value."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (value := self.run(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script} stays {value!r}; the page says:\n{self.text()}")
            time.sleep(0.1)
        return value

    def text(self) -> str:
        """Returns all text of the page, a line for each piece."""
        return self.run("text()")

    def screenshot(self, path: Path) -> None:
        """Writes what is to be seen as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters):
        message = {"id": next(self._numbers), "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self) -> bytes:
        while b"\0" not in self._unread:
            if not select.select([self._from], [], [], _PATIENCE_SECONDS)[0]:
                raise TimeoutError("the browser says nothing")
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser is gone")
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return message


@contextlib.contextmanager
def open_page(profile: Path, *, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """Starts a browser with one page; it ends with the block.

    Args:
        profile: A folder for its files.
        width: Of the page, in pixels.
        height: Of the page.
    """
    browser_reads, to_browser = os.pipe()
    from_browser, browser_writes = os.pipe()
    options = [
        "--headless=new",
        "--no-sandbox",  # as root in a container
        "--disable-dev-shm-usage",
        "--enable-unsafe-swiftshader",  # the projector draws with WebGL
        "--hide-scrollbars",
        f"--window-size={width},{height}",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
    ]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _START, str(browser_reads), str(browser_writes)),
            *(find_chromium(), *options),
        ],
        pass_fds=[browser_reads, browser_writes],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_reads)
    os.close(browser_writes)
    try:
        yield Page(to_browser, from_browser)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
