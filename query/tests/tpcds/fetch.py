"""Writes the 99 query texts of TPC-DS and its tables at scale factor 0.01 into a folder.

Both come from DuckDB's extension of this name, which PyPI has: neither is part of this repository.
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

VERSION = "1.5.5"

EXTRACT = r"""
import pathlib, sys
import duckdb, duckdb_extension_tpcds

folder = pathlib.Path(sys.argv[1])
package = pathlib.Path(duckdb_extension_tpcds.__file__).parent
extension = next(package.glob("extensions/*/tpcds.duckdb_extension"))
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
connection.execute(f"LOAD '{extension}'")
for number, text in connection.execute("SELECT query_nr, query FROM tpcds_queries()").fetchall():
    (folder / f"q{number:02}.sql").write_text(text)
connection.execute("CALL dsdgen(sf = 0.01)")
for (table,) in connection.execute("SHOW TABLES").fetchall():
    connection.execute(f"COPY {table} TO '{folder / table}.parquet' (FORMAT parquet)")
"""


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        work = pathlib.Path(name)
        venv.create(work / "python", with_pip=True)
        python = work / "python" / "bin" / "python"
        packages = [f"duckdb=={VERSION}", f"duckdb-extension-tpcds=={VERSION}"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        made = work / "made"
        made.mkdir()
        subprocess.run([python, "-c", EXTRACT, made], check=True)
        try:
            os.rename(made, target)
        except OSError:
            # Another process was faster.
            if not target.exists():
                raise
            shutil.rmtree(made)


if __name__ == "__main__":
    main()
