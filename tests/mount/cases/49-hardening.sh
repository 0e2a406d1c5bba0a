#!/bin/bash
# The programs are built so that a fault is hard to exploit: position-independent, nothing writable that is executable,
# relocations read-only, stack and string functions guarded. The sanitizers' builds leave that out; they are not installed.
. "$TESTS/lib.sh"

if [ "$SLOW" -gt 1 ]; then
	echo "a sanitizer's build: not hardened, by HARDEN= in the Makefile"
	exit 0
fi
programs=("$CLAWFS")
ctl=$(dirname "$CLAWFS")/clawfsctl
if [ -x "$ctl" ]; then programs+=("$ctl"); fi

has() { readelf -W "$1" "$program" 2>/dev/null | grep "$2" >/dev/null || fail "$program: no $2 in readelf $1"; }
for program in "${programs[@]}"; do
	has -h 'Type:.*DYN'
	has -d 'FLAGS_1.*PIE'
	has -d 'FLAGS_1.*NOW'
	has -l 'GNU_RELRO'
	# Of the segments none is writable and executable; the stack is one of them.
	has -l 'GNU_STACK.* RW  '
	refute grep -qE ' (RWE|WE) ' < <(readelf -Wl "$program")
	has --dyn-syms '__stack_chk_fail'
	has --dyn-syms '_chk@'
	# What leaves no other trace is in each unit's record of its flags.
	readelf -wi "$program" 2>/dev/null | grep 'DW_AT_producer' >"$CASE_DIR/flags"
	assert [ -s "$CASE_DIR/flags" ]
	flags=(-fstack-protector-strong -fstack-clash-protection)
	case $(uname -m) in
	x86_64) flags+=(-fcf-protection=full) ;;
	aarch64) flags+=(-mbranch-protection=standard) ;;
	esac
	for flag in "${flags[@]}"; do
		refute grep -vqe "$flag" "$CASE_DIR/flags"
	done
done
