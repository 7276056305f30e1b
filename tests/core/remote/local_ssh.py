"""Stands in for ssh, for tests without a server: runs the command for the far side here, with another home.

Usage: ``python local_ssh.py HOME [options of ssh] -- DESTINATION COMMAND``. A file ``says`` in that home is printed in
place of what the far side would answer, and a file ``before`` in front of it; with a file ``ends`` it ends at the first
request. ``ssh_says`` is an error of ssh itself.
"""
import os
import sys

home = sys.argv[1]
options, (destination, command) = sys.argv[2:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
with open(os.path.join(home, "called"), "a") as stream:
    stream.write("{} {} {}\n".format(" ".join(options), destination, command))


def content(name):
    try:
        with open(os.path.join(home, name), "rb") as stream:
            return stream.read()
    except OSError:
        return None


if content("ssh_says") is not None:
    os.write(2, content("ssh_says"))
    sys.exit(255)
os.write(1, content("before") or b"")
if content("says") is not None:
    # The nonce stands in the script that came.
    count = int(sys.stdin.buffer.readline())
    script = sys.stdin.buffer.read(count).decode()
    nonce = script.rpartition('"nonce": "')[2][:32]
    out = content("says").replace(b"NONCE", nonce.encode())
    try:
        while out:
            out = out[os.write(1, out):]
    except OSError:
        pass
    # The requests that this answers.
    (sys.stdin.buffer.read if content("ends") is None else sys.stdin.buffer.readline)()
    sys.exit(0)
os.environ["HOME"] = home
os.chdir(home)
os.execvp("sh", ["sh", "-c", "exec " + command])
