# A cluster inside, its dynamic shared memory in /dev/shm, a short pgbench.
set -euo pipefail
install -d -o nobody -m 0700 pg
as() { setpriv --reuid=nobody --regid=nogroup --clear-groups -- env HOME="$PWD/pg" "$@"; }
said=$PWD/pg/log
as initdb -D "$PWD/pg/data" -A trust --no-instructions > /dev/null
as pg_ctl -s -w -D "$PWD/pg/data" -l "$said" start -o "-c listen_addresses= \
    -c unix_socket_directories=$PWD/pg -c dynamic_shared_memory_type=posix \
    -c shared_buffers=32MB -c max_connections=20" || { cat "$said" >&2; exit 1; }
trap 'as pg_ctl -s -m immediate -D "$PWD/pg/data" stop' EXIT
ls /dev/shm | grep -q PostgreSQL
run() { as "$1" -h "$PWD/pg" -U nobody "${@:2}" postgres; }
run pgbench -i -q > /dev/null 2>&1
run pgbench -c 4 -j 2 -t 50 > /dev/null 2>"$OUTSIDE/bench" || { cat "$OUTSIDE/bench" "$said" >&2; exit 1; }
# A parallel query takes a dynamic segment.
run psql -qAt -c 'SET parallel_setup_cost=0; SET parallel_tuple_cost=0; SET min_parallel_table_scan_size=0;
    SELECT count(*) FROM pgbench_accounts' | grep -qx 100000
test "$(run psql -qAt -c 'SELECT count(*) FROM pgbench_history')" = 200
as pg_ctl -s -w -D "$PWD/pg/data" stop
trap - EXIT
! grep -E 'PANIC|FATAL|ERROR' "$said"
rm -r pg
