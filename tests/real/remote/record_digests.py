"""record_digests.py: ask the package index for the SHA-256 of every file of the releases in `setting_up.pins`.

pip says what it would take for each Python and processor. Look at the difference before you commit it: a release that
was there before has the digests that it had.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))

from edgenext_deploy.remote.setting_up import pins

MACHINES = ("aarch64", "x86_64")


def asked(*words):
    """Return digest and name of each file that pip would take."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--no-deps",
               "--ignore-requires-python", "--disable-pip-version-check", "--report", "-", *words]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    for found in report["install"]:
        where = found["download_info"]
        yield where["archive_info"]["hashes"]["sha256"], where["url"].rpartition("/")[2]


def main():
    found = set()
    for python, chosen in sorted(pins.PINS.items()):
        groups = [group for _, group in pins.pycuda_for(python)]
        # What is compiled on the board comes as source, whose metadata pip has to compute here.
        wheels = [*chosen, *[pin for group in groups[:-1] for pin in group]]
        for machine in MACHINES:
            options = ["--only-binary=:all:", "--implementation", "cp", "--python-version",
                       "{}.{}.9".format(*python)]  # some releases need a later patch than the first
            for platform in pins.platforms(python, machine):
                options += ["--platform", platform]
            with tempfile.TemporaryDirectory() as folder:
                found |= set(asked(*options, "--target", folder, *wheels))
        for pin in groups[-1]:
            found |= set(asked("--no-binary=:all:", "--no-build-isolation", pin))
    path = os.path.join(os.path.dirname(pins.__file__), "digests.txt")
    with open(path, "w") as stream:
        stream.writelines("{}  {}\n".format(digest, name) for digest, name in sorted(
            found, key=lambda pair: (pair[1].lower(), pair[0])))


if __name__ == "__main__":
    main()
