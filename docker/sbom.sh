#!/usr/bin/env bash
# List the packages of IMAGE (quintet) as CycloneDX: docker/sbom.sh sbom.json. The same image gives the same list.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${IMAGE:-quintet}
engine=$(docker/engine.sh)
work=$(mktemp -d)
container=$("$engine" create "$image") # never started; files can be copied only from a container
trap '"$engine" rm "$container" >/dev/null; rm -rf "$work"' EXIT
"$engine" cp "$container:/opt/venv/lib" "$work/lib"

# cyclonedx-py runs a Python interpreter to find its packages. This script stands in for one and prints the copied folder.
printf '#!/bin/sh\necho '\''["%s"]'\''\n' "$work"/lib/python3.*/site-packages >"$work/python"
chmod +x "$work/python"
.venv-dev/bin/cyclonedx-py environment "$work/python" --pyproject pyproject.toml --output-reproducible -o "$1"
echo "Wrote $1: $(grep -c '"purl"' "$1") packages of $image"
