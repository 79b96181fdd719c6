#!/usr/bin/env bash
# Install this checkout as a service, or upgrade the one there. Called by `make install` as root; safe to repeat.
# Settings, secrets and data that exist are left as they are; docs/installation.md says what comes next.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=/opt/cadran  # the units name it
[ "$(id -u)" = 0 ] || { echo "make install: run it as root" >&2; exit 1; }

# Made anew where it does not work any more, as after an upgrade of the system's Python.
"$prefix/venv/bin/python" -c 'import pip' 2>/dev/null || { mkdir -p "$prefix" && bash tools/make_venv.sh "$prefix/venv"; }
echo "Installing Cadran into $prefix/venv ..."
pip() { "$prefix/venv/bin/python" -m pip --disable-pip-version-check install --quiet --quiet "$@"; }
pip --require-hashes -r requirements.lock
pip --no-build-isolation --no-deps --force-reinstall .
mkdir -p "$prefix/share"
rm -rf "$prefix/share/docs"
cp -r docs "$prefix/share/docs"
ln -sf "$prefix/venv/bin/cadran" /usr/local/bin/cadran

install -D -m 0644 systemd/sysusers.conf /usr/lib/sysusers.d/cadran.conf
install -D -m 0644 systemd/tmpfiles.conf /usr/lib/tmpfiles.d/cadran.conf
if command -v systemd-sysusers >/dev/null && command -v systemd-tmpfiles >/dev/null; then
  systemd-sysusers cadran.conf
  systemd-tmpfiles --create cadran.conf
else  # a machine without systemd: the same by hand
  id cadran >/dev/null 2>&1 || useradd --system --home-dir /var/lib/cadran --shell /usr/sbin/nologin cadran
  install -d -m 0750 -o root -g cadran /etc/cadran
  install -d -m 0700 /etc/cadran/secrets
  install -d -m 0700 -o cadran -g cadran /var/lib/cadran
fi
if [ ! -e /etc/cadran/cadran.toml ]; then
  # The database is named, so that the daemon waits for its service instead of starting a second one.
  sed -e 's#^secret_file = "[^"]*"#secret_file = "/run/credentials/cadran.service/ami-secret"#' \
    -e 's#^dsn = ""#dsn = "postgresql:///cadran?host=/var/lib/cadran/postgres/socket\&user=cadran"#' \
    config/cadran.toml >/etc/cadran/cadran.toml
  chown root:cadran /etc/cadran/cadran.toml
  chmod 0640 /etc/cadran/cadran.toml
fi
# systemd refuses to start a service whose credential is missing: an empty one is named by `cadran doctor`.
[ -e /etc/cadran/secrets/ami-secret ] || install -m 0600 /dev/null /etc/cadran/secrets/ami-secret

install -D -m 0644 systemd/cadran.service /etc/systemd/system/cadran.service
install -D -m 0644 systemd/cadran-postgres.service /etc/systemd/system/cadran-postgres.service
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "Installed $("$prefix/venv/bin/python" -c 'from importlib.metadata import version; print("cadran", version("cadran"))')." \
     "Next: the AMI user and its secret, /etc/cadran/cadran.toml, then systemctl enable --now cadran-postgres cadran"
