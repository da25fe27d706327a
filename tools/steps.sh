# Named, timed steps for tools/test and tools/check: one line for each, and at the first failure
# the end of its output and what to do. Sourced, never run.

# Everything a step prints goes here, so that a failure can be read in full afterwards.
steps_logs=.build/logs
steps_begin=$SECONDS

# usage: step NAME ADVICE COMMAND [ARGUMENT …]
step() {
  local name=$1 advice=$2 log begin=$SECONDS status=0
  shift 2
  log="$steps_logs/${name// /-}.log"
  mkdir -p "$steps_logs"
  [[ -t 1 ]] && printf '  …   %s\r' "$name"
  # In a subshell, with its own `set -e`: as the condition of an `if`, a function would run on
  # behind its first failing command.
  set +e
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  if ((status == 0)); then
    printf '  ok  %-34s %5d s  %s\n' "$name" $((SECONDS - begin)) "$(step_facts "$log")"
    return
  fi
  printf 'FAIL  %-34s %5d s  status %d\n\n' "$name" $((SECONDS - begin)) "$status"
  { grep -E 'error:|warning:|✘|FAIL|ERROR:|panic|Fatal' "$log" | head -n 40; } || true
  printf '\n… the last lines of %s:\n' "$log"
  tail -n 25 "$log"
  printf '\nWhat to do: %s\n' "$advice"
  exit 1
}

# What of a step's output belongs on its line: a line that begins with "summary: ", or how many
# tests ran.
step_facts() {
  local fact
  fact=$(sed -n 's/^summary: //p' "$1" | tail -n 1)
  if [[ -z $fact ]]; then
    fact=$(sed -nE 's/.*Test run with ([0-9]+ tests?).*passed.*/\1/p' "$1" | tail -n 1)
  fi
  printf '%s' "$fact"
}

steps_end() {
  printf '\n%s: everything passed in %d min %d s\n' "$1" \
    $(((SECONDS - steps_begin) / 60)) $(((SECONDS - steps_begin) % 60))
}

# Runs tests and fails when none were found: a family that was renamed must not vanish unnoticed.
run_tests() {
  local output status=0
  output=$(mktemp)
  swift test --disable-xctest "${build_options[@]}" "$@" 2>&1 | tee "$output" || status=$?
  if ((status == 0)) && ! grep -qE 'Test run with [1-9][0-9]* tests?' "$output"; then
    echo "error: no tests ran with: $*"
    status=1
  fi
  rm -f "$output"
  return "$status"
}

# A module may import only what its target declares; the default is to say nothing.
build_options=(--explicit-target-dependency-import-check error)

# The families that try thousands of crashes and damaged bytes: an unoptimised build would take an
# hour over them.
long_families='^(CrashTests|DamageTests|SimulationTests)\.'

# A test that stops at a fatal error is told from one that waits for a debugger.
export SWIFT_BACKTRACE=enable=no
