#!/usr/bin/env bash
# List what is installed in IMAGE (quintet), as CycloneDX: docker/sbom.sh sbom.json. The same image gives the same list.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${IMAGE:-quintet}
engine=$(docker/engine.sh)
work=$(mktemp -d)
container=$("$engine" create "$image") # is never started: it only holds the files still
trap '"$engine" rm "$container" >/dev/null; rm -rf "$work"' EXIT
"$engine" cp "$container:/opt/venv/lib" "$work/lib"

# cyclonedx-py asks a Python where its packages are; this one answers with the copy.
printf '#!/bin/sh\necho '\''["%s"]'\''\n' "$work"/lib/python3.*/site-packages >"$work/python"
chmod +x "$work/python"
.venv-dev/bin/cyclonedx-py environment "$work/python" --pyproject pyproject.toml --output-reproducible -o "$1"
echo "Wrote $1: $(grep -c '"purl"' "$1") packages of $image"
