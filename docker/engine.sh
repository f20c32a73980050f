#!/usr/bin/env bash
# Print the first container engine that works on this machine, or ENGINE if it is set. buildah builds images but cannot
# run them; docker and podman do both.
set -euo pipefail

works() {
  if [ "$1" = docker ]; then docker info; else "$1" --version; fi >/dev/null 2>&1 # docker needs its daemon too
}

for engine in ${ENGINE:-docker podman buildah}; do
  if works "$engine"; then
    echo "$engine"
    exit
  fi
done
echo "no working container engine (tried ${ENGINE:-docker, podman, buildah}): start docker or install podman" >&2
exit 1
