"""What the demos share: headings, and commands that are run as a user would, shown first."""

import shlex
import subprocess
import sys
from pathlib import Path

RADLLAMA = Path(sys.executable).with_name("radllama")


def step(title: str) -> None:
    """Print a heading between the steps."""
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)


def radllama(*arguments: str | Path) -> None:
    """Run a command as a user would, shown first."""
    words = [str(argument) for argument in arguments]
    print("$ radllama " + shlex.join(words), flush=True)
    done = subprocess.run([RADLLAMA, *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)
