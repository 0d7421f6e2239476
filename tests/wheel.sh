#!/usr/bin/env bash
# Build the wheel, install it into an environment of its own, and run it away from the checkout.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/.venv/bin/python" -m hatchling build -t wheel -d "$work/dist" >/dev/null
python3 -m venv "$work/venv"
install() { "$root/.venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" "$@"; }
# behind a proxy with a certificate of its own, the second try uses the system's certificates
install --require-hashes -r "$root/requirements.lock" \
  || install --system-certs --require-hashes -r "$root/requirements.lock"
install --no-deps "$work"/dist/*.whl
cd "$work"
"$work/venv/bin/opoi" run --n 4 --runs 2 --quiet --out run >/dev/null
test -s run/report.html
"$work/venv/bin/opoi" rules test residue leaks >/dev/null
"$work/venv/bin/opoi" clean run/traces/opoi.jsonl --rules leaks --quiet --html page.html >/dev/null
"$work/venv/bin/opoi" leaks --calibrate --suite echo --n 2 --quiet >/dev/null
test -s page.html
echo "wheel: $(basename "$work"/dist/*.whl) runs away from the checkout"
