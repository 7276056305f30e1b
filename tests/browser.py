"""A real browser without a screen: Debian's chromium, driven by its chromedriver over the W3C protocol.

docs/pictures.py takes its screenshots with it as well.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request


def missing():
    """Return what is not installed, None if a browser can be driven."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return "{} of Debian's chromium and chromium-driver is not installed".format(absent[0]) if absent else None


class Browser:
    """A browser with one page, as a context manager."""

    def __init__(self, width=1280, height=800, scale=1):
        self._profile = tempfile.mkdtemp(prefix="browser-")
        self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        universal_newlines=True)
        self._session = None
        try:
            for line in self._driver.stdout:
                found = re.search(r"started successfully on port ([0-9]+)", line)
                if found:
                    break
            self._root = "http://127.0.0.1:{}/session".format(found.group(1))
            arguments = ["--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio", "--no-first-run",
                         "--user-data-dir=" + self._profile, "--window-size={},{}".format(width, height)]
            if os.geteuid() == 0:
                arguments.append("--no-sandbox")  # chromium refuses to run as root with it
            made = self._ask("POST", "", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"}}}})
            self._session = made["sessionId"]
            self.size(width, height, scale)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        if self._session is not None:
            self._ask("DELETE", "/" + self._session)
            self._session = None
        self._driver.terminate()
        self._driver.communicate(timeout=10)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, address):
        self._of_session("url", {"url": address})

    def run(self, script, *arguments):
        """Return what a script's `return` gives."""
        return self._of_session("execute/sync", {"script": script, "args": list(arguments)})

    def text(self, element):
        """Return the text of the element with that id."""
        return self.run("return document.getElementById(arguments[0]).textContent", element)

    def wait(self, script, seconds=10.0):
        """Return what a script gives as soon as that is true."""
        end = time.monotonic() + seconds
        while True:
            value = self.run("return " + script)
            if value:
                return value
            assert time.monotonic() < end, "not within {} s: {}; the page says {!r}".format(
                seconds, script, self.run("return document.body.innerText"))
            time.sleep(0.1)

    def size(self, width, height, scale=1, mobile=False):
        """Give the page a size in CSS pixels, and `scale` pixels of a screenshot for each."""
        self._cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=mobile)

    def dark(self, on):
        self._cdp("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def screenshot(self, path, whole=False):
        """Save what is seen as a PNG file, or the whole page."""
        options = {}
        if whole:
            size = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
            options = {"captureBeyondViewport": True,
                       "clip": {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}}
        data = self._cdp("Page.captureScreenshot", format="png", **options)["data"]
        with open(str(path), "wb") as stream:
            stream.write(base64.b64decode(data))

    def console(self):
        """Return the messages that the page's scripts left since the last call."""
        return [entry["message"] for entry in self._of_session("se/log", {"type": "browser"})]

    def _cdp(self, command, **parameters):
        return self._of_session("goog/cdp/execute", {"cmd": command, "params": parameters})

    def _of_session(self, path, body):
        return self._ask("POST", "/{}/{}".format(self._session, path), body)

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)["value"]
