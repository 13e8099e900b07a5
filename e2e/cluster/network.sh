#!/usr/bin/env bash
# The cluster's network, made of network namespaces that have no way out of this machine.
#   network.sh hub HUB HUB_ADDRESS                            the control plane's namespace, with a bridge
#   network.sh node HUB HUB_ADDRESS NAMESPACE NODE NUMBER ADDRESS   a node's namespace, with a link to that bridge
# What exists is left as it is.
set -euo pipefail

nodes=9 # the most that a cluster has: node i is at 10.250.0.(10+i) and owns the pods of 10.244.i.0/24

routes_to_pods() { # NAMESPACE, except those of node EXCEPT
  for number in $(seq "$nodes"); do
    [ "$number" = "${2:-}" ] || ip -n "$1" route replace "10.244.$number.0/24" via "10.250.0.$((10 + number))"
  done
}

forwarding() { # NAMESPACE
  nsenter --net="/run/netns/$1" sysctl -qw net.ipv4.ip_forward=1 \
    net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
}

hub() { # HUB HUB_ADDRESS
  [ -e "/run/netns/$1" ] && return
  ip netns add "$1"
  ip -n "$1" link set lo up
  ip -n "$1" link add bridge0 type bridge
  ip -n "$1" addr add "$2/24" dev bridge0
  ip -n "$1" link set bridge0 up
  ip -n "$1" route add unreachable default # an address that is not the cluster's is refused, not sent anywhere
  routes_to_pods "$1"
  forwarding "$1"
}

node() { # HUB HUB_ADDRESS NAMESPACE NODE NUMBER ADDRESS
  if ! [ -e "/run/netns/$3" ]; then
    modprobe -q br_netfilter || true # built into some kernels
    ip netns add "$3"
    ip link add "$4" netns "$1" type veth peer name eth0 netns "$3"
    ip -n "$1" link set "$4" master bridge0 up
    ip -n "$3" link set lo up
    ip -n "$3" addr add "$6/24" dev eth0
  fi
  ip -n "$3" link set eth0 up # a power cut takes the link down, and its routes with it
  ip -n "$3" route replace default via "$2"
  routes_to_pods "$3" "$5"
  forwarding "$3"
  # A pod that reaches a pod on its own node by a Service's address: the answer crosses the bridge, and only
  # netfilter can turn the address back.
  nsenter --net="/run/netns/$3" sysctl -qw net.bridge.bridge-nf-call-iptables=1
}

"$@"
