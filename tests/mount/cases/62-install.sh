#!/bin/bash
# What `make install` puts where, and that `make uninstall` takes all of it away; man pages, units and completion as
# installed; the commands in README and man pages.
# timeout: 120
. "$TESTS/lib.sh"

root=$(cd "$TESTS/../.." && pwd)
build=$(dirname "$CLAWFS")
to=$CASE_DIR/to
run_make() { make --no-print-directory -s -C "$root" -o all BUILD="$build" DESTDIR="$to" "$@" >"$CASE_DIR/make.log" 2>&1 || fail "make $*: $(cat "$CASE_DIR/make.log")"; }

# --- there and away -------------------------------------------------------------
for prefix in /usr/local /usr; do
	run_make PREFIX=$prefix install
	for file in sbin/clawfs bin/clawfsctl lib/systemd/system/clawfs@.service lib/systemd/system/clawfs.target \
		lib/systemd/user/clawfs@.service share/man/man8/clawfs.8 share/man/man1/clawfsctl.1 share/man/man5/clawfs.conf.5 \
		share/bash-completion/completions/clawfsctl share/doc/clawfs/README.md; do
		assert test -e "$to$prefix/$file"
	done
	assert grep -q "^ExecStart=$prefix/sbin/clawfs -f %f$" "$to$prefix/lib/systemd/system/clawfs@.service"
	refute grep -rq '@PREFIX@' "$to"
	for helper in mount.clawfs mount.fuse.clawfs; do assert_eq "$(readlink "$to/sbin/$helper")" $prefix/sbin/clawfs; done
	for helper in umount.clawfs umount.fuse.clawfs; do assert_eq "$(readlink "$to/sbin/$helper")" $prefix/bin/clawfsctl; done
	assert_eq "$("$to$prefix/sbin/clawfs" -V)" "$("$CLAWFS" -V)"
	[ $prefix = /usr ] && break
	run_make PREFIX=$prefix uninstall
	assert_eq "$(find "$to" ! -type d)" "" "what uninstall has left"
done
man=$to/usr/share/man

# --- man pages --------------------------------------------------------------------
for page in "$man"/man*/*; do
	# What another machine has of pages is not ours.
	mandoc -T lint -W warning "$page" 2>/dev/null >"$CASE_DIR/lint" || fail "mandoc: $(cat "$CASE_DIR/lint")"
	groff -ww -mandoc -T utf8 -z "$page" 2>"$CASE_DIR/lint"
	assert_eq "$(cat "$CASE_DIR/lint")" "" "groff -ww $page"
done
text() { mandoc -T utf8 "$1" 2>/dev/null | sed 's/.\x08//g'; }
text "$man/man8/clawfs.8" >"$CASE_DIR/clawfs.8"
text "$man/man1/clawfsctl.1" >"$CASE_DIR/clawfsctl.1"
"$CLAWFS" -h >"$CASE_DIR/help"
options=$(sed -n 's/^  \([a-z_]\+\)=.*/\1/p' "$CASE_DIR/help")
assert [ "$(wc -w <<<"$options")" -gt 30 ]
for option in $options; do assert grep -qE "^ +$option=" "$CASE_DIR/clawfs.8"; done
for option in $(grep -v '(not yet)' "$CASE_DIR/help" | sed -n 's/^  \([a-z_]\+\)=.*/\1/p'); do
	grep -qF "\`$option\`" "$root/README.md" || fail "README lacks the option $option"
done
commands=$("$build/clawfsctl" --help | sed -n 's/^  \([a-z]\+\) .*[]A-Z].*/\1/p' | grep -v clawfsctl)
for command in $commands; do
	assert grep -qE "^ +clawfsctl $command" "$CASE_DIR/clawfsctl.1"
	for option in $("$build/clawfsctl" "$command" --help | sed -n 's/^  \(--[a-z]\+\).*/\1/p'); do
		assert grep -q -- "$option" "$CASE_DIR/clawfsctl.1"
	done
done

# --- units --------------------------------------------------------------------------
# Paths of this machine in place of those that are not installed here.
mkdir "$CASE_DIR/units" "$CASE_DIR/user"
for unit in clawfs@.service clawfs.target; do
	sed "s|/usr/sbin/clawfs|$CLAWFS|" "$to/usr/lib/systemd/system/$unit" >"$CASE_DIR/units/$unit"
done
sed "s|/usr/sbin/clawfs|$CLAWFS|" "$to/usr/lib/systemd/user/clawfs@.service" >"$CASE_DIR/user/clawfs@home-pi.service"
cp "$CASE_DIR/units/clawfs@.service" "$CASE_DIR/units/clawfs@$(systemd-escape --path /home/pi/.secureclaw).service"
cp "$to/usr/share/doc/clawfs/examples/home-pi-.secureclaw.mount" "$CASE_DIR/units/"
(cd "$CASE_DIR/units" && systemd-analyze verify --man=no ./clawfs@home*.service ./clawfs.target ./*.mount) >"$CASE_DIR/verify" 2>&1 ||
	fail "systemd-analyze: $(cat "$CASE_DIR/verify")"
assert_eq "$(cat "$CASE_DIR/verify")" "" "systemd-analyze verify"
assert_eq "$(cd "$CASE_DIR/units" && systemd-escape --path --suffix=mount /home/pi/.secureclaw)" home-pi-.secureclaw.mount
# Nothing that would hide the mount in a namespace of the service's own.
refute grep -qE '^(Protect|Private|ReadWritePaths|ReadOnlyPaths|Inaccessible|Bind|TemporaryFile|MountFlags|RootDir|Dynamic)' \
	"$to/usr/lib/systemd/system/clawfs@.service"

# --- completion -----------------------------------------------------------------------
# complete PROGRAM WORD...: what is offered for the last word.
complete_words() (
	# shellcheck disable=SC1091
	. "$to/usr/share/bash-completion/completions/clawfs"
	compopt() { :; }
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	"_$(basename "$1")" "$1"
	printf '%s\n' "${COMPREPLY[@]}"
)
for command in $commands; do assert grep -qx "$command" <(complete_words "$build/clawfsctl" ''); done
assert_eq "$(complete_words "$build/clawfsctl" fl)" flush
assert grep -qx -- --dirty <(complete_words "$build/clawfsctl" ls --)
for option in $options; do assert grep -qx "a=1,$option=" <(complete_words "$CLAWFS" -o "a=1,$option"); done
assert_eq "$(complete_words "$CLAWFS" --show)" --show-config

# --- the commands in README and man pages -------------------------------------------------
# Each that a person may type as it stands: indented in README, .Dl in a page, and that begins with a program of ours or with
# what goes with it. Run in a home of its own, one after the other, as they stand there; ~ is that home.
export HOME=$CASE_DIR/home PATH=$to/usr/sbin:$to/usr/bin:$PATH
mkdir -p "$HOME"
{
	sed -n 's/^    //p' "$root/README.md"
	sed -n 's/^\.Dl //p' "$root"/tools/man/*.in
} | sed 's/ *# .*//' | grep -E '^(clawfs|clawfsctl|cat|echo|fusermount3|umount) ' | sort -u >"$CASE_DIR/commands"
assert [ "$(wc -l <"$CASE_DIR/commands")" -ge 10 ]
# Those that want a machine that booted, or a tar of a rescue, have tests of their own (boot-test, 60).
run=0
while read -r command; do
	case $command in *recover* | *"top "*) continue ;; esac
	rm -rf "$CASE_DIR/srv"
	mkdir -p "$CASE_DIR/srv" "$HOME/.secureclaw/agents" "$HOME/.secureclaw/logs"
	words=${command//\/srv\/gateway/$CASE_DIR/srv}
	case $command in clawfs\ *) ;; *) clawfs "$HOME/.secureclaw" -o "logfile=$LOGS/commands.log" ;; esac
	if ! bash -euc "$words" >"$CASE_DIR/out" 2>&1; then
		# doctor may find something on the machine that runs this.
		[[ $command == *doctor* ]] || fail "\"$command\": $(cat "$CASE_DIR/out")"
	fi
	run=$((run + 1))
	if mounted "$HOME/.secureclaw"; then clawfsctl umount "$HOME/.secureclaw" >/dev/null; fi
	wait_until refute mounted "$HOME/.secureclaw"
	# The last flush of an umount(8) that does not wait.
	wait_until flock --nonblock "$HOME/.secureclaw" true
done <"$CASE_DIR/commands"
assert [ "$run" -ge 10 ]

# --- lines of the log that README explains: the program's own ---------------------------------
section=$(sed -n '/^## When something is wrong/,/^## Limits/p' "$root/README.md")
lines=$(grep '^| `' <<<"$section" | cut -d'|' -f2 | grep -o '`[^`]*`' | tr -d '`')
assert [ "$(wc -l <<<"$lines")" -ge 8 ]
# The words of C's string literals, joined where the layout has broken them.
sources=$(cat "$root"/fs/*.c "$root"/tools/clawfsctl/*.c | tr -d '\n' | sed 's/"[[:space:]]*"//g')
system='Transport endpoint is not connected|No space left on device|Read-only file system'
while read -r line; do
	# What differs from case to case.
	sed -E "s/$system|DIR|FILE|[0-9]+ files|node \(pid 123\)|left out 0|=|\.\.\./\n/g" <<<"$line" | sed -E 's/^[ :;,]+|[ :;,]+$//g' |
		while read -r part; do
			[ ${#part} -lt 6 ] || grep -qF -- "$part" <<<"$sources" || fail "README explains \"$line\": no source says \"$part\""
		done
done <<<"$lines"
