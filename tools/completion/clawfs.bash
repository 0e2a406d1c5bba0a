# bash completion for clawfs and clawfsctl. Words come from the programs' own --help, so that they are never out of date.

_clawfs_options() {
	"$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z_]*\)=.*/\1=/p; s/^  \(\(no\)\{0,1\}allow_other\) .*/\1/p'
}

_clawfs() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} done
	case $prev in
	-o)
		# The last of a list: what stands before it stays.
		done=${cur%"${cur##*,}"}
		mapfile -t COMPREPLY < <(compgen -P "$done" -W "$(_clawfs_options "$1")" -- "${cur##*,}")
		compopt -o nospace
		return
		;;
	esac
	case $cur in
	-*) mapfile -t COMPREPLY < <(compgen -W '-o -f -d -h -V --help --version --show-config' -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	esac
}

_clawfsctl() {
	local cur=${COMP_WORDS[COMP_CWORD]}
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$1" --help 2>/dev/null | sed -n 's/^  \([a-z]\+\) .*[]A-Z].*/\1/p') --help --version" -- "$cur")
		return
	fi
	case $cur in
	-*)
		mapfile -t COMPREPLY < <(compgen -W "$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null |
			sed -n 's/^  \(--[a-z]\+\).*/\1/p')" -- "$cur")
		;;
	*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}

complete -F _clawfs clawfs
complete -o filenames -F _clawfsctl clawfsctl
