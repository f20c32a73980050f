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
flags=(--tag "${IMAGE:=quintet}" --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)")
if [ -n "${PYTHON_IMAGE:-}" ]; then flags+=(--build-arg PYTHON_IMAGE="$PYTHON_IMAGE"); fi
if [ -n "${MODEL:-}" ]; then flags+=(--build-arg MODEL="$MODEL"); fi
if revision=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null); then
  flags+=(--build-arg REVISION="$revision")
fi
source=$(git config remote.origin.url | sed -nE 's#^https://([^/]*@)?#https://#p') || true # no password that may be in it
if [ -n "$source" ]; then flags+=(--build-arg SOURCE="$source"); fi

if [ "$engine" = docker ]; then
  export SOURCE_DATE_EPOCH=0
else
  flags+=(--format docker --layers --timestamp 0) # the OCI format has no HEALTHCHECK
fi
echo "Building $IMAGE with $engine (a minute at first, seconds later) ..."
"$engine" build "${flags[@]}" "$@" .
