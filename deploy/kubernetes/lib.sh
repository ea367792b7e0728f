# shellcheck shell=bash
# The local Kubernetes: names, addresses and how its processes are started, found and ended.
# Sourced by build, up, down, node and load. Every name and address can be changed from the environment, for a machine
# where it collides with something, or for a second cluster beside the first.
# shellcheck disable=SC2034  # much of this is used by those who source it

# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

cluster=${SLUICE_CLUSTER:-sluice}              # prefix of network namespaces, the host's link and cgroups
node_net=${SLUICE_NODE_NET:-172.27.64}         # nodes are .11, .12, …; the control plane is .1
link_net=${SLUICE_LINK_NET:-172.27.65}         # the host's link to them: .1 is the host
pod_net=${SLUICE_POD_NET:-10.214}              # pods of node N are in .N.0/24
service_net=${SLUICE_SERVICE_NET:-10.215}      # services
[ ${#cluster} -le 8 ] || die "SLUICE_CLUSTER is longer than 8 characters: a link's name has room for 15"

api=$node_net.1
home=$SLUICE_HOME/kubernetes
bin=$home/bin
run=$home/$cluster                             # everything of the running cluster, removed by down
sockets=/run/$cluster-kubernetes               # containerd's sockets: their paths must stay short
kubeconfig=$run/kubeconfig
kubectl() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }

netns() { echo "$cluster-$1"; }                # cp, n1, n2, …
node_ip() { echo "$node_net.$((10 + $1))"; }
nodes_made() { find "$run" -maxdepth 1 -name 'n[0-9]*' -printf '%f\n' 2>/dev/null | tr -d n | sort -n; }

# --- control groups. One group per node, one for the control plane: also how a node's processes are found again,
# --- whatever became of the script that started them.

cgroups=/sys/fs/cgroup
cgroup_v2() { [ -f $cgroups/cgroup.controllers ]; }

# The hierarchies that have groups: the unified one, or each controller's own (v1).
cgroup_hierarchies() {
  if cgroup_v2; then echo $cgroups; return; fi
  local hierarchy
  for hierarchy in "$cgroups"/*; do
    [ -L "$hierarchy" ] || [ ! -f "$hierarchy/cgroup.procs" ] || echo "$hierarchy"
  done
}

# Where the daemons themselves are noted. With v1 one hierarchy is enough, and leaves limits set on us in the others alone.
daemon_cgroup() { if cgroup_v2; then echo "$cgroups/$cluster-$1/system"; else echo "$cgroups/pids/$cluster-$1/system"; fi; }

make_cgroup_v2() {
  local name=$1 wanted
  for wanted in cpu cpuset memory pids io hugetlb; do
    grep -qw $wanted $cgroups/cgroup.controllers || continue
    echo +$wanted >$cgroups/cgroup.subtree_control || die "cannot hand the $wanted controller to a new control group: \
this looks like the inside of a container; run it on the host, or use an existing cluster with deploy/up --context"
    echo +$wanted >"$cgroups/$name/cgroup.subtree_control"
  done
}

# make_cgroup cp|nN: the kubelet wants its root to exist, with every controller usable in it.
make_cgroup() {
  local name=$cluster-$1 hierarchy file
  for hierarchy in $(cgroup_hierarchies); do
    mkdir -p "$hierarchy/$name"
    # A new v1 cpuset is empty, and nothing can run in it.
    if [ -f "$hierarchy/cpuset.cpus" ] && ! cgroup_v2; then
      for file in cpus mems; do cat "$hierarchy/cpuset.$file" >"$hierarchy/$name/cpuset.$file"; done
    fi
  done
  ! cgroup_v2 || make_cgroup_v2 "$name"
  mkdir -p "$(daemon_cgroup "$1")"
}

# The processes of cp or nN: daemons, shims and containers.
processes_of() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    [ ! -d "$hierarchy/$cluster-$1" ] || find "$hierarchy/$cluster-$1" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -un
}

# Kills until none is left: a shim that dies leaves its container's processes, a dying one may still fork.
kill_all_of() {
  local tries pids
  for tries in {1..100}; do
    mapfile -t pids < <(processes_of "$1")
    [ ${#pids[@]} -gt 0 ] || return 0
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.1
  done
  die "processes of $cluster-$1 don't end (tried $tries times): ${pids[*]}"
}

remove_cgroup() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    [ ! -d "$hierarchy/$cluster-$1" ] || find "$hierarchy/$cluster-$1" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}

# --- processes. A node's have a mount namespace of their own, so that nothing they mount is seen, or left, outside it.

# in_netns cp|nN COMMAND...: not 'ip netns exec', which mounts /sys anew and so hides the control groups.
in_netns() { local at=$1; shift; nsenter --net="/run/netns/$(netns "$at")" "$@"; }

# spawn NAME cp|nN COMMAND...: a daemon in its control group and network, with a log and a pid file.
spawn() {
  local name=$1 at=$2 join; shift 2
  join=$(daemon_cgroup "$at")/cgroup.procs
  # shellcheck disable=SC2016  # expanded by the inner shell
  setsid sh -c 'echo $$ >"$0" && exec "$@"' "$join" nsenter --net="/run/netns/$(netns "$at")" "$@" \
    >"$run/log/$name.log" 2>&1 </dev/null &
  local pid=$!
  disown
  echo $pid >"$run/pid/$name"
  until grep -qs "/$cluster-" "/proc/$pid/cgroup" || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
}

# Not only a process of that number, but one of ours, and not one that is dead and not yet waited for.
alive() {
  local pid
  [ -f "$run/pid/$1" ] || return 1
  pid=$(<"$run/pid/$1")
  grep -qs "/$cluster-" "/proc/$pid/cgroup" && ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status"
}
wait_alive() {   # wait_alive DAEMON SECONDS WHAT COMMAND...: gives up at once when the daemon is gone
  local name=$1 limit=$((SECONDS + $2)) what=$3; shift 3
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name" || [ $SECONDS -ge $limit ]; then
      { echo "$what: not ready; the last lines of $run/log/$name.log:"; tail -n 15 "$run/log/$name.log"; } >&2
      return 1
    fi
    sleep 0.1
  done
}

# --- the end

kernel_settings=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
  kernel/keys/root_maxbytes)
# The kubelet sets these for the whole machine, and down puts them back.
save_kernel_settings() {
  local name
  for name in "${kernel_settings[@]}"; do echo "$name $(<"/proc/sys/$name")"; done >"$run/kernel-settings"
}
restore_kernel_settings() {
  local name value
  [ -f "$run/kernel-settings" ] || return 0
  while read -r name value; do
    [ "$(<"/proc/sys/$name")" = "$value" ] || echo "$value" >"/proc/sys/$name" || true
  done <"$run/kernel-settings"
}

# Every part that ever was, running or not: by control groups, by network namespaces, by folders.
parts() {
  { find "$cgroups" -maxdepth 2 -type d -name "$cluster-*" -printf '%f\n' 2>/dev/null
    find /run/netns -maxdepth 1 -name "$cluster-*" -printf '%f\n' 2>/dev/null
    nodes_made | sed "s/^/$cluster-n/"; } | sed -n "s/^$cluster-\(cp\|n[0-9]*\)$/\1/p" | sort -u
}

# The cluster's names are the machine's, its files are in one SLUICE_HOME: another's cluster is not ours to clear.
claim_cluster() { mkdir -p "$sockets"; echo "$SLUICE_HOME" >"$sockets/home"; }
other_home() {
  local other
  [ ! -e "$run" ] && other=$(cat "$sockets/home" 2>/dev/null) && [ "$other" != "$SLUICE_HOME" ] &&
    [ -e "$other/kubernetes/$cluster" ] && echo "$other"
}

cluster_exists() { [ -n "$(parts)" ] || [ -e "$run" ] || [ -e "$sockets" ]; }

# Ends and removes everything of the cluster, also of one whose start was killed half-way. Safe to call at any time.
remove_cluster() {
  local part
  for part in $(parts); do
    kill_all_of "$part"
    remove_cgroup "$part"
    ip netns del "$(netns "$part")" 2>/dev/null || true
  done
  ip link del "$cluster-host" 2>/dev/null || true
  restore_kernel_settings
  # Nothing should be mounted here (a node's mounts go with its mount namespace); rm must not go into what is.
  awk -v run="$run/" -v sockets="$sockets/" 'index($2, run) == 1 || index($2, sockets) == 1 {print $2}' /proc/self/mounts |
    sort -r | while read -r mounted; do umount -l "$mounted"; done
  # Folders of the machine that were made only as places to mount on.
  cat "$run"/n*/own/made 2>/dev/null | sort -ru | xargs -r rmdir 2>/dev/null || true
  if [ -f "$run/made-run-netns" ] && [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then
    umount /run/netns 2>/dev/null || true
    rmdir /run/netns 2>/dev/null || true
  fi
  rm -rf "$run" "$sockets"
}
