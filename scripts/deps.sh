#!/usr/bin/env bash
# Installs the Debian packages that the demo and the tests need and that are
# missing. "deps.sh race" also wants what the race detector needs. No service is
# started, and none is left enabled that was not enabled before.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin

scripts/go.sh

packages=()
want() { # want PACKAGE FILE...: the package is missing when one of the files is
  local package=$1 file
  shift
  for file; do
    if [[ $file == /* ]] && [[ ! -e $file ]] || [[ $file != /* ]] && ! command -v "$file" >/dev/null; then
      packages+=("$package")
      return
    fi
  done
}

want mariadb-server-core mariadbd mariadb-install-db
want mariadb-client-core mariadb my_print_defaults
want redis-server redis-server
if [[ ${1:-} == race ]]; then
  want gcc gcc
  want libc6-dev /usr/include/stdio.h
fi

quietly() { "$@" >"$log" 2>&1; }

tell() {
  cat "$log" >&2
  exit 69
}

# Runs in a subshell: its variables are read again by the trap at its end.
install_packages() {
  policy=/usr/sbin/policy-rc.d
  made_policy=''
  fresh_redis=''
  if [[ " ${packages[*]} " == *' redis-server '* && ! -e /etc/init.d/redis-server ]]; then fresh_redis=1; fi

  log=$(mktemp)

  undo() {
    rm -f "$log"
    if [[ -n $made_policy ]]; then rm -f "$policy"; fi
    if [[ -n $fresh_redis && -e /etc/init.d/redis-server ]]; then
      # Debian enables a service when it installs it, with systemd and without.
      update-rc.d redis-server disable >/dev/null 2>&1 || true
      deb-systemd-helper disable redis-server.service >/dev/null 2>&1 || true
      rm -f /etc/systemd/system/multi-user.target.wants/redis-server.service /etc/systemd/system/redis.service
    fi
  }
  trap undo EXIT

  # Debian starts a service when it installs it, unless this file says no.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made_policy=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # Package lists are fetched only when they do not lead to the packages.
  if ! quietly apt-get install -y -qq --no-install-recommends "${packages[@]}"; then
    quietly apt-get update -qq || tell
    quietly apt-get install -y -qq --no-install-recommends "${packages[@]}" || tell
  fi
}

if ((${#packages[@]})); then
  line="apt-get install --no-install-recommends ${packages[*]}"
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${packages[*]} (Debian's names); install them with this system's package manager" >&2
    exit 69
  fi
  if [[ $(id -u) != 0 ]]; then
    echo "missing: ${packages[*]}; install them as root:" >&2
    echo "  $line" >&2
    exit 69
  fi
  echo "installing: ${packages[*]}"
  (install_packages)
fi

echo "servers: $(mariadbd --version | sed 's/^[^ ]* *//')"
echo "         $(redis-server --version)"
echo "go:      $(go env GOVERSION)"
