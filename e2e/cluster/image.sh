#!/usr/bin/env bash
# Packs a folder as an image: image.sh NAME:TAG FOLDER USER ARCHIVE ENTRYPOINT...
# One layer, in an archive that is an OCI layout and has Docker's manifest.json as well: `ctr images import`,
# `kind load image-archive`, `docker load`, `podman load` and `skopeo copy oci-archive:…` take it. The same folder gives
# the same bytes. Needs tar, sha256sum and jq; no daemon, no registry.
set -euo pipefail

name=$1 folder=$2 user=$3 archive=$4
shift 4
work=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
blobs=$work/blobs/sha256
mkdir -p "$blobs"

pack() { # pack FOLDER ARCHIVE NAME...
  local from=$1 to=$2
  shift 2
  tar --create --directory "$from" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
    --file "$to" "$@"
}
keep() { # moves a file to where its content says, and prints its hash
  local sum
  sum=$(sha256sum "$1" | cut -d' ' -f1)
  mv "$1" "$blobs/$sum"
  echo "$sum"
}
size() { stat --format=%s "$blobs/$1"; }

case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac

pack "$folder" "$work/layer" .
layer=$(keep "$work/layer")
jq --null-input --arg layer "sha256:$layer" --arg user "$user" --arg architecture "$architecture" '{
  architecture: $architecture, os: "linux",
  config: {Entrypoint: $ARGS.positional, User: $user, WorkingDir: "/", Env: ["PATH=/usr/bin:/bin"]},
  rootfs: {type: "layers", diff_ids: [$layer]}
}' --args "$@" >"$work/config"
config=$(keep "$work/config")
jq --null-input --arg layer "sha256:$layer" --argjson layer_size "$(size "$layer")" \
  --arg config "sha256:$config" --argjson config_size "$(size "$config")" '{
  schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $config_size},
  layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $layer, size: $layer_size}]
}' >"$work/manifest"
manifest=$(keep "$work/manifest")
jq --null-input --arg manifest "sha256:$manifest" --argjson size "$(size "$manifest")" --arg name "$name" \
  --arg architecture "$architecture" '{
  schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [{
    mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $manifest, size: $size,
    platform: {architecture: $architecture, os: "linux"},
    annotations: {
      "io.containerd.image.name": $name, "org.opencontainers.image.ref.name": ($name | split(":") | last)
    }
  }]
}' >"$work/index.json"
echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
# What Docker before 25 reads.
jq --null-input --arg name "$name" --arg layer "$layer" --arg config "$config" \
  '[{Config: "blobs/sha256/\($config)", RepoTags: [$name], Layers: ["blobs/sha256/\($layer)"]}]' >"$work/manifest.json"
pack "$work" "$work/image" oci-layout index.json manifest.json blobs
mv "$work/image" "$archive"
