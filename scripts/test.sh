#!/usr/bin/env bash
# Runs every test: the ones beside the code and of the laboratory with the race
# detector, then the end-to-end tests, which build the programs themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t beside < <(go list ./... | grep -v '/tests/e2e$')

go test -race -timeout 10m "${beside[@]}"
go test -count=1 -timeout 14m ./tests/e2e
