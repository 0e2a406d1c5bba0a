#!/bin/bash
# tools/man/options.sh CLAWFS PAGE.in: the page with @OPTIONS@ replaced by what `clawfs -h` says, so that none is missing.
set -euo pipefail
options=$("$1" -h | awk '
	/^Options/ { on = 1; next }
	on && !/^  / { exit }
	on {
		match($0, /^  [a-z_]+/)
		name = substr($0, 3, RLENGTH - 2)
		rest = substr($0, RLENGTH + 2)
		value = rest
		sub(/ .*/, "", value)
		text = substr(rest, length(value) + 1)
		sub(/^ +/, "", text)
		gsub(/\\/, "\\e", text)
		sub(/^\./, "\\\\\\&.", text)
		gsub(/\|/, " | ", value)
		print ".It Cm " name " Ns = Ns Ar " value
		print text
	}')
while IFS= read -r line; do
	if [ "$line" = @OPTIONS@ ]; then printf '%s\n' "$options"; else printf '%s\n' "$line"; fi
done <"$2" | awk '
	# mdoc wants short lines; words of a long one go on in the next.
	/^\./ || length($0) <= 79 { print; next }
	{
		n = split($0, word, " ")
		out = word[1]
		for (i = 2; i <= n; i++)
			if (length(out) + length(word[i]) > 78) { print out; out = word[i] } else out = out " " word[i]
		print out
	}'
