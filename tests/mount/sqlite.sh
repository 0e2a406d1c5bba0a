# shellcheck shell=bash
# Sourced after lib.sh by the cases on SQLite.

: "${STRETCH:=1}"
DBTOOL=$CASE_DIR/dbtool
cc -std=gnu11 -D_GNU_SOURCE -O1 -g -o "$DBTOOL" "$TESTS/dbtool.c" -lsqlite3

# What the header says of how commits are made: "2 2" is WAL, "1 1" a rollback journal.
header_mode() { od -An -tu1 -j18 -N2 "$1" | xargs; }
is_wal() { [ "$(header_mode "$1")" = '2 2' ]; }
all_wal() {
	local db
	for db in "$@"; do is_wal "$db" || return 1; done
}
# A database is put into WAL mode within 2 s of its first commit.
wal_in_time() {
	local end=$(($(date +%s%N) + 2000000000 * SLOW)) db
	for db in "$@"; do
		until is_wal "$db"; do
			[ "$(date +%s%N)" -lt "$end" ] || fail "$db is not in WAL mode after 2 s: $(header_mode "$db")"
			sleep 0.05
		done
	done
}

# Names that want quoting go as they are: "./x" is no URI and no option.
query() { (cd "$(dirname "$1")" && sqlite3 -bail -cmd '.timeout 20000' "./$(basename "$1")" "$2"); }
assert_sound() { assert_eq "$(query "$1" 'pragma integrity_check')" ok "integrity of $1"; }

# db_stat PATH KEY: of one database, PATH as seen from the root of the mount.
db_stat() { stats sqlite "$1" "$2"; }

# How often the daemon's log names the database.
said_of() { grep -cF "database $1:" "$LOGS/daemon.$MOUNTS.log" || true; }

# What SQLite or clawfs leaves beside a database must be gone.
strays() { find "$@" \( -name '*-wal' -o -name '*-shm' -o -name '*-journal' -o -name '*.tmp-*' -o -name '*.backup-*' \) ! -path '*/odd/*'; }
no_strays() { ! strays "$@" | grep .; }

# Programs beside: start NAME COMMAND..., and all their verdicts.
declare -A PROGRAMS
start() {
	local name=$1
	shift
	"$@" >"$CASE_DIR/$name.said" 2>&1 &
	PROGRAMS[$name]=$!
}
finish() {
	local name status
	for name in "$@"; do
		status=0
		wait "${PROGRAMS[$name]}" || status=$?
		unset "PROGRAMS[$name]"
		echo "$name: $(cat "$CASE_DIR/$name.said")"
		[ "$status" -eq 0 ] || fail "$name ended with status $status"
	done
}
# The nth word of what a dbtool said.
busy_of() { sed -n 's/.*busy \([0-9]*\)$/\1/p' "$CASE_DIR/$1.said"; }
