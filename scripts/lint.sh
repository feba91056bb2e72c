#!/usr/bin/env bash
# gofmt, go vet, staticcheck and the direction of imports.
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

step() { printf -- '-- %s\n' "$*"; }

step gofmt
unformatted=$(gofmt -l cmd pkg tests)
if [[ -n $unformatted ]]; then
  echo "gofmt would change:" >&2
  echo "$unformatted" >&2
  exit 1
fi

step go vet
go vet ./...
go vet -tags failpoint ./...

step staticcheck
# -mod=mod and no vendor of its own: go run builds the tool outside this module.
go run "$staticcheck" ./...
go run "$staticcheck" -tags failpoint ./...

step import direction
go test -count=1 ./tests/imports

if command -v shellcheck >/dev/null; then
  step shellcheck
  shellcheck scripts/*.sh scripts/servers .ci/run
fi
