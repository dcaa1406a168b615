"""SQLite in WAL mode, two writers and a reader in processes of their own."""

import os
import sqlite3
import subprocess
import sys

ROWS = 300

WRITER = """
import sqlite3, sys
db = sqlite3.connect("db", timeout=60, isolation_level=None)
for row in range(int(sys.argv[2])):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t(who, n) VALUES (?, ?)", (sys.argv[1], row))
    db.execute("COMMIT")
db.close()
"""

READER = """
import sqlite3, sys
db = sqlite3.connect("db", timeout=60)
seen, wanted = 0, 2 * int(sys.argv[1])
while seen < wanted:
    rows = db.execute("SELECT count(*), coalesce(sum(n), 0) FROM t").fetchone()[0]
    assert rows >= seen, (rows, seen)
    seen = rows
db.close()
"""


def main():
    db = sqlite3.connect("db")
    assert db.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
    db.execute("PRAGMA mmap_size=1048576")
    db.execute("CREATE TABLE t(who TEXT, n INTEGER)")
    db.commit()
    assert os.path.exists("db-shm") and os.path.exists("db-wal")
    commands = [[WRITER, "a", str(ROWS)], [WRITER, "b", str(ROWS)], [READER, str(ROWS)]]
    children = [subprocess.Popen([sys.executable, "-c", *args]) for args in commands]
    for child in children:
        assert child.wait() == 0
    assert db.execute("SELECT count(*) FROM t").fetchone()[0] == 2 * ROWS
    assert db.execute("SELECT count(DISTINCT n) FROM t WHERE who='a'").fetchone()[0] == ROWS
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("DELETE FROM t")
    db.commit()
    db.execute("VACUUM")
    db.close()
    assert not os.path.exists("db-shm"), "SQLite removes it at the last close"
    os.unlink("db")


if __name__ == "__main__":
    main()
