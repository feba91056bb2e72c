#!/usr/bin/env bash
# Checks that a Go that can build this module is installed.
set -euo pipefail

want=$(awk '$1 == "go" { print $2; exit }' "$(dirname "$0")/../go.mod")
want=${want%.0}

if ! command -v go >/dev/null; then
  echo "go is not installed: mmm-manager needs Go $want or newer (from the Go project, or a backport of your distribution)" >&2
  exit 69
fi
have=$(go env GOVERSION)
have=${have#go}
if [[ $(printf '%s\n%s\n' "$want" "${have%% *}" | sort -V | head -n 1) != "$want" ]]; then
  echo "go $have is too old: mmm-manager needs Go $want or newer (from the Go project, or a backport of your distribution)" >&2
  exit 69
fi
