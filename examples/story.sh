# What the stories in this folder share: they build the programs, run them, show what happens, and stop where it is not what
# it should be. A story sources this first; a story that starts something ends it in a function named `clean_up`.
#
#   NAME [--binaries DIR]     DIR: use these programs, install and build nothing
# shellcheck shell=bash
set -euo pipefail

story=$(basename "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly story root
binaries=
while (($#)); do
  case $1 in
    --binaries) binaries=$(cd "${2:?"--binaries needs a folder"}" && pwd -P); shift 2 ;;
    *) echo "$story: unknown argument: $1" >&2; exit 2 ;;
  esac
done

export LC_ALL=C.UTF-8 HOME="${HOME:-$root/build}" PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
exec </dev/null

scratch=$(mktemp -d)
finish() {
  if declare -F clean_up >/dev/null; then clean_up; fi
  rm -rf "$scratch"
}
trap finish EXIT

fail() {
  printf '\n%s: %s\n' "$story" "$*" >&2
  exit 1
}

# build PACKAGES: installs what that list of config/install-packages names, builds, and puts the programs into the path.
build() {
  if [[ -z $binaries ]]; then
    "$root/config/install-packages" "$1"
    mkdir -p "$root/build"
    local log="$root/build/$story.log"
    echo "Building (the first time takes some minutes; the log is $log) ..."
    if ! (cd "$root" && cmake --preset release && cmake --build --preset release --target bank_node maestro_command) >"$log" 2>&1; then
      tail -n 40 "$log" >&2
      fail "the build failed, see $log"
    fi
    binaries="$root/build/release/bin"
  fi
  PATH="$binaries:$PATH"
}

say() { printf '\n--- %s\n' "$*"; }

# launch NAME ARGUMENT...: a bank_node that has said that it is ready when this returns. Sets `node`, its process id, and `address`. What
# it prints is in $scratch/NAME.out and .err.
launch() {
  local name=$1 tries=0
  shift
  : >"$scratch/$name.out"  # Not what an earlier one of that name has said.
  (cd "$scratch" && exec bank_node "$@") >>"$scratch/$name.out" 2>"$scratch/$name.err" &
  node=$!
  until grep -q '^ready ' "$scratch/$name.out"; do
    kill -0 "$node" 2>/dev/null || { cat "$scratch/$name.err" >&2; fail "the node ended"; }
    ((++tries < 300)) || fail "the node is not ready after 30 seconds"
    sleep 0.1
  done
  address=$(awk '{print $2}' "$scratch/$name.out")
}

# step STATUS PATTERN VERB ARGUMENT...: runs maestro, shows it, and insists on the exit status and on PATTERN in its output.
step() {
  local status=$1 pattern=$2 got=0 output
  shift 2
  printf '$ maestro'
  printf " %s" "${@@Q}" | sed "s/'\([A-Za-z0-9:_-]*\)'/\1/g"
  echo
  output=$(maestro "$1" --node "$address" "${@:2}" 2>&1) || got=$?
  printf '%s\n' "$output"
  ((got == 0)) || echo "(exit status $got)"
  ((got == status)) || fail "expected exit status $status, got $got"
  grep -qF -- "$pattern" <<<"$output" || fail "expected to see: $pattern"
}
