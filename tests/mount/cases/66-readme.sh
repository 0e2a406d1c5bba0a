#!/bin/bash
# The README's table of options against what the program says: the same names in the same order, the same defaults.
# What the program calls not there yet is not in the README.
. "$TESTS/lib.sh"

readme=$TESTS/../../README.md
"$CLAWFS" -h | sed -n '/^Options/,/^$/p' | sed -n 's/^  \([a-z_]*\)=/\1 /p' >"$CASE_DIR/help"
assert test "$(wc -l <"$CASE_DIR/help")" -gt 25
# name default; "-" where -h shows none.
awk '!/ \(not yet\) / { d = "-"; if (match($0, / \([^ ()]+\)$/)) d = substr($0, RSTART + 2, RLENGTH - 3); print $1, d }' \
	"$CASE_DIR/help" >"$CASE_DIR/program"
sed -n '/^## Options/,/^## /p' "$readme" | awk -F ' *[|] *' '/^\| `/ { gsub(/`/, "", $2); gsub(/`/, "", $4); print $2 "|" $4 }' >"$CASE_DIR/table"
diff <(cut -d'|' -f1 "$CASE_DIR/table") <(cut -d' ' -f1 "$CASE_DIR/program") || fail "options of README (<) and -h (>) differ"
while IFS='|' read -r name default <&3 && read -r _ said <&4; do
	[ "$said" = - ] || assert_eq "$default" "$said" "the README's default of $name"
done 3<"$CASE_DIR/table" 4<"$CASE_DIR/program"

# The variables of the README are those that are understood, and set what it says.
sed -n '/^## Configuration/,/^## /p' "$readme" | sed -n 's/^| `\(SECURECLAW_[A-Z_]*\)`.*| `\([a-z_]*\)`.*/\1 \2/p' >"$CASE_DIR/variables"
assert test "$(wc -l <"$CASE_DIR/variables")" -ge 10
while read -r variable option; do
	"$CLAWFS" --show-config >"$CASE_DIR/without"
	env "$variable=1" "$CLAWFS" --show-config >"$CASE_DIR/with" 2>"$CASE_DIR/err" || true
	if ! grep -q "^$option = .*# $variable$" "$CASE_DIR/with"; then
		# 1 is not in every range: then it is this option's.
		assert grep -q "$variable: must be from" "$CASE_DIR/err"
	fi
	rm "$CASE_DIR/with"
done <"$CASE_DIR/variables"
