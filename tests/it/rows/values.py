"""Asks for the same statement in every form of every door; prints one JSON object of what each showed.

A value becomes a text that depends on its meaning alone, so that forms can be compared by equality.
"""

import datetime
import decimal
import json
import os
import ssl
import struct
import urllib.request

import psycopg
import pyarrow.ipc

URL, CA, KEY = os.environ["DOOR_URL"], os.environ["DOOR_CA"], os.environ["DOOR_KEY"]
PORT, USER, SQL = int(os.environ["DOOR_PORT"]), os.environ["DOOR_USER"], os.environ["DOOR_SQL"]


def ask(accept, method="POST", path="/api/v1/query", body=None):
    data = json.dumps(body if body is not None else {"sql": SQL}).encode() if method == "POST" else None
    headers = {"authorization": f"Bearer {KEY}", "accept": accept, "content-type": "application/json"}
    if method != "POST":
        del headers["content-type"]
    request = urllib.request.Request(URL + path, data=data, headers=headers, method=method)
    context = ssl.create_default_context(cafile=CA)
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        return answer.read()


def exact(text):
    return json.loads(text, parse_float=decimal.Decimal)


def csv_rows(text):
    """RFC 4180, and whether a field was quoted: an empty field without quotes is NULL."""
    rows, row, field, quoted, inside, at = [], [], "", False, False, 0
    while at < len(text):
        c = text[at]
        if inside:
            if c == '"' and text[at + 1 : at + 2] == '"':
                field, at = field + '"', at + 1
            elif c == '"':
                inside = False
            else:
                field += c
        elif c == '"':
            quoted = inside = True
        elif c == "," or text[at : at + 2] == "\r\n":
            row.append(None if field == "" and not quoted else field)
            field, quoted = "", False
            if c != ",":
                rows.append(row)
                row, at = [], at + 1
        else:
            field += c
        at += 1
    assert not row and not field and not inside, "the last line has an end"
    return rows


def moment(value):
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc)
    return value.isoformat()


def meaning(kind, value):
    if value is None:
        return None
    if kind == "boolean":
        return str(value if isinstance(value, bool) else {"true": True, "false": False}[value])
    if kind in ("smallint", "integer", "bigint"):
        return str(int(value))
    if kind == "real":
        return struct.pack("<f", float(value)).hex()
    if kind == "double":
        return repr(float(value))
    if kind.startswith("decimal"):
        return str(decimal.Decimal(value))
    if kind == "binary":
        return bytes.fromhex(value).hex() if isinstance(value, str) else bytes(value).hex()
    if kind == "date":
        return str(value)
    if kind in ("timestamp", "timestamptz"):
        return moment(value)
    if kind.endswith("[]"):
        items = json.loads(value) if isinstance(value, str) else value
        return json.dumps(items)
    if kind == "record":
        value = json.loads(value) if isinstance(value, str) else value
        fields = value.values() if isinstance(value, dict) else value
        return json.dumps([None if field is None else str(field) for field in fields])
    assert isinstance(value, str), (kind, value)
    return value


def main():
    document = exact(ask("application/json"))
    kinds = [column["type"] for column in document["columns"]]
    names = [column["name"] for column in document["columns"]]

    def told(rows):
        return [[meaning(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows]

    def forms(path, method, body=None):
        lines = ask("application/x-ndjson", method, path, body).decode().splitlines()
        lines = [exact(line) for line in lines]
        head, *csv = csv_rows(ask("text/csv", method, path, body).decode())
        assert head == names, head
        table = pyarrow.ipc.open_stream(ask("application/vnd.apache.arrow.stream", method, path, body)).read_all()
        assert table.column_names == names
        return {
            "ndjson": told([line[name] for name in names] for line in lines),
            "csv": told(csv),
            "arrow": told([row[name] for name in names] for row in table.to_pylist()),
        }

    seen = {"kinds": kinds, "json": told(document["rows"]), **forms("/api/v1/query", "POST")}
    kept = json.loads(ask("application/json", path="/api/v1/queries"))
    while kept["state"] in ("queued", "running"):
        kept = json.loads(ask("application/json", "GET", f"/api/v1/queries/{kept['id']}"))
    rows = f"/api/v1/queries/{kept['id']}/rows"
    seen["kept json"] = told(exact(ask("application/json", "GET", rows))["rows"])
    seen.update({f"kept {form}": rows for form, rows in forms(rows, "GET").items()})
    page = exact(ask("application/json", body={"sql": SQL, "page_rows": 1}))
    paged = page["rows"]
    while page["next"]:
        page = exact(ask("application/json", "GET", page["next"]))
        paged += page["rows"]
    seen["paged"] = told(paged)
    with psycopg.connect(
        host="127.0.0.1", port=PORT, dbname="dataos", user=USER, password=KEY,
        sslmode="verify-full", sslrootcert=CA, autocommit=True, connect_timeout=20,
    ) as door:
        seen["postgres text"] = told(door.execute(SQL).fetchall())
        seen["postgres binary"] = told(door.cursor(binary=True).execute(SQL).fetchall())
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
