"""Writes rows from standard input to standard output, as an Avro file."""

import decimal
import json
import sys

import fastavro

order = json.load(sys.stdin)
named = {}


def value(schema, cell):
    if isinstance(schema, list):
        types = [branch for branch in schema if branch != "null"]
        return None if cell is None else value(types[0], cell)
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    if isinstance(schema, dict) and schema.get("logicalType") == "decimal":
        return decimal.Decimal(cell)
    if kind in ("bytes", "fixed"):
        return bytes.fromhex(cell)
    if kind == "array":
        return [value(schema["items"], item) for item in cell]
    if kind == "map":
        return {key: value(schema["values"], item) for key, item in cell.items()}
    if kind == "record":
        return {field["name"]: value(field["type"], cell[field["name"]]) for field in schema["fields"]}
    return cell


decimal.getcontext().prec = 60
fastavro.writer(
    sys.stdout.buffer,
    fastavro.parse_schema(order["schema"]),
    [value(order["schema"], row) for row in order["rows"]],
    codec=order["codec"],
    sync_interval=order["block_bytes"],
    sync_marker=b"0123456789abcdef",
)
