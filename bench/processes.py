# SPDX-License-Identifier: Apache-2.0
"""How scripts that compare run programs, and what they say meanwhile."""
import pathlib
import signal
import subprocess
import sys

STOP = signal.SIGINT, signal.SIGTERM


def tell(text):
    """How far the work has come: on a terminal one line, which an empty text clears."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def fail(message):
    tell("")
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")


def mega(size):
    return f"{size / 1e6:.0f} MB"


def run(*command):
    """A program's standard output. If it fails, so does this one, in its words; if this one is told
    to end, so is that."""
    name = pathlib.Path(command[1 if command[0] == sys.executable else 0]).name
    # Not while it starts: it would be forgotten.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        child = subprocess.Popen(
            [str(part) for part in command], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP))
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}")
    with child:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
            out, err = child.communicate()
        except BaseException:
            child.terminate()  # and not kill: it may have something to clean up
            raise
    if child.returncode < 0:
        reason = ", probably for want of memory" if child.returncode == -signal.SIGKILL else ""
        fail(f"{name}: ended by signal {-child.returncode}{reason}")
    if child.returncode != 0:
        words = err.strip().splitlines() or [f"{name}: exit status {child.returncode}"]
        fail(words[0 if child.returncode == 2 else -1])  # 2: a wrong option, and advice
    return out
