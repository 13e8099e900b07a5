#!/usr/bin/env bash
# Packs a folder as an image: image.sh NAME:TAG FOLDER USER ARCHIVE ENTRYPOINT...
# One layer in the archive form that containerd imports. Needs tar, sha256sum and jq; no daemon, no registry.
set -euo pipefail

name=$1 folder=$2 user=$3 archive=$4
shift 4
work=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$work"' EXIT

tar --create --directory "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
  --file "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) architecture=$(uname -m) ;; esac

jq --null-input --arg layer "sha256:$layer" --arg user "$user" --arg architecture "$architecture" '{
  architecture: $architecture, os: "linux",
  config: {Entrypoint: $ARGS.positional, User: $user, WorkingDir: "/", Env: ["PATH=/usr/bin:/bin"]},
  rootfs: {type: "layers", diff_ids: [$layer]}
}' --args "$@" >"$work/config.json"
jq --null-input --arg name "$name" \
  '[{Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"]}]' >"$work/manifest.json"
tar --create --directory "$work" --file "$work/image.tar" manifest.json config.json layer.tar
mv "$work/image.tar" "$archive"
