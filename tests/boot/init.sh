#!/bin/bash
# init.sh ROOT CGROUP: becomes process 1 of ROOT in namespaces of its own. All
# mounts are in them and end with process 1.
set -euo pipefail
root=$1
if [[ ${2:-} ]]; then
  mkdir "$2"
  echo $$ >"$2/cgroup.procs"
  exec unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup --propagation private bash "$0" "$root"
fi
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
# The kernel is everybody's: nothing in here may set its variables.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
hostname mmm-boot
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=mmm-boot PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=0
