# shellcheck shell=bash
# What the scripts of deploy/ share: where state lives, how progress is shown, how a failure is reported.
# Sourced, never run. Everything that a script keeps is under SLUICE_HOME.

# shellcheck disable=SC2034  # used by those who source this
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SLUICE_HOME=${SLUICE_HOME:-$HOME/.cache/sluice}
# Scripts that are called by others count seconds from the outermost one's start.
export SLUICE_BEGAN=${SLUICE_BEGAN:-$(date +%s)}
step_pid=

elapsed() { echo $(($(date +%s) - SLUICE_BEGAN)); }
say() { printf '%4ds  %s\n' "$(elapsed)" "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs the script again as root where it isn't: kernel namespaces and mounts need it. SLUICE_HOME stays the caller's.
as_root() {
  [ "$EUID" = 0 ] && return
  have sudo || die "needs root: run it as root, or install sudo"
  local keep=("SLUICE_HOME=$SLUICE_HOME" "SLUICE_BEGAN=$SLUICE_BEGAN" "PATH=$PATH") name
  for name in ${!SLUICE_@}; do keep+=("$name=${!name}"); done
  exec sudo env "${keep[@]}" "$0" "$@"
}

# Files made as root by way of sudo belong to the one who asked.
give_back() { [ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$@"; }

# wait_until SECONDS WHAT COMMAND...: tries COMMAND until it succeeds; says WHAT it waited for when it never did.
wait_until() {
  local limit=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || { echo "gave up waiting for: $what" >&2; return 1; }
    sleep 0.2
  done
}

last_line() { tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | sed '/^ *$/d' | tail -n 1 | cut -c 1-110; }

# Shows the last line of a growing log while the process runs: in place on a terminal, else every 30 seconds.
show_progress() {
  local pid=$1 name=$2 log=$3 ticks=0 line
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5; ticks=$((ticks + 1))
    line=$(last_line "$log")
    if [ -t 1 ]; then
      printf '\r\033[K%4ds  %s: %s' "$(elapsed)" "$name" "$line"
    elif [ $((ticks % 60)) = 0 ]; then
      say "$name … ${line:-working}"
    fi
  done
  [ ! -t 1 ] || printf '\r\033[K'
}

# An interrupted step takes its children with it: they run in a process group of their own.
stop_step() { [ -z "$step_pid" ] || kill -TERM -- "-$step_pid" 2>/dev/null || true; }
trap stop_step EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step NAME COMMAND...: COMMAND with its output in a log of its own; shows how far it is and, at the end, its last line.
step() {
  local name=$1 log=$SLUICE_HOME/log/$1.log; shift
  mkdir -p "$SLUICE_HOME/log"; : >"$log"
  [ ! -t 1 ] || printf '%4ds  %s' "$(elapsed)" "$name"
  set -m; (trap - EXIT INT TERM; set -euo pipefail; "$@") >"$log" 2>&1 </dev/null & step_pid=$!; set +m
  show_progress $step_pid "$name" "$log"
  finish_step "$name" "$log" quiet
}

# The same, with every line of the output shown: for steps whose output is what the user came for.
step_shown() {
  local name=$1 log=$SLUICE_HOME/log/$1.log; shift
  mkdir -p "$SLUICE_HOME/log"; : >"$log"
  say "$name (log: $log)"
  set -m; (trap - EXIT INT TERM; set -euo pipefail; "$@") > >(tee "$log") 2>&1 </dev/null & step_pid=$!; set +m
  finish_step "$name" "$log" shown
}

finish_step() {
  local name=$1 log=$2 kind=$3 status=0
  wait "$step_pid" || status=$?
  step_pid=
  if [ $status = 0 ]; then
    [ "$kind" = shown ] || say "$name: $(last_line "$log")"
    return
  fi
  { echo; echo "FAILED after $(elapsed) s: $name"
    [ "$kind" = shown ] || { echo "last lines of its log:"; tail -n 25 "$log" | sed 's/^/    /'; }
    echo "whole log: $log"; } >&2
  exit "$status"
}

# A run notes whether anything changed, so that a second one can say that nothing did.
note_change() { mkdir -p "$SLUICE_HOME"; touch "$SLUICE_HOME/changed"; }
