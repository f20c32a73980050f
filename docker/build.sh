#!/usr/bin/env bash
# Build the image: make image, or docker/build.sh [FLAG...] with flags of `docker build` or `podman build`.
#
#   IMAGE         name of the image (quintet)
#   PYTHON_IMAGE  base image, from a mirror or by digest
#   MODEL         bundle to include (model/imagenet)
#   ENGINE        docker, podman or buildah (the first that works)
#
# All files in the image get the same date. The same commit then gives the same layers on every machine, and a layer that
# has not changed is neither pushed nor pulled again.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=$(docker/engine.sh)
flags=(--tag "${IMAGE:=quintet}")
if [ -n "${PYTHON_IMAGE:-}" ]; then flags+=(--build-arg PYTHON_IMAGE="$PYTHON_IMAGE"); fi
if [ -n "${MODEL:-}" ]; then flags+=(--build-arg MODEL="$MODEL"); fi

add_label() {
  if [ -n "$2" ]; then flags+=(--label "org.opencontainers.image.$1=$2"); fi
}
add_label version "$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
add_label revision "$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)"
# Without the password that the URL may contain.
add_label source "$(git config remote.origin.url | sed -nE 's#^https://([^/]*@)?#https://#p')"

if [ "$engine" = docker ]; then
  export SOURCE_DATE_EPOCH=0
else
  flags+=(--format docker --layers --timestamp 0) # the OCI format has no HEALTHCHECK
fi
echo "Building $IMAGE with $engine (a minute the first time, seconds later) ..."
"$engine" build "${flags[@]}" "$@" .
