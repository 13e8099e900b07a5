#!/usr/bin/env bash
# Makes what is missing of the cluster's certificates, keys and kubeconfigs: pki.sh DIRECTORY HUB_ADDRESS NODE...
# Each NODE is given as name=address. What exists stays as it is: a running cluster trusts it.
set -euo pipefail

directory=$1 hub=$2 port=${API_PORT:-6443}
shift 2
mkdir -p "$directory"
cd "$directory"
umask 077

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() { # NAME
  [ -s "$1.crt" ] && return
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -out "$1.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}

certificate() { # NAME AUTHORITY SUBJECT [ALTERNATIVE_NAMES]
  [ -s "$1.crt" ] && return
  key "$1"
  {
    echo "basicConstraints = CA:FALSE"
    echo "keyUsage = digitalSignature, keyEncipherment"
    echo "extendedKeyUsage = clientAuth, serverAuth"
    if [ -n "${4:-}" ]; then echo "subjectAltName = $4"; fi
  } >"$1.extensions"
  openssl req -new -key "$1.key" -subj "$3" |
    openssl x509 -req -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 3650 \
      -extfile "$1.extensions" -out ".$1.crt" 2>/dev/null
  rm "$1.extensions"
  mv ".$1.crt" "$1.crt"
}

kubeconfig() { # NAME SERVER
  cat >"$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: chatbot-e2e
clusters:
  - name: chatbot-e2e
    cluster:
      server: $2
      certificate-authority-data: $(base64 -w0 ca.crt)
contexts:
  - name: chatbot-e2e
    context: { cluster: chatbot-e2e, user: $1 }
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$1.crt")
      client-key-data: $(base64 -w0 "$1.key")
YAML
}

authority ca
authority front-proxy-ca
if ! [ -s service-accounts.pub ]; then
  key service-accounts
  openssl ec -in service-accounts.key -pubout -out service-accounts.pub 2>/dev/null
fi

names=DNS:localhost,IP:127.0.0.1,IP:$hub,IP:10.96.0.1
for name in kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local; do
  names+=,DNS:$name
done
certificate apiserver ca /CN=kube-apiserver "$names"
certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
certificate admin ca /O=system:masters/CN=admin
kubeconfig admin https://127.0.0.1:$port

for name in kube-controller-manager kube-scheduler; do
  certificate "$name" ca "/CN=system:$name"
  kubeconfig "$name" https://127.0.0.1:$port
done
certificate kube-proxy ca /CN=system:kube-proxy
kubeconfig kube-proxy "https://$hub:$port"

for node in "$@"; do
  name=${node%%=*} address=${node#*=}
  certificate "$name" ca "/O=system:nodes/CN=system:node:$name" "DNS:$name,IP:$address"
  kubeconfig "$name" "https://$hub:$port"
done
