"""Looks for words in the command lines and environments of all processes of this machine, again and again."""
import glob
import subprocess
import threading

_PAUSE_S = 0.03


class SecretWatch:
    """Use it in a ``with`` block; ``seen`` has what was found, ``looks`` how often it looked."""

    def __init__(self, words):
        self.words = [word.encode() for word in words]
        self.seen, self.looks = set(), 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._end.set()
        self._thread.join()

    def _watch(self):
        while not self._end.wait(_PAUSE_S):
            for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
                try:
                    with open(path, "rb") as stream:
                        data = stream.read()
                except OSError:
                    continue
                self.seen.update((path.rpartition("/")[2], word.decode()) for word in self.words if word in data)
            self.looks += 1


def sees_what_is_there():
    """Check that a word in either place would be found."""
    with SecretWatch(["a-word-to-find"]) as watch:
        subprocess.run(["sleep", "0.3"], env={"X": "a-word-to-find"}, check=True)
        subprocess.run(["sh", "-c", "sleep 0.3; :", "a-word-to-find"], check=True)
    return {where for where, _ in watch.seen} == {"cmdline", "environ"}


def files_with(words, *folders):
    """Return the files below folders in which one of the words stands."""
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
            and any(word.encode() in path.read_bytes() for word in words)]
