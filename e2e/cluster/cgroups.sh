#!/usr/bin/env bash
# The control groups of one node: cgroups.sh make|remove NAME. Knows both versions of the kernel's interface.
set -euo pipefail

root=/sys/fs/cgroup

hierarchies() {
  if [ -e "$root/cgroup.controllers" ]; then
    echo "$root"
    return
  fi
  for hierarchy in "$root"/*/; do
    hierarchy=${hierarchy%/}
    [ -L "$hierarchy" ] || echo "$hierarchy" # cpu and cpuacct may be links to one folder
  done
}

make() {
  if [ -e "$root/cgroup.controllers" ]; then
    for controller in $(cat "$root/cgroup.controllers"); do
      echo "+$controller" >"$root/cgroup.subtree_control" 2>/dev/null || true # some cannot be delegated
    done
  fi
  for hierarchy in $(hierarchies); do
    [ "${hierarchy##*/}" = unified ] && continue # of version 2 beside version 1: nothing is limited there
    mkdir -p "$hierarchy/$1"
    if [ -e "$hierarchy/cpuset.sched_load_balance" ]; then # version 1: empty, and no process may enter
      cat "$hierarchy/cpuset.cpus" >"$hierarchy/$1/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" >"$hierarchy/$1/cpuset.mems"
    fi
  done
}

remove() {
  for hierarchy in $(hierarchies); do
    [ -d "$hierarchy/$1" ] || continue
    find "$hierarchy/$1" -depth -type d -exec rmdir {} \;
  done
}

"$@"
