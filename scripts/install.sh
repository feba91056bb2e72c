#!/usr/bin/env bash
# install.sh install | uninstall: what "make install" and "make uninstall" do, with
# DESTDIR, PREFIX and BIN from there. Without DESTDIR, as root, it also makes the
# account and tells systemd.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
root=${root%/}
bin=${BIN:-bin}
[[ $prefix == /* ]] || { echo "PREFIX=$prefix is not an absolute path" >&2; exit 2; }
prefix=${prefix%/}

programs=(mmm-monitor mmm-identify mmm-agent mmm-status mmm-uniqsign mmmctl)
conf=/etc/mmm-manager
doc=$prefix/share/doc/mmm-manager

# Where each file goes, but for the programs and the configuration.
plain=(
  systemd/mmm-monitor@.service "$prefix/lib/systemd/system/mmm-monitor@.service"
  systemd/mmm-identify@.service "$prefix/lib/systemd/system/mmm-identify@.service"
  systemd/mmm-agent.service "$prefix/lib/systemd/system/mmm-agent.service"
  etc/sysusers.d/mmm-manager.conf "$prefix/lib/sysusers.d/mmm-manager.conf"
  etc/tmpfiles.d/mmm-manager.conf "$prefix/lib/tmpfiles.d/mmm-manager.conf"
  etc/logrotate.d/mmm-manager /etc/logrotate.d/mmm-manager
  README.md "$doc/README.md"
  LICENSE "$doc/LICENSE"
  etc/mmm.conf "$doc/examples/mmm.conf"
  etc/mmm-agent.conf "$doc/examples/mmm-agent.conf"
  systemd/mmm-agent-sendmail.conf "$doc/examples/mmm-agent-sendmail.conf"
)
for name in etc/haproxy/*.cfg; do
  if [[ -e $name ]]; then plain+=("$name" "$doc/examples/haproxy/${name##*/}"); fi
done
completions=(
  bash "$prefix/share/bash-completion/completions/mmmctl"
  zsh "$prefix/share/zsh/site-functions/_mmmctl"
  fish "$prefix/share/fish/vendor_completions.d/mmmctl.fish"
)

live() { [[ -z $root && $(id -u) == 0 ]]; }

tell_systemd() {
  if live && [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}

# put MODE PATH: installs what it reads, in the same instant for whoever looks.
put() {
  local to=$root$2
  mkdir -p "$(dirname "$to")"
  cat >"$to.new"
  chmod "$1" "$to.new"
  mv -f "$to.new" "$to"
}

# private FOLDER: makes it for nobody but its owner and group; one that is there stays as it is.
private() {
  [[ -d $root$1 ]] && return
  mkdir -p "$(dirname "$root$1")"
  mkdir -m 750 "$root$1"
}

install_all() {
  local i name
  for name in "${programs[@]}"; do put 755 "$prefix/bin/$name" <"$bin/$name"; done
  ln -sfn mmm-uniqsign "$root$prefix/bin/mmm-sign-gen"

  for ((i = 0; i < ${#plain[@]}; i += 2)); do
    # The units and their like name the programs and the documentation.
    case ${plain[i]} in
      systemd/* | etc/logrotate.d/*) sed "s|/usr/local/|$prefix/|g" "${plain[i]}" | put 644 "${plain[i + 1]}" ;;
      *) put 644 "${plain[i + 1]}" <"${plain[i]}" ;;
    esac
  done
  for ((i = 0; i < ${#completions[@]}; i += 2)); do
    # A program built for another kind of machine does not run here.
    if text=$("$bin/mmmctl" completion "${completions[i]}" 2>/dev/null); then
      put 644 "${completions[i + 1]}" <<<"$text"
    fi
  done

  if live; then make_account; fi
  private "$conf"
  for name in mmm.conf mmm-agent.conf; do
    if [[ ! -e $root$conf/$name ]]; then put 640 "$conf/$name" <"etc/$name"; fi
  done
  private /var/lib/mmm-manager
  private /var/log/mmm-manager
  if live; then
    chown root:mmm "$conf" "$conf/mmm.conf" "$conf/mmm-agent.conf"
    chmod 640 "$conf/mmm.conf" "$conf/mmm-agent.conf"
    chown mmm:mmm /var/lib/mmm-manager /var/log/mmm-manager
    for name in mmm-monitor@.service mmm-identify@.service mmm-agent.service; do
      if [[ -e /etc/systemd/system/$name ]]; then echo "/etc/systemd/system/$name hides the unit that was installed" >&2; fi
    done
  fi
  tell_systemd
  # A packager wants no advice.
  if [[ -n $root ]]; then return; fi
  cat <<END
installed in $prefix; the configuration is in $conf
next: edit it, then as root
  mmmctl check-config && mmmctl check
  systemctl enable --now mmm-monitor@TAG mmm-identify@TAG mmm-agent
END
}

# The account mmm, from sysusers.d where there is systemd.
make_account() {
  if getent passwd mmm >/dev/null && getent group mmm >/dev/null; then return; fi
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers "$prefix/lib/sysusers.d/mmm-manager.conf"
  else
    getent group mmm >/dev/null || groupadd --system mmm
    getent passwd mmm >/dev/null ||
      useradd --system --gid mmm --home-dir /var/lib/mmm-manager --no-create-home --shell /usr/sbin/nologin mmm
  fi
}

uninstall_all() {
  local i name
  for name in "${programs[@]}" mmm-sign-gen; do rm -f "$root$prefix/bin/$name"; done
  for ((i = 0; i < ${#plain[@]}; i += 2)); do rm -f "$root${plain[i + 1]}"; done
  for ((i = 0; i < ${#completions[@]}; i += 2)); do rm -f "$root${completions[i + 1]}"; done
  for name in "$root$doc/examples/haproxy" "$root$doc/examples" "$root$doc"; do
    if [[ -d $name ]]; then rmdir --ignore-fail-on-non-empty "$name"; fi
  done
  tell_systemd
  if [[ -n $root ]]; then return; fi
  echo "removed from $prefix; configuration, state, logs and the account mmm stay; running daemons go on"
}

case ${1:-} in
  install) install_all ;;
  uninstall) uninstall_all ;;
  *) echo "usage: $0 install | uninstall" >&2; exit 2 ;;
esac
