# A compiler, an assembler, an archiver and a linker inside; the result runs there.
set -euo pipefail
for unit in 1 2 3 4; do
    printf '#include <stdio.h>\nint unit_%s(int x) { printf("unit %s\\n"); return x + %s; }\n' \
        "$unit" "$unit" "$unit" > "unit$unit.c"
done
cat > main.c <<'C'
int unit_1(int), unit_2(int), unit_3(int), unit_4(int);
int main(void) { return unit_1(unit_2(unit_3(unit_4(-10)))) != 0; }
C
export TMPDIR=$PWD
for unit in unit1 unit2 unit3 unit4; do cc -O2 -g -fPIC -c "$unit.c" -o "$unit.o" & done
wait
ar rcs libstatic.a unit1.o unit2.o
cc -shared -o libdynamic.so unit3.o unit4.o
cc -O2 -o program main.c libstatic.a -L. -ldynamic -Wl,-rpath,'$ORIGIN'
test "$(./program | wc -l)" = 4
# A running program cannot be overwritten, but can be replaced.
cc -o sleeper -x c - <<'C'
#include <unistd.h>
int main(void) { write(1, "up\n", 3); pause(); }
C
coproc ./sleeper
sleeper=$COPROC_PID
read -r up <&"${COPROC[0]}"
test "$up" = up
if (echo x > sleeper) 2>/dev/null; then
    echo "no ETXTBSY" >&2
    exit 1
fi
cp program fresh
mv fresh sleeper
./sleeper > /dev/null 2>&1
kill "$sleeper"
wait "$sleeper" 2>/dev/null || true
rm -f ./*
