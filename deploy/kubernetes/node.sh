# shellcheck shell=bash
# One node: a network namespace and a mount namespace with a containerd, a kubelet and a kube-proxy of its own.
# Sourced by up and node, after lib.sh.
# shellcheck disable=SC2154  # names from lib.sh

# shellcheck source-path=SCRIPTDIR source=../image/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../image/lib.sh"

helper_image() { image_ref busybox; }
node_dir() { echo "$run/n$1"; }
socket_dir() { echo "$sockets/n$1"; }
node_ctr() { local i=$1; shift; in_node "$i" ctr -a "$(socket_dir "$i")/containerd.sock" -n k8s.io "$@"; }
node_alive() { alive "node$1" && alive "kubelet$1" && alive "containerd$1" && alive "kube-proxy$1"; }

# in_node N COMMAND...: in the node's network and with its mounts.
in_node() {
  local i=$1; shift
  nsenter --net="/run/netns/$(netns "n$i")" --mount="/proc/$(<"$run/pid/node$i")/ns/mnt" "$@"
}

# spawn_in_node NAME N COMMAND...
spawn_in_node() {
  local name=$1 i=$2; shift 2
  spawn "$name" "n$i" nsenter --mount="/proc/$(<"$run/pid/node$i")/ns/mnt" "$@"
}

make_node_network() {
  local i=$1 ns
  ns=$(netns "n$i")
  [ ! -e "/run/netns/$ns" ] || return 0
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  ip -n "$(netns cp)" link add "v$i" type veth peer name eth0 netns "$ns"
  ip -n "$(netns cp)" link set "v$i" master br0 up
  ip -n "$ns" addr add "$(node_ip "$i")/24" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "$ns" route add default via "$api"
  in_netns "n$i" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  # Pods of other nodes are reached through the control plane's namespace, pods from the host too.
  ip -n "$(netns cp)" route add "$pod_net.$i.0/24" via "$(node_ip "$i")"
  ip route add "$pod_net.$i.0/24" via "$link_net.2"
}

# Keeps the node's mount namespace. Folders whose paths are built into kubelet, containerd and CNI are the node's own there.
hold_mounts() {
  local i=$1 own
  own=$(node_dir "$i")/own
  mkdir -p "$own"/{kubelet,containerd,cni,log}
  # shellcheck disable=SC2016  # expanded by the inner shell
  spawn "node$i" "n$i" unshare --mount --propagation private sh -c '
    set -e; own=$0
    for at in kubelet:/var/lib/kubelet containerd:/run/containerd cni:/var/lib/cni log:/var/log; do
      [ -d "${at#*:}" ] || { mkdir -p "${at#*:}"; echo "${at#*:}" >>"$own/made"; }
      mount --bind "$own/${at%%:*}" "${at#*:}"
    done
    touch "$own/ready"; exec sleep infinity' "$own"
  wait_alive "node$i" 10 "mounts of node $i" test -e "$own/ready"
}

write_containerd_config() {
  local i=$1 dir state snapshotter=overlayfs
  dir=$(node_dir "$i"); state=$(socket_dir "$i")
  # Layers can't be laid over a file system that is itself made of layers: a container's root, for one.
  [ "$(stat -f -c %T "$dir")" != overlayfs ] || snapshotter=native
  cat >"$dir/containerd.toml" <<C
version = 2
root = "$dir/containerd"
state = "$state"
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$(helper_image)"
  stream_server_address = "$(node_ip "$i")"
  restrict_oom_score_adj = true       # where negative scores are refused, pods would not start
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
C
}

write_pod_network() {
  local i=$1 dir
  dir=$(node_dir "$i"); mkdir -p "$dir/cni"
  cat >"$dir/cni/10-pods.conflist" <<C
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$dir/ipam", "ranges": [[{"subnet": "$pod_net.$i.0/24"}]],
    "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
}

write_kubelet_config() {
  local i=$1 dir
  dir=$(node_dir "$i")
  cat >"$dir/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_ip "$i")
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$cluster-n$i
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix://$(socket_dir "$i")/containerd.sock
clusterDNS: [$api]
clusterDomain: cluster.local
failSwapOn: false
evictionHard: {memory.available: "100Mi"}
imageGCHighThresholdPercent: 100
healthzPort: 0
podLogsDir: $dir/logs
localStorageCapacityIsolation: false
# With the controller-manager's grace period: a lost node is noticed in 16 seconds, not in 50.
nodeStatusUpdateFrequency: 4s
nodeLeaseDurationSeconds: 12
C
}

start_containerd() {
  local i=$1 tar
  write_containerd_config "$i"
  write_pod_network "$i"
  spawn_in_node "containerd$i" "$i" containerd -c "$(node_dir "$i")/containerd.toml"
  wait_alive "containerd$i" 30 "containerd of node $i" node_ctr "$i" version
  for tar in "$run"/images/*.tar; do node_ctr "$i" images import "$tar" >/dev/null; done
}

# start_node N: from nothing, or again after kill_node with what its disk holds.
start_node() {
  local i=$1
  mkdir -p "$(node_dir "$i")" "$(socket_dir "$i")"
  kill_all_of "n$i"
  rm -f "$(node_dir "$i")/own/ready"
  make_node_network "$i"
  make_cgroup "n$i"
  hold_mounts "$i"
  start_containerd "$i"
  write_kubelet_config "$i"
  spawn_in_node "kubelet$i" "$i" "$bin/kubelet" --kubeconfig="$kubeconfig" --config="$(node_dir "$i")/kubelet.yaml" \
    --root-dir="$(node_dir "$i")/kubelet" --hostname-override="node$i" --node-ip="$(node_ip "$i")" \
    --node-labels="topology.kubernetes.io/zone=zone-$(((i - 1) % 3 + 1))"
  spawn_in_node "kube-proxy$i" "$i" "$bin/kube-proxy" --kubeconfig="$kubeconfig" --hostname-override="node$i" \
    --proxy-mode=iptables --cluster-cidr="$pod_net.0.0/16" --healthz-bind-address=127.0.0.1:10256 \
    --metrics-bind-address=127.0.0.1:10249 --conntrack-max-per-core=0
}
