"""Puts clients of PostgreSQL, and a reader of Arrow, that PyPI has into a folder, for PYTHONPATH.

The folder appears only when it is complete; a second call does nothing.

    python3 fetch.py FOLDER
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

PACKAGES = ["psycopg[binary]==3.3.9", "sqlalchemy==2.1.9", "asyncpg==0.32.0", "pyarrow==26.0.1"]


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        work = pathlib.Path(name)
        venv.create(work / "python", with_pip=True)
        python = work / "python" / "bin" / "python"
        made = work / "made"
        install = [python, "-m", "pip", "install", "--quiet", "--target", made]
        subprocess.run([*install, *PACKAGES], check=True)
        try:
            os.rename(made, target)
        except OSError:
            # Another process was faster.
            if not target.exists():
                raise
            shutil.rmtree(made)


if __name__ == "__main__":
    main()
