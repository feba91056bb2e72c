#!/usr/bin/env bash
# Runs every test: those beside the code with the race detector, then those that
# need a laboratory of servers, on both databases. The latter wait more than they
# compute: several laboratories work side by side, each on a share of the tests.
# MMM_LABS says how many, one more than there are cores by default.
set -euo pipefail
cd "$(dirname "$0")/.."

databases=(mariadb)
if [[ ${MMM_WITHOUT_MYSQL:-} == 1 ]]; then
  echo "WITHOUT MYSQL: MMM_WITHOUT_MYSQL=1; no test runs on MySQL" >&2
elif scripts/deps.sh mysql; then
  databases+=(mysql)
elif [[ ${CI:-} == true ]]; then
  echo "MySQL cannot be had, and in CI that is a failure; MMM_WITHOUT_MYSQL=1 does without it" >&2
  exit 1
else
  echo "WITHOUT MYSQL: it cannot be had, see above; no test runs on MySQL" >&2
fi

mapfile -t beside < <(go list ./... | grep -Ev '/tests/(harness|agent|e2e|many|sim/mysql|standin)$')
# One core for each: with more, the race detector of Go 1.26 crashes now and then
# in tests under a virtual clock. It finds races all the same, and packages run side by side.
go test -race -cpu 1 -timeout 10m "${beside[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Simulated worlds, always the same ones, so that a failure comes again: about a
# minute on two cores.
go build -o "$work/sim" ./tests/sim
"$work/sim" -seeds "${MMM_SIM_SEEDS:-1-25000}"
for package in harness agent e2e many sim/mysql standin; do
  go test -c -o "$work/${package//\//-}.test" "./tests/$package"
done
go build -o "$work/bin/" ./cmd/...
go build -tags failpoint -o "$work/bin-failpoint/" ./cmd/...
export MMM_PROGRAMS=$work

# share DATABASE PACKAGE PATTERN: one laboratory's share of the tests.
share() {
  local out began=$SECONDS
  if out=$(cd "tests/$2" && MMM_DB=$1 "$work/${2//\//-}.test" -test.timeout 15m -test.run "$3" 2>&1); then
    printf 'ok    %-7s tests/%s in %d s: %s\n' "$1" "$2" "$((SECONDS - began))" "$3"
    grep -h SKIP <<<"$out" || true
  else
    printf 'FAIL  %-7s tests/%s: %s\n%s\n' "$1" "$2" "$3" "$out"
    return 1
  fi
}
export -f share
export work

# Small shares, so that no laboratory is left with a long one at the end. What is about
# Redis says nothing of the database, and runs on the first.
shares=()
for db in "${databases[@]}"; do
  mapfile -t names < <("$work/e2e.test" -test.list '^Test')
  if [[ $db != "${databases[0]}" ]]; then
    mapfile -t names < <(printf '%s\n' "${names[@]}" | grep -Ev 'Redis|Sentinel')
  fi
  for ((i = 0; i < ${#names[@]}; i += 6)); do
    pattern=$(IFS='|' && echo "^(${names[*]:i:6})\$")
    shares+=("$db e2e $pattern")
  done
done
for db in "${databases[@]}"; do shares+=("$db agent ." "$db sim/mysql ." "$db harness ."); done
# Stand-ins speak for MySQL alone.
shares+=("${databases[0]} many .")
if [[ ${#databases[@]} -gt 1 ]]; then shares+=("mysql standin ."); fi
# shellcheck disable=SC2016
printf '%s\0' "${shares[@]}" | xargs -0 -P "${MMM_LABS:-$(($(nproc) + 1))}" -n 1 bash -c 'share $0' ||
  { echo "some tests failed, see above" >&2 && exit 1; }

# The laboratory of hosts, a few rounds on each database side by side: monitors alone are cut off, then everything happens.
if [[ $(id -u) == 0 ]]; then
  go build -o "$work/lab" ./tests/lab
  # rounds DATABASE: its rounds. The seed is always the same, so that a failure comes again.
  rounds() {
    local plan out began
    for plan in "monitors -rounds 3" "storm -rounds 10 -minutes 2"; do
      began=$SECONDS
      # shellcheck disable=SC2086
      if ! out=$(MMM_DB=$1 "$work/lab" -bin "$work/bin" -seeds "${MMM_LAB_SEEDS:-1}" -plan $plan 2>&1); then
        printf 'FAIL  %-7s tests/lab -plan %s\n%s\n' "$1" "$plan" "$out"
        return 1
      fi
      printf 'ok    %-7s tests/lab -plan %s in %d s: %s\n' "$1" "${plan%% *}" "$((SECONDS - began))" "$(grep -m 1 ' faults in ' <<<"$out")"
    done
  }
  export -f rounds
  # shellcheck disable=SC2016
  printf '%s\0' "${databases[@]}" | xargs -0 -P 2 -n 1 bash -c 'rounds $0' ||
    { echo "the laboratory found something, see above" >&2 && exit 1; }
elif [[ ${CI:-} == true ]]; then
  echo "tests/lab needs root, and in CI that is a failure" >&2
  exit 1
else
  echo "SKIP: tests/lab needs root; nothing was broken on hosts of its own" >&2
fi
