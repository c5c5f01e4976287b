"""What real drivers do against the PostgreSQL door; prints one JSON object of what they saw.

Prints a line `policy` and waits for a line when the policy of the orders is to be changed.
"""

import asyncio
import datetime
import decimal
import json
import os
import ssl
import sys
import threading
import time

import asyncpg
import psycopg
import sqlalchemy

PORT = int(os.environ["DOOR_PORT"])
CA = os.environ["DOOR_CA"]
USER, PASSWORD = os.environ["DOOR_USER"], os.environ["DOOR_PASSWORD"]
ORDERS = "SELECT id, customer, region, amount, ordered_on FROM local.main.orders"
# Of little memory, or that would be over first.
SLOW = "SELECT max(md5(CAST(a.n AS varchar) || CAST(b.n AS varchar))) FROM local.main.numbers a, local.main.numbers b"


def connect(**changes):
    settings = dict(
        host="127.0.0.1", port=PORT, dbname="dataos", user=USER, password=PASSWORD,
        sslmode="verify-full", sslrootcert=CA, autocommit=True, connect_timeout=20,
    )
    return psycopg.connect(**{**settings, **changes})


def plain(value):
    if isinstance(value, (datetime.date, datetime.datetime, decimal.Decimal)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def error_of(work):
    try:
        work()
    except psycopg.Error as error:
        diag = error.diag
        return {
            "state": diag.sqlstate, "message": diag.message_primary or str(error), "hint": diag.message_hint,
            "detail": diag.message_detail, "position": diag.statement_position,
        }
    return None


def with_psycopg(seen):
    with connect() as door:
        seen["version"] = door.info.server_version
        seen["rows"] = plain(door.execute(ORDERS + " ORDER BY id").fetchall())
        seen["binary"] = plain(door.cursor(binary=True).execute(ORDERS + " ORDER BY id").fetchall())
        one = ORDERS + " WHERE id = %s AND region = %s AND ordered_on >= %s"
        arguments = (1, "EMEA", datetime.date(2026, 1, 1))
        seen["prepared"] = [plain(door.execute(one, arguments, prepare=True).fetchall()) for _ in range(2)]
        seen["quoted"] = plain(door.execute("SELECT %s AS t, %s AS n", ("it's; -- \\ \"x\"", None)).fetchall())
        seen["many"] = len(door.execute("SELECT n FROM local.main.numbers").fetchall())
        seen["unknown"] = error_of(lambda: door.execute("SELECT id,\n  nothing FROM local.main.orders"))
        seen["denied"] = error_of(lambda: door.execute("SELECT * FROM local.web.events"))
        seen["hidden"] = error_of(lambda: door.execute("SELECT * FROM local.web.no_such"))
        seen["refused"] = error_of(lambda: door.execute("LOCK TABLE local.main.orders"))
        seen["setting"] = error_of(lambda: door.execute("SET timezone = 'Europe/Berlin'"))
        seen["after_errors"] = plain(door.execute("SELECT 1 AS one").fetchall())
        door.execute("SET dataos.rows_max = 5")
        seen["cut"] = len(door.execute("SELECT n FROM local.main.numbers").fetchall())
        door.execute("RESET ALL")
        door.execute("SET statement_timeout = 300")
        seen["late"] = error_of(lambda: door.execute(SLOW))
        door.execute("SET statement_timeout = 0")
        stop = threading.Timer(0.5, door.cancel_safe)
        stop.start()
        started = time.monotonic()
        seen["cancelled"] = error_of(lambda: door.execute(SLOW))
        seen["cancelled_s"] = time.monotonic() - started
        stop.join()
        seen["after_cancel"] = plain(door.execute("SELECT 2 AS two").fetchall())
        with door.transaction():
            seen["in_transaction"] = plain(door.execute("SHOW transaction_isolation").fetchall())
            seen["write"] = error_of(lambda: door.execute("CREATE TABLE local.main.x AS SELECT 1 AS a"))
            seen["failed"] = error_of(lambda: door.execute("SELECT 1"))
    purpose = dict(options="-c dataos.purpose=audit")
    with connect(**purpose) as door:
        seen["purpose"] = door.execute("SHOW dataos.purpose").fetchone()[0]
    seen["wrong_password"] = error_of(lambda: connect(password="not-the-password"))
    seen["wrong_user"] = error_of(lambda: connect(user="nobody"))
    seen["foreign_key"] = error_of(lambda: connect(password=os.environ["DOOR_OTHER_KEY"]))
    seen["plain"] = error_of(lambda: connect(sslmode="disable"))
    seen["database"] = error_of(lambda: connect(dbname="postgres"))
    with connect(password=os.environ["DOOR_KEY"]) as door:
        seen["by_key"] = plain(door.execute("SELECT current_user").fetchall())
    bound = dict(require_auth="scram-sha-256", channel_binding="require")
    secrets = [PASSWORD, os.environ["DOOR_KEY"]]
    seen["proved"] = [connect(password=secret, **bound).execute("SELECT current_user").fetchone() for secret in secrets]
    seen["not_sent"] = error_of(lambda: connect(require_auth="password"))
    seen["sent"] = error_of(lambda: connect(options="-c dataos.credential=token"))
    with connect(sslnegotiation="direct") as door:
        seen["direct"] = plain(door.execute("SELECT 3 AS three").fetchall())


def with_sqlalchemy(seen):
    url = sqlalchemy.URL.create(
        "postgresql+psycopg", USER, PASSWORD, "127.0.0.1", PORT, "dataos",
        query={"sslmode": "verify-full", "sslrootcert": CA},
    )
    engine = sqlalchemy.create_engine(url)
    found = sqlalchemy.inspect(engine)
    seen["schemas"] = found.get_schema_names()
    seen["tables"] = sorted(found.get_table_names())
    seen["tables_of"] = sorted(found.get_table_names(schema="local.main"))
    seen["views"] = found.get_view_names()
    columns = found.get_columns("orders", schema="local.main")
    seen["columns"] = [[c["name"], str(c["type"]), c["nullable"]] for c in columns]
    seen["keys"] = [
        found.get_pk_constraint("orders", schema="local.main")["constrained_columns"],
        found.get_foreign_keys("orders", schema="local.main"),
        found.get_indexes("orders", schema="local.main"),
        found.get_unique_constraints("orders", schema="local.main"),
        found.get_check_constraints("orders", schema="local.main"),
    ]
    seen["has_table"] = [found.has_table("orders"), found.has_table("events"), found.has_table("no_such")]
    orders = sqlalchemy.Table("orders", sqlalchemy.MetaData(), schema="local.main", autoload_with=engine)
    query = sqlalchemy.select(orders.c.id, orders.c.customer).where(orders.c.id > 0).order_by(orders.c.id)
    with engine.connect() as door:
        seen["reflected"] = plain([tuple(row) for row in door.execute(query)])


async def open_asyncpg(password):
    context = ssl.create_default_context(cafile=CA)
    return await asyncpg.connect(
        host="127.0.0.1", port=PORT, database="dataos", user=USER, password=password, ssl=context,
    )


async def described():
    door = await open_asyncpg(os.environ["DOOR_KEY"])
    statement = await door.prepare("SELECT version()")
    name = statement.get_attributes()[0].name
    await door.close()
    return name


async def with_asyncpg(seen):
    # More than the queries that run at a time.
    seen["described"] = await asyncio.gather(*[described() for _ in range(12)])
    door = await open_asyncpg(PASSWORD)
    rows = await door.fetch(ORDERS + " WHERE region = $1 ORDER BY id", "EMEA")
    seen["asyncpg"] = plain([tuple(row) for row in rows])
    statement = await door.prepare("SELECT id FROM local.main.orders ORDER BY id")
    seen["asyncpg_types"] = [column.type.name for column in statement.get_attributes()]
    async with door.transaction():
        cursor = await door.cursor("SELECT n FROM local.main.numbers ORDER BY n")
        seen["asyncpg_pages"] = [plain([tuple(row) for row in await cursor.fetch(2)]) for _ in range(2)]
    try:
        await door.fetch(SLOW, timeout=0.5)
    except asyncio.TimeoutError:
        seen["asyncpg_timeout"] = True
    seen["asyncpg_after"] = await door.fetchval("SELECT 4 AS four")
    await door.close()


def with_changed_policy(seen):
    """A statement that was prepared is decided again on each execution."""
    with connect() as door:
        one = "SELECT customer FROM local.main.orders WHERE id = %s"
        seen["before"] = plain(door.execute(one, (1,), prepare=True).fetchall())
        print("policy", flush=True)
        sys.stdin.readline()
        seen["after"] = error_of(lambda: door.execute(one, (1,), prepare=True))


def main():
    seen = {}
    with_psycopg(seen)
    with_sqlalchemy(seen)
    asyncio.run(with_asyncpg(seen))
    with_changed_policy(seen)
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
