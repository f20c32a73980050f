#!/usr/bin/env bash
# Print the container engine that works here, or ENGINE where it is set. Only docker and podman can also run an image.
set -euo pipefail

works() {
  if [ "$1" = docker ]; then docker info; else "$1" --version; fi >/dev/null 2>&1 # docker is a client: is there a daemon?
}

for engine in ${ENGINE:-docker podman buildah}; do
  if works "$engine"; then
    echo "$engine"
    exit
  fi
done
echo "no container engine works here (tried ${ENGINE:-docker, podman, buildah}): start docker, or install podman" >&2
exit 1
