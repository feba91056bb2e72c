#!/usr/bin/env bash
# previous.sh FOLDER: builds the programs of the newest commit that has other code than
# the present one into FOLDER, for tests in which two versions meet. Without a history there are none,
# which is told and no error.
set -euo pipefail
cd "$(dirname "$0")/.."
to=$(realpath -m "$1")

paths=(cmd pkg)
if ! git rev-parse --verify -q HEAD >/dev/null; then
  echo "no previous version: this is no clone with a history" >&2
  exit 0
fi
# The commit before the last one that changed the programs, or that one itself where it is not the present code.
last=$(git log -1 --format=%H -- "${paths[@]}")
if git diff --quiet HEAD -- "${paths[@]}"; then previous=$(git rev-parse -q --verify "$last^" || true); else previous=$last; fi
if [[ -z $previous ]]; then
  echo "no previous version: the history ends here" >&2
  exit 0
fi
if [[ -e $to/commit && $(<"$to/commit") == "$previous" ]]; then exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive "$previous" | tar -x -C "$work"
rm -rf "$to"
(cd "$work" && go build -o "$to/" ./cmd/...)
echo "$previous" >"$to/commit"
echo "previous version: $(git log -1 --format='%h %cs' "$previous")"
