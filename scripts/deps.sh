#!/usr/bin/env bash
# Installs the Debian packages that the demo and the tests need and that are
# missing. "deps.sh race" also wants what the race detector needs, "deps.sh lab" what
# the laboratory of hosts needs, "deps.sh mysql" also fetches MySQL into a private root. No service is started, and none is left
# enabled that was not enabled before.
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
want haproxy haproxy
want python3-aiosmtpd /usr/bin/python3 /usr/lib/python3/dist-packages/aiosmtpd/smtp.py
for extra; do
  case $extra in
    race)
      want gcc gcc
      want libc6-dev /usr/include/stdio.h
      want systemd systemd-analyze
      ;;
    lab)
      want iproute2 ip
      want nftables nft
      want e2fsprogs mkfs.ext4 e2fsck
      want mount mount umount
      ;;
    mysql)
      # Not piped: grep -q leaves early, and the pipe would fail by SIGPIPE.
      if grep -q '^mysql *none' <<<"$(scripts/servers list)"; then
        want debootstrap debootstrap
        want wget wget
      fi
      ;;
    mariadb) ;;
    *)
      echo "deps.sh: $extra is none of race, lab, mysql, mariadb" >&2
      exit 2
      ;;
  esac
done

quietly() { "$@" >"$log" 2>&1; }

tell() {
  cat "$log" >&2
  exit 69
}

# Runs in a subshell: its variables are read again by the trap at its end.
install_packages() {
  policy=/usr/sbin/policy-rc.d
  made_policy=''
  fresh=()
  for service in redis-server haproxy; do
    if [[ " ${packages[*]} " == *" $service "* && ! -e /etc/init.d/$service ]]; then fresh+=("$service"); fi
  done

  log=$(mktemp)

  # shellcheck disable=SC2317 # a trap calls it
  undo() {
    rm -f "$log"
    if [[ -n $made_policy ]]; then rm -f "$policy"; fi
    for service in "${fresh[@]}"; do
      # Debian enables a service when it installs it, with systemd and without.
      update-rc.d "$service" disable >/dev/null 2>&1 || true
      deb-systemd-helper disable "$service.service" >/dev/null 2>&1 || true
      rm -f "/etc/systemd/system/multi-user.target.wants/$service.service"
      if [[ $service == redis-server ]]; then rm -f /etc/systemd/system/redis.service; fi
    done
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

if [[ " $* " == *' mysql '* ]]; then scripts/servers fetch mysql; fi

echo "servers: $(mariadbd --version | sed 's/^[^ ]* *//')"
echo "         $(redis-server --version)"
echo "go:      $(go env GOVERSION)"
