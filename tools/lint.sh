#!/usr/bin/env bash
# Static checks: layout, compiler analyzer, clang-tidy, cppcheck, and what
# policy/ imports. usage: tools/lint.sh BUILD
set -eu
build=$1
cd "$(dirname "$0")/.."
mapfile -t sources < <(git ls-files -co --exclude-standard 'policy/*.c' 'fs/*.c' 'tools/*.c')
mapfile -t all < <(git ls-files -co --exclude-standard 'policy/*.[ch]' 'fs/*.[ch]' 'tests/*.[ch]' 'tests/**/*.[ch]' \
	'tools/*.[ch]')
# shellcheck disable=SC2046,SC2207
flags=(-std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 '-DCLAWFS_VERSION="lint"' -I.
	$(pkg-config --cflags fuse3))
failed=0
step() { printf '== lint: %s\n' "$1"; }

# Versions of clang-format differ in details; the one of Debian 12 decides.
case "$(clang-format --version)" in
*"version 14."*)
	step 'clang-format'
	clang-format --dry-run -Werror "${all[@]}" || failed=1
	;;
*) echo '== lint: layout is checked with clang-format 14 only' ;;
esac

step 'policy/ imports memory and string functions only'
allowed='^(bcmp|mem(cpy|cmp|chr|set|move|rchr|mem)|str(len|cmp|ncmp|chr|rchr|nlen|casecmp|ncasecmp|cpy)|s?n?printf|snprintf|__(mem|str)[a-z]*_chk|__snprintf_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|policy_[a-z_]*)$'
for object in "$build"/obj/policy/*.o; do
	foreign=$(nm -u "$object" | awk '{print $2}' | grep -vE "$allowed" || true)
	if [ -n "$foreign" ]; then
		echo "$object imports: $foreign"
		failed=1
	fi
done

step 'gcc -fanalyzer'
tools/each.sh gcc "${flags[@]}" -Wall -Wextra -Werror -Wno-unused-parameter -O1 -fanalyzer -o /dev/null -c -- \
	"${sources[@]}" || failed=1

step 'clang -Wall -Wextra'
tools/each.sh clang "${flags[@]}" -Wall -Wextra -Werror -Wno-unused-parameter -fsyntax-only -- "${sources[@]}" || failed=1

step 'clang-tidy'
# It wants the flags behind the file, so they come from a file of their own.
tidy=$(mktemp -d)
trap 'rm -rf "$tidy"' EXIT
printf '%s\n' "${flags[@]}" "-I$PWD" >"$tidy/compile_flags.txt"
tools/each.sh clang-tidy --quiet --warnings-as-errors='*' -p "$tidy" -- "${sources[@]}" >"$tidy/said" 2>&1 || failed=1
grep -vE '^[0-9]+ warnings? generated\.$' "$tidy/said" || true

step 'cppcheck'
cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,portability --std=c11 -I. \
	--suppress=missingIncludeSystem -D_GNU_SOURCE -DCLAWFS_VERSION='"lint"' policy fs tools || failed=1

exit "$failed"
