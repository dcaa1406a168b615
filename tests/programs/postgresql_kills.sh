# A cluster whose dynamic shared memory is in /dev/shm, parallel queries under pgbench, while the worker of the file
# system gets SIGKILL: no transaction may fail.
#
# $DAEMON: shmfs; $KILLS: how often, one a second.
set -euo pipefail
install -d -o nobody -m 0700 "$OUTSIDE/pg"
cd "$OUTSIDE/pg"
as() { setpriv --reuid=nobody --regid=nogroup --clear-groups -- env HOME="$PWD" "$@"; }
said=$PWD/log
as initdb -D "$PWD/data" -A trust --no-instructions > /dev/null
as pg_ctl -s -w -D "$PWD/data" -l "$said" start -o "-c listen_addresses= \
    -c unix_socket_directories=$PWD -c dynamic_shared_memory_type=posix -c fsync=off \
    -c shared_buffers=32MB -c max_connections=20 -c max_parallel_workers=4" || { cat "$said" >&2; exit 1; }
trap 'as pg_ctl -s -m immediate -D "$PWD/data" stop' EXIT
ls /dev/shm | grep -q PostgreSQL
run() { as "$1" -h "$PWD" -U nobody "${@:2}" postgres; }
run pgbench -i -q > /dev/null 2>&1
cat > parallel.sql <<'SQL'
SET parallel_setup_cost=0; SET parallel_tuple_cost=0; SET min_parallel_table_scan_size=0;
SELECT sum(abalance), count(*) FROM pgbench_accounts;
SQL
worker() { local p; for p in $(cat /proc/$DAEMON/task/$DAEMON/children); do
    [[ $(cat /proc/$p/comm 2> /dev/null) == shmfs-worker ]] && echo $p; done; }
killer() { local done=0 p; while ((done < KILLS)); do
    sleep 1; p=$(worker) || continue; [[ -n $p ]] && kill -KILL "$p" && done=$((done + 1)); done; }
killed=0
if [[ -n ${DAEMON-} ]]; then killer & killed=$!; fi
run pgbench -n -c 4 -j 2 -T "$((KILLS + 3))" -f parallel.sql@1 -b tpcb-like@1 > bench 2>&1 || { cat bench "$said" >&2; exit 1; }
if ((killed)); then wait "$killed"; fi
grep -E 'number of failed transactions: 0 ' bench || { cat bench "$said" >&2; exit 1; }
grep -E 'number of transactions actually processed|latency' bench
as pg_ctl -s -w -D "$PWD/data" stop
trap - EXIT
# The stop ends an autovacuum that is at work.
if grep -E 'PANIC|FATAL|ERROR' "$said" | grep -v 'terminating connection due to administrator command$'; then exit 1; fi
cd /; rm -r "$OUTSIDE/pg"
