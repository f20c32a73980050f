#!/usr/bin/env bash
# Build the image: make image, or docker/build.sh [FLAG...] with flags of `docker build` or `podman build`.
#
#   IMAGE         what to call it (quintet)              MODEL   the bundle to put in (model/imagenet)
#   PYTHON_IMAGE  the base, from a mirror or by digest   ENGINE  docker, podman or buildah (whichever works)
#
# All files of the image bear the same date, so that the same commit gives the same layers wherever it is built, and a
# layer that has not changed is neither pushed nor pulled again.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=$(docker/engine.sh)
flags=(--tag "${IMAGE:=quintet}")
if [ -n "${PYTHON_IMAGE:-}" ]; then flags+=(--build-arg PYTHON_IMAGE="$PYTHON_IMAGE"); fi
if [ -n "${MODEL:-}" ]; then flags+=(--build-arg MODEL="$MODEL"); fi

label() {
  if [ -n "$2" ]; then flags+=(--label "org.opencontainers.image.$1=$2"); fi
}
label version "$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
label revision "$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)"
label source "$(git config remote.origin.url | sed -nE 's#^https://([^/]*@)?#https://#p')" # no password that may be in it

if [ "$engine" = docker ]; then
  export SOURCE_DATE_EPOCH=0
else
  flags+=(--format docker --layers --timestamp 0) # the OCI format has no HEALTHCHECK
fi
echo "Building $IMAGE with $engine (a minute at first, seconds later) ..."
"$engine" build "${flags[@]}" "$@" .
