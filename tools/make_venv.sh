#!/usr/bin/env bash
# Make the private environment DIR from a Python that will do, or say in one line what is missing.
# Called by the Makefile. Where we are root on Debian or Ubuntu, a missing venv module is installed.
# The distribution's own comes first where it is complete: it is built with profile feedback, and runs the daemon in
# about four fifths of the processor time of one that a version manager has compiled without.
set -eu
dir=${1:?usage: make_venv.sh DIR}
suits='import sys; sys.exit(sys.version_info < (3, 11))'
python=""
own=/usr/bin/python3
"$own" -c "import ensurepip, venv; $suits" 2>/dev/null || own=""
for candidate in ${PYTHON:-} $own python3 python3.14 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$suits" 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  found=$(python3 -V 2>/dev/null || echo "no python3")
  echo "Cadran needs Python 3.11 or newer; here: $found. Install one (Debian 12, Ubuntu 24.04 and later have it)," >&2
  echo "or name it: make PYTHON=/path/to/python3.11 ..." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Python's venv module is missing: installing it with apt-get ..."
    log=$(mktemp)
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update && {
             DEBIAN_FRONTEND=noninteractive apt-get install -y "python$version-venv" ||
             DEBIAN_FRONTEND=noninteractive apt-get install -y python3-venv; }; } >"$log" 2>&1 </dev/null; then
      tail -n 5 "$log" >&2
    fi
    rm -f "$log"
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is missing: apt-get install python3-venv (as root), then again." >&2
    exit 1
  fi
fi
rm -rf "$dir"
"$python" -m venv "$dir"
