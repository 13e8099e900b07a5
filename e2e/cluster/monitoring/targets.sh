#!/bin/sh
# Tells Prometheus which pods are scraped: those that say so by the annotations prometheus.io/scrape, /port and /path,
# of any namespace. Debian's Prometheus is built without the discovery of Kubernetes' pods; it reads files.
# Prints once what pods a list on standard input has, or, given a file to keep, asks the API server for ever.
set -eu

targets() {
  jq '[.items[]
    | .metadata.annotations as $said | select($said["prometheus.io/scrape"] == "true" and .status.podIP != null)
    | {
        targets: ["\(.status.podIP):\($said["prometheus.io/port"] // "80")"],
        labels: ({
          __metrics_path__: $said["prometheus.io/path"],
          job: .metadata.labels["app.kubernetes.io/name"],
          cluster: .metadata.labels["chatbot.dev/cluster"],
          component: .metadata.labels["chatbot.dev/component"],
          namespace: .metadata.namespace, pod: .metadata.name, node: .spec.nodeName
        } | with_entries(select(.value != null)))
      }]'
}

if [ $# -eq 0 ]; then
  targets
  exit
fi
account=/var/run/secrets/kubernetes.io/serviceaccount
pods='https://kubernetes.default.svc/api/v1/pods?resourceVersion=0&fieldSelector=status.phase%3DRunning'
while sleep 2; do
  # What cannot be asked now is asked again; until then the last answer counts.
  if curl --silent --fail --max-time 10 --cacert "$account/ca.crt" \
    --header "Authorization: Bearer $(cat "$account/token")" --output "$1.list" "$pods" &&
    targets <"$1.list" >"$1.part" && ! cmp -s "$1.part" "$1"; then
    mv "$1.part" "$1"
  fi
done
