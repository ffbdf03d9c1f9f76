#!/bin/sh
# Make a virtual environment ready, or find in a few milliseconds that it already is.
#
#   tools/venv.sh DIRECTORY [argument of pip install ...]
#
# PYTHON names the Python to use; without it python3 is taken, or the first of python3.13, python3.12
# and python3.11 that runs, where python3 is too old.
#
# The environment is ready once DIRECTORY/.ready says for what: the folder that we stand in (an
# editable install and the scripts in bin/ know their paths), the arguments, and the contents of
# pyproject.toml and constraints.txt. It is written last, so a set-up that was interrupted counts for
# nothing and is begun anew; one that is merely out of date is brought up to date where it is.
set -eu

venv=$1
shift
ready=$venv/.ready
root="root $(pwd)"
wanted="$root
pip install $*
$(cat pyproject.toml constraints.txt | cksum)"

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "etcd_watcher: $*"
    exit 1
}

# Say how far pip is, from what it prints: on a terminal in one line that changes, elsewhere, in a
# log, in few lines. Where pip fails, give the rest of what it printed.
tell_progress() {
    found=0
    rest=
    while IFS= read -r printed; do
        line=${printed#"${printed%%[! ]*}"}
        case $line in
        "Collecting "* | "Processing "* | "Obtaining "*)
            found=$((found + 1))
            line=${line#* }
            line=${line%% *}
            line=${line##*/}
            if [ -t 2 ]; then
                printf '\r\033[K  packages found: %s, %.50s' "$found" "$line" >&2
            elif [ $((found % 50)) -eq 0 ]; then
                say "  packages found: $found"
            fi
            ;;
        "Downloading "*"("*" MB)")
            [ ! -t 2 ] || printf '\r\033[K  packages found: %s, %.70s' "$found" "$line" >&2
            ;;
        "Installing collected packages: "*)
            [ ! -t 2 ] || printf '\r\033[K' >&2
            say "  installing packages: $found"
            ;;
        "WARNING: "* | "Requirement already satisfied: "*) ;;
        *)
            rest="$rest$printed
"
            ;;
        esac
    done
    [ -f "$ready" ] || printf '%s' "$rest" >&2
}

# Print the command of a Python, or the Python behind it if it is an activated environment's (which
# may be the one that we are about to replace); fail if it does not run, or is older than 3.11.
resolve() {
    "$1" -c 'import sys
if sys.version_info >= (3, 11):
    print(sys.argv[1] if sys.prefix == sys.base_prefix else sys._base_executable)
' "$1" 2>/dev/null | grep .
}

# Say whether the environment runs, on the Python that was asked for if one was.
runs() {
    version='import sys; print(sys.version)'
    have=$("$venv/bin/python" -c "$version" 2>/dev/null) || return 1
    [ -z "${PYTHON:-}" ] || [ "$have" = "$("$PYTHON" -c "$version" 2>/dev/null)" ]
}

if [ -f "$ready" ] && runs; then
    stamp=$(cat "$ready")
else
    stamp=
fi
if [ "$stamp" = "$wanted" ]; then
    exit 0
fi

started=$(date +%s)
if [ -n "${PYTHON:-}" ]; then
    python=$(resolve "$PYTHON") ||
        fail "PYTHON=$PYTHON is no Python 3.11 or newer: $("$PYTHON" --version 2>&1 || true)"
else
    python=
    for name in python3 python3.13 python3.12 python3.11; do
        python=$(resolve "$name") && break
    done
    [ -n "$python" ] || fail "no Python 3.11 or newer on PATH ($(python3 --version 2>&1 || true)):" \
        "install one, or name it: make PYTHON=/path/to/python3 ..."
fi

case $stamp in
"$root
"*)
    say "bringing $venv up to date"
    rm -f "$ready"
    ;;
*)
    say "setting up $venv with $("$python" --version), $python; once, about a minute"
    rm -rf "$venv"
    # Debian's python3 may come without ensurepip, which an ordinary environment needs; any pip of
    # 22.3 or later can install into one that has none of its own.
    if ! said=$("$python" -m venv "$venv" 2>&1); then
        rm -rf "$venv"
        say "$python has no ensurepip; trying its pip"
        { "$python" -m venv --without-pip "$venv" &&
            "$python" -m pip --python "$venv/bin/python" --version; } >/dev/null 2>&1 || {
            rm -rf "$venv"
            fail "$python can make no virtual environment:
$said
Install what it lacks (Debian and Ubuntu: apt install python3-venv), or name another Python:
make PYTHON=/path/to/python3 ..."
        }
    fi
    ;;
esac

if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    set -- "$venv/bin/python" -m pip install "$@"
else
    set -- "$python" -m pip --python "$venv/bin/python" install "$@"
fi
# The stamp tells that all went well: a pipeline gives its last command's status alone.
{ "$@" --disable-pip-version-check --no-color && printf '%s\n' "$wanted" >"$ready"; } 2>&1 |
    tell_progress
[ -f "$ready" ] || fail "setting up $venv failed; the same command begins anew"
say "$venv is ready after $(($(date +%s) - started)) s"
