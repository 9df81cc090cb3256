# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by ./run and ./test: installs what is missing through apt. All speech is on standard error, and where
# nothing is missing it costs one dpkg-query. Building is in tools/build.sh.

# A line is one need; `a|b` names the same thing on different releases of Debian, the first that exists is taken.
setup_run_packages=(
  cmake ninja-build g++
  libcli11-dev libfmt-dev libexpected-dev 'libboost1.81-dev|libboost-dev' libxxhash-dev nlohmann-json3-dev
  libtomlplusplus-dev libzstd-dev gnuplot-nox
  g++-aarch64-linux-gnu qemu-system-arm
)
setup_test_packages=(
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev ccache
  # The clang of both Debian 12 and 13; 14, the default of 12, lacks std::source_location.
  clang-19 libclang-rt-19-dev
)
# `audit` needs the plugin interface of this QEMU; `check` and `boot` work with older ones.
setup_qemu_wanted=1:10.0
setup_sources_dir=/etc/apt/sources.list.d

say() { printf 'shootdown: %s\n' "$*" >&2; }

# setup_packages run|test: returns when everything is there, exits 69 with one clear line when it cannot be.
# Sets setup_installed to 1 if something was installed, so that the build looks for it again.
setup_packages() {
  local state_dir=$1 needs=("${setup_run_packages[@]}")
  [[ $2 == test ]] && needs+=("${setup_test_packages[@]}")
  setup_installed=0
  command -v dpkg-query >/dev/null || {
    [[ -e $state_dir/not-debian ]] || say "this is not Debian: nothing is installed, see tools/setup.sh for the needs"
    : >"$state_dir/not-debian"
    return 0
  }
  setup_find_missing "${needs[@]}"
  local qemu_old=0
  setup_qemu_is_old && [[ ! -e $state_dir/qemu-stays-old ]] && qemu_old=1
  [[ ${#setup_missing[@]} -eq 0 && $qemu_old -eq 0 ]] && return 0

  setup_log=$state_dir/setup.log
  : >"$setup_log"
  if ! setup_become_root; then
    if [[ ${#setup_missing[@]} -eq 0 ]]; then
      say "QEMU $setup_qemu_version is too old for 'audit' and root or sudo is needed to install a newer one; going on"
      : >"$state_dir/qemu-stays-old"
      return 0
    fi
    say "root or sudo is needed to install: ${setup_missing[*]}"
    exit 69
  fi
  setup_install "$state_dir"
}

# Sets setup_missing to the needs of which no alternative is installed, setup_qemu_version to QEMU's version.
setup_find_missing() {
  local need installed name status version names
  installed=' '
  setup_qemu_version=
  setup_missing=()
  IFS=' |' read -ra names <<<"$*"
  while read -r name status version; do
    [[ $status == installed ]] || continue
    installed+="$name "
    [[ $name == qemu-system-arm ]] && setup_qemu_version=$version
  done < <(dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n' "${names[@]}" 2>/dev/null)
  for need in "$@"; do
    local found=0 alternatives
    IFS='|' read -ra alternatives <<<"$need"
    for name in "${alternatives[@]}"; do
      [[ $installed == *" $name "* ]] && found=1
    done
    ((found)) || setup_missing+=("$need")
  done
}

setup_qemu_is_old() {
  [[ -n $setup_qemu_version ]] && dpkg --compare-versions "$setup_qemu_version" lt "$setup_qemu_wanted"
}

# Sets setup_sudo to the words to put before a command that needs root.
setup_become_root() {
  setup_sudo=()
  ((EUID == 0)) && return 0
  command -v sudo >/dev/null || return 1
  setup_sudo=(sudo)
  sudo -n true 2>/dev/null && return 0
  [[ -t 0 && -t 2 ]] && sudo -v >&2
}

setup_apt() {
  # The lock is waited for: another checkout, or the machine's own updates, may be at it.
  "${setup_sudo[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C \
    apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$setup_log" 2>&1 9>&-
}

setup_fail() {
  tail -n 20 "$setup_log" >&2
  say "$1 (everything apt said: $setup_log)"
  exit 69
}

setup_install() {
  local state_dir=$1 need name names=() alternatives
  say "set-up: reading the package lists"
  setup_apt update || say "apt-get update failed, going on with the lists that are there"
  for need in "${setup_missing[@]}"; do
    IFS='|' read -ra alternatives <<<"$need"
    for name in "${alternatives[@]}" ''; do
      [[ -z $name ]] && setup_fail "no package $need in this machine's apt sources"
      setup_candidate "$name" && break
    done
    [[ $name == qemu-system-arm ]] || names+=("$name")
  done
  if ((${#names[@]})); then
    say "set-up: installing ${#names[@]} packages through apt: ${names[*]}"
    setup_apt install --no-install-recommends "${names[@]}" || setup_fail "apt could not install: ${names[*]}"
  fi
  setup_install_qemu "$state_dir"
  # shellcheck disable=SC2034  # read by tools/build.sh
  setup_installed=1
}

# Sets setup_version to the version that apt would install; fails if there is none.
setup_candidate() {
  setup_version=$(LC_ALL=C apt-cache policy -- "$1" | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}')
  [[ -n $setup_version ]]
}

setup_release() { (. /etc/os-release && printf %s "${VERSION_CODENAME:-}"); }

# QEMU as this release has it if that is new enough, else from the release's backports, else the old one.
setup_install_qemu() {
  local state_dir=$1 suite
  setup_candidate qemu-system-arm || setup_fail "no package qemu-system-arm in this machine's apt sources"
  if dpkg --compare-versions "$setup_version" lt "$setup_qemu_wanted"; then
    suite=$(setup_release)-backports
    say "set-up: QEMU $setup_version is too old for 'audit', taking a newer one from $suite"
    if setup_backports "$suite" && setup_apt install --no-install-recommends -t "$suite" qemu-system-arm &&
      setup_find_missing qemu-system-arm && [[ -n $setup_qemu_version ]] && ! setup_qemu_is_old; then
      return 0
    fi
    say "$suite has no newer QEMU within reach: 'audit' will not work, 'check' and 'boot' will (see $setup_log)"
    : >"$state_dir/qemu-stays-old"
  fi
  setup_find_missing qemu-system-arm
  [[ -n $setup_qemu_version ]] && return 0
  say "set-up: installing QEMU $setup_version"
  setup_apt install --no-install-recommends qemu-system-arm || setup_fail "apt could not install qemu-system-arm"
}

# Makes the backports suite known to apt, from the very source that the release itself comes from.
# shellcheck disable=SC2016  # apt expands the formats, not the shell
setup_backports() {
  local suite=$1 release=${1%-backports} entry file index stanza
  local ours=$setup_sources_dir/shootdown-backports
  apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | grep -qx -- "$suite" && return 0
  entry=$(apt-get indextargets --format '$(SOURCESENTRY)' 'Created-By: Packages' "Codename: $release" \
    'Component: main' | head -n 1)
  file=${entry%:*} index=${entry##*:}
  [[ -r $file ]] || return 1
  case $file in
    *.sources)
      # A paragraph, taken over whole but for its suite: the address, the key and every option are the machine's own.
      stanza=$(awk -v RS= -v n="$index" 'NR == n' "$file" | grep -v '^#' | awk -v suite="$suite" '
        tolower($1) == "types:" {print "Types: deb"; skip = 1; next}
        tolower($1) == "suites:" {print "Suites: " suite; skip = 1; next}
        tolower($1) == "components:" {print "Components: main"; skip = 1; next}
        /^[^ \t]/ {skip = 0}
        !skip')
      ours+=.sources ;;
    *)
      stanza=$(sed -n "${index}p" "$file" | sed -E "s/^(deb +(\[[^]]*\] +)?[^ ]+ +)[^ ]+ .*/\1$suite main/")
      ours+=.list ;;
  esac
  [[ $stanza == *"$suite"* ]] || return 1
  printf '%s\n' "# Added by shootdown's set-up for a newer QEMU; may be removed." "$stanza" |
    "${setup_sudo[@]}" tee "$ours" >/dev/null || return 1
  # Only this source: the others have just been read. A source that cannot be read must not stay behind.
  setup_apt update -o "Dir::Etc::sourcelist=$ours" -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any && return 0
  "${setup_sudo[@]}" rm -f "$ours"
  return 1
}
