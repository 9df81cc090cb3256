#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tools/bare_root.sh [--suite NAME] [--rev COMMIT] [--dir DIR] [--keep] [--run-only]: the proof that a newcomer needs
# nothing but git. A minimal Debian plus git is made in a folder, a clean clone of the commit is put into it, and there
# ./run and ./test are run as they stand. Needs root and debootstrap; downloads are kept between runs.
# Logs: build/bare-root/. Exit code 0: both commands passed.
set -euo pipefail

say() { printf 'bare root: %s\n' "$*" >&2; }
die() {
  say "$2"
  exit "$1"
}

main() {
  here=$(readlink -f "${BASH_SOURCE[0]}")
  source_dir=${here%/tools/*}
  suite=bookworm rev=HEAD root='' keep=0 run_only=0
  while (($#)); do
    case $1 in
      --suite) suite=${2:?}; shift ;;
      --rev) rev=${2:?}; shift ;;
      --dir) root=${2:?}; shift ;;
      --keep) keep=1 ;;
      --run-only) run_only=1 ;;
      *) sed -n '3,6s/^# //p' "$here" >&2; exit 64 ;;
    esac
    shift
  done
  ((EUID == 0)) || die 69 "needs root, for debootstrap and chroot"
  command -v debootstrap >/dev/null || die 69 "needs debootstrap: apt-get install debootstrap"
  unshare --mount --pid --fork true 2>/dev/null || die 69 "needs the right to make mount and process namespaces"

  cache=${XDG_CACHE_HOME:-${HOME:-/var}/.cache}/shootdown/bare-root
  logs=$source_dir/build/bare-root
  root=${root:-$(mktemp -d "${TMPDIR:-/var/tmp}/shootdown-bare-root.XXXXXX")}
  mkdir -p "$cache/$suite/partial" "$logs" "$root"
  [[ -z $(ls -A "$root") ]] || die 66 "$root is not empty"
  chmod 755 "$root"
  # Out here none of the mounts made below is visible, so nothing but the folder itself can be removed.
  ((keep)) || trap 'rm -rf --one-file-system "$root"' EXIT

  make_root
  local status=0
  # Mounts and left-over processes end with the namespaces, whatever happens inside.
  export root cache suite logs run_only
  unshare --mount --propagation private --pid --fork --kill-child bash "$here" --inside || status=$?
  ((keep)) && say "kept: $root"
  exit "$status"
}

# The mirror's address, the settings that reach it and the name service are the machine's own.
make_root() {
  local sources
  # shellcheck disable=SC2016  # apt expands the formats, not the shell
  sources=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 'Component: main' | sort -u)
  local release mirror
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mirror=$(awk -v name="$release" '$1 == name {print $2; exit}' <<<"$sources")
  [[ -n $mirror ]] || die 69 "apt's configuration names no source of $release"
  say "making a minimal $suite with git in $root"
  debootstrap --variant=minbase --include=git --cache-dir="$cache/$suite" "$suite" "$root" "$mirror" \
    >"$logs/debootstrap.log" 2>&1 || { tail -n 20 "$logs/debootstrap.log" >&2; die 69 "debootstrap failed"; }

  apt-config dump | grep '^Acquire::' >"$root/etc/apt/apt.conf.d/90machine"
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  # A fresh installation has its security updates and point releases as well.
  if [[ $suite == "$release" ]]; then
    awk -v name="$suite" '$1 == name || $1 == name "-updates" || $1 == name "-security" {
      print "deb " $2 " " $1 " main"}' <<<"$sources" >"$root/etc/apt/sources.list"
  fi

  git clone -q --no-local "$source_dir" "$root/srv/shootdown"
  git -C "$root/srv/shootdown" checkout -q --detach "$(git -C "$source_dir" rev-parse "$rev")"
  cp -a "$root/srv/shootdown" "$root/srv/unprivileged"
  chown -R 65534:65534 "$root/srv/unprivileged"
  say "commit $(git -C "$root/srv/shootdown" log -1 --format='%h %s')"
}

inside() {
  mount -t proc proc "$root/proc"
  mount -t tmpfs tmpfs "$root/dev/shm"
  mount --bind "$cache/$suite" "$root/var/cache/apt/archives"
  local failures=0

  # Before anything is installed: who may not install is told so, in one line, and nothing else happens.
  step unprivileged 69 --user /srv/unprivileged ./run list
  [[ ! -s $logs/unprivileged.out && $(wc -l <"$logs/unprivileged.err") == 1 ]] ||
    fail "without root: one line on standard error was wanted"

  step run 0 /srv/shootdown ./run
  step run-again 0 /srv/shootdown ./run list
  ((step_ms <= 1000)) || fail "./run list took $step_ms ms with nothing to be done"
  [[ ! -s $logs/run-again.err ]] || fail "./run list spoke on standard error with nothing to be done"
  if ((!run_only)); then
    step test 0 /srv/shootdown ./test
    grep -E '^[0-9]+% tests passed' "$logs/test.out" >&2 || fail "./test has no closing line"
    step ci 0 / srv/shootdown/.ci/run -N
  fi
  ((failures == 0)) && say "passed"
  return "$((failures > 0))"
}

fail() {
  say "FAILED: $*"
  failures=$((failures + 1))
}

# step NAME EXIT_CODE [--user] DIR COMMAND...: runs it in the root, with the environment of a first login.
step() {
  local name=$1 wanted=$2 user=() status=0 begin
  shift 2
  if [[ $1 == --user ]]; then
    user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    shift
  fi
  local dir=$1
  shift
  begin=$(date +%s%N)
  # shellcheck disable=SC2016  # expanded by the shell inside
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/tmp TERM=dumb \
    chroot "$root" "${user[@]}" bash -c 'cd "$1" && shift && exec "$@"' - "$dir" "$@" \
    </dev/null >"$logs/$name.out" 2>"$logs/$name.err" || status=$?
  step_ms=$((($(date +%s%N) - begin) / 1000000))
  say "$(printf '%-14s exit code %d after %d.%d s' "$name" "$status" $((step_ms / 1000)) $((step_ms % 1000 / 100)))"
  ((status == wanted)) && return 0
  tail -n 30 "$logs/$name.out" "$logs/$name.err" >&2
  fail "$name: exit code $status, wanted $wanted"
}

if [[ ${1:-} == --inside ]]; then
  inside
else
  main "$@"
fi
