#!/usr/bin/env bash
# Builds stand-ins for the official images that the tests' container provider asks for, on a machine that cannot pull
# them: see README.md beside this file. Needs root, debootstrap, uv and a Docker daemon.
set -euo pipefail
cd "$(dirname "$0")/../.."

for command in debootstrap docker; do
  command -v "$command" >/dev/null || { echo "$command is missing: apt-get install debootstrap docker.io" >&2; exit 1; }
done
docker version >/dev/null || { echo "No Docker daemon answers: start dockerd, or set DOCKER_HOST" >&2; exit 1; }
uv=$(command -v uv || echo .tools/bin/uv)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
export DOCKER_BUILDKIT=0  # Debian's docker.io has no buildx
export PYTHONPATH=tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -z $(docker images -q leadline/stand-in) ]]; then
  echo "Debian $suite with Java, Python and socat"
  debootstrap --variant=minbase --include=default-jre-headless,python3,socat "$suite" "$work/root" >"$work/log" \
    || { tail -n 20 "$work/log" >&2; exit 1; }
  rm -rf "$work/root/var/cache/apt/archives"
  tar -C "$work/root" -c . | docker import - leadline/stand-in >/dev/null
fi

image=$(.venv/bin/python -c 'from kit import backends; print(backends.kafka_image())')
echo "$image"
cp -r tests/containers/kafka "$work/kafka"
mkdir "$work/kafka/libs"
.venv/bin/python - "$work/kafka/libs" <<'PYTHON'
import shutil
import sys
from pathlib import Path

from leadline.stack import artifacts, kafka_lock

lock = kafka_lock.parse(Path("deploy/local/kafka.lock").read_text(encoding="utf-8"))
for jar in artifacts.install(lock, Path(".leadline/maven")):
    shutil.copy(jar, sys.argv[1])
PYTHON
docker build --quiet --tag "$image" "$work/kafka" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }

image=$(.venv/bin/python -c 'from kit import backends; print(backends.CLICKHOUSE_IMAGE)')
echo "$image"
cp -r tests/containers/clickhouse "$work/clickhouse"
python=$(docker run --rm leadline/stand-in python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$uv" export --quiet --frozen --no-default-groups --no-emit-project --output-file "$work/requirements.txt"
"$uv" pip install --quiet --python-version "$python" --target "$work/clickhouse/packages" --requirements "$work/requirements.txt"
cp -r schemas connectors warehouse "$work/clickhouse/packages/"
docker build --quiet --tag "$image" "$work/clickhouse" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }

docker images --format '{{.Repository}}:{{.Tag}}  {{.Size}}' | grep -E '^(apache/kafka|clickhouse/clickhouse-server):'
