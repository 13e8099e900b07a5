#!/usr/bin/env bash
# Process 1 of a node: node.sh NAME ADDRESS DIRECTORY PKI PROGRAMS LOGS. It runs in namespaces of its own (network,
# mounts, processes, host name); when it dies, the node is without power: containerd, kubelet, kube-proxy and every
# container die in the same instant.
set -euo pipefail

name=$1 address=$2 directory=$3 pki=$4 programs=$5 logs=$6
export PATH=$programs:/usr/sbin:/sbin:/usr/bin:/bin HOME=/root
unset KUBECONFIG

hostname "$name"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
mount --bind "$directory/var" /var
mount --make-rshared / # within this node, so that containers may ask for mount propagation

containerd --config "$directory/containerd.toml" >>"$logs/$name-containerd.log" 2>&1 &
for _ in $(seq 300); do
  ctr --address /run/containerd/containerd.sock version >/dev/null 2>&1 && break
  sleep 0.1
done
kubelet --config="$directory/kubelet.yaml" --kubeconfig="$pki/$name.kubeconfig" --root-dir=/var/lib/kubelet \
  --hostname-override="$name" --node-ip="$address" --housekeeping-interval=5s >>"$logs/$name-kubelet.log" 2>&1 &
kube-proxy --config="$directory/kube-proxy.yaml" >>"$logs/$name-kube-proxy.log" 2>&1 &

while true; do # collects every orphan, and stays
  wait -n || true
  sleep 1
done
