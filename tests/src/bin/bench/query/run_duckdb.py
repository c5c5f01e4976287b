"""Answers statements over a folder of Parquet files: a line of JSON in, a line of JSON out.

    python run_duckdb.py FOLDER THREADS
"""

import json
import pathlib
import sys
import time

import duckdb

folder, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
connection = duckdb.connect(config={"threads": threads})
connection.execute("SET parquet_metadata_cache = true")
for file in folder.glob("*.parquet"):
    connection.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM read_parquet('{file}')")
for line in sys.stdin:
    started = time.perf_counter()
    rows = connection.execute(json.loads(line)).fetchall()
    taken = time.perf_counter() - started
    print(json.dumps({"ms": taken * 1e3, "rows": len(rows)}), flush=True)
