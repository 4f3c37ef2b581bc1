"""Pages in a real browser, where there is one."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)

PROBE = """<!doctype html><title>none</title><body style="margin:0">
<iframe width="%d" height="900" style="border:0" srcdoc="%s"></iframe><script>
addEventListener("load", () => {
  const inner = document.querySelector("iframe").contentDocument, root = inner.documentElement;
  const wide = [...inner.querySelectorAll("body *")].filter(e => !e.closest(".scroll > *, svg")
    && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  const text = Math.min(...[...inner.querySelectorAll("svg text")].map(e => e.getBoundingClientRect().height));
  const empty = [...inner.images].filter(i => !i.complete || !i.naturalWidth).length;
  document.title = JSON.stringify({shown: root.clientWidth, needed: root.scrollWidth, wide, text, empty});
});
</script>"""
"""Shows a page in a frame of a given width (a window is never narrower than 500 pixels) and measures it."""


def browse(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    profile = tmp_path / "profile"
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        *flags,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def measure(tmp_path: Path, page: str, width: int) -> dict[str, Any]:
    """What ``PROBE`` measures of a page in a frame ``width`` pixels wide."""
    path = tmp_path / "probe.html"
    path.write_text(PROBE % (width, escape(page)), encoding="utf-8")
    dumped = browse(tmp_path, "--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom", path.as_uri())
    title = re.search(r"<title>(.*?)</title>", dumped.stdout)
    assert title and title.group(1) != "none", dumped.stderr
    measures: dict[str, Any] = json.loads(unescape(title.group(1)))
    return measures
