"""Writes with parameters by psycopg: described, executed, counted."""

import os

import psycopg

with psycopg.connect(
    host="127.0.0.1", port=int(os.environ["DOOR_PORT"]), dbname="dataos", user="admin",
    password=os.environ["DOOR_PASSWORD"], sslmode="verify-full", sslrootcert=os.environ["DOOR_CA"],
    autocommit=True, connect_timeout=20,
) as door:
    changed = "UPDATE lake.main.copied SET region = %s WHERE id = %s RETURNING id, region"
    cursor = door.execute(changed, ("EMEA", 6))
    print([column.name for column in cursor.description], cursor.fetchall(), cursor.statusmessage)
    cursor = door.execute("DELETE FROM lake.main.copied WHERE id = %s", (9,))
    print(cursor.description, cursor.statusmessage, cursor.rowcount)
    cursor = door.execute("INSERT INTO lake.main.copied (id) VALUES (%s)", (10,))
    print(cursor.description, cursor.statusmessage)
