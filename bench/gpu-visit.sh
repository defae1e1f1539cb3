#!/usr/bin/env bash
# One visit to a machine with a CUDA GPU: what is worth measuring there, in chapters.
#
#   bench/gpu-visit.sh [--dry-run] [chapter...]      default: every chapter, in this order
#
#   verify   what was never seen on a card, first what it would spoil most; every contender against
#            SciPy; the tests that need a GPU
#   clock    the card's ceilings, and our timer against outside ones
#   image    one image, one kernel: N 64 to 8192, n 3 to 255, float32; then the other dtypes
#   cnn      layers of networks
#   crossover  where FFT overtakes direct at every N, searched for twice: do the two agree?
#   profile  which kernels each contender runs, and Nsight Compute on our own where it is there
#   calibrate  what contenders take here, and what algorithm="auto" is worth with that
#
# Each chapter ends within 9 minutes, runs alone, prints a short table last and leaves in $OUT
# (./visit by default) <chapter>.tar.gz, of its log and the results that it has written, and
# <chapter>-reports.tar.gz, in parts (.00, .01, …: cat joins them) where one would pass 16 MiB. A
# chapter that is run again goes on with the newest results file of its sweep under results/<card>/.
#
# The machine needs Python 3.11 or later with NumPy, PyTorch and CuPy; no network, no git (set
# CONVCROSS_COMMIT to the commit of this copy). What else is missing there travels in wheels/, which
# `make wheels` fills. --dry-run takes the CPU and tiny sizes: every step, no figure worth keeping.
set -euo pipefail
PYTHON=$(command -v "${PYTHON:-python3}")
[[ $PYTHON != */* ]] || PYTHON=$(realpath -s "$PYTHON") # -s: a venv's python is a link
cd "$(dirname "$0")/.."
root=$PWD
export PYTHONPATH=$root/bench:$root/kernels PYTHONUNBUFFERED=1
OUT=$(realpath -m "${OUT:-visit}")
CHAPTERS=(verify clock image cnn crossover profile calibrate)
LIMIT=530                        # seconds of a chapter
PART=${PART:-$((16 << 20))}      # bytes of an archive, at most
mkdir -p "$OUT"

dry_run= device=cuda:0 budget=6m problems=100 calibration=2m compared=24 sweeps=
tests=(-m gpu "$root/tests")
if [ "${1:-}" = --dry-run ]; then
  shift
  dry_run=1 device=cpu budget=20s problems=5 calibration=45s compared=3
  tests=("$root/tests/kernels/toolbox/test_stages.py")
  sweeps=$root/bench/gpu-visit/dry-run/
  cd "$OUT" # its results are no reference, nor is its calibration
  export CONVCROSS_CACHE=${CONVCROSS_CACHE:-$OUT/cache}
fi
chapters=("$@")
[ $# -gt 0 ] || chapters=("${CHAPTERS[@]}")
for chapter in "${chapters[@]}"; do
  if [[ " ${CHAPTERS[*]} " != *" $chapter "* ]]; then
    echo "gpu-visit: chapter is '$chapter'; allowed: ${CHAPTERS[*]}" >&2
    exit 2
  fi
done

carried=$(mktemp -d)
trap 'rm -rf "$carried"' EXIT
if [ -z "$sweeps" ] && compgen -G "$root/wheels/*.whl" >/dev/null; then
  "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$carried" "$root"/wheels/*.whl
  export PYTHONPATH=$PYTHONPATH:$carried
fi
# within SECONDS COMMAND...: ended after so long, or where the chapter's time is over.
within() {
  local left=$((LIMIT - SECONDS)) status=0
  [ "$left" -gt 0 ] || { echo "no time is left for: ${*:2}" && return 124; }
  timeout --kill-after=15 "$(($1 < left ? $1 : left))" "${@:2}" || status=$?
  [ "$status" != 124 ] || echo "time is over for: ${*:2}"
  return "$status"
}
convcross() { within "$LIMIT" "$PYTHON" -m convcross "$@"; }
card=$("$PYTHON" -c "from convcross.machine import describe; print(describe.name('$device'))")

# sweep NAME BUDGET: run it, or go on with its newest results; then its crossovers and its report.
sweep() {
  local name=$1 time=$2 newest status=0
  [ -n "$dry_run" ] || [ -f results/"$card"/ceilings.json ] || convcross doctor --ceilings --device "$device"
  newest=$(ls results/"$card"/*-"$name"-*.jsonl 2>/dev/null | tail -n 1 || true)
  convcross run "${sweeps:+$sweeps}$name${sweeps:+.toml}" --device "$device" \
    --budget "$time" ${newest:+--resume-anyway --out "$newest"} || status=$?
  [ "$status" -le 1 ] || return "$status"
  newest=$(ls results/"$card"/*-"$name"-*.jsonl | tail -n 1)
  convcross report "$newest" || status=$?
  convcross crossover "$newest" || true # layers have none
  return $status
}

# A chapter goes on after a failure, for what else it can tell, and ends with that failure's status.
verify() {
  local status=0
  within 200 "$PYTHON" "$root/bench/gpu-visit/first-contact.py" --device "$device" || status=$?
  within 60 "$PYTHON" -m convcross doctor || status=$?
  within 200 "$PYTHON" -m convcross check --device "$device" --problems "$problems" || status=$?
  within "$LIMIT" "$PYTHON" -m pytest -c "$root/pyproject.toml" -p no:cacheprovider -rs "${tests[@]}" ||
    status=$?
  return $status
}
image() {
  local status=0
  sweep image "$budget" || status=$?
  sweep dtypes 1m || status=$?
  return $status
}
cnn() { sweep cnn "$budget"; }
clock() {
  local status=0 command=(-m convcross)
  [ -z "$dry_run" ] || command=("$root/bench/gpu-visit/dry-run/ceilings.py")
  within 120 "$PYTHON" "${command[@]}" doctor --ceilings --device "$device" || status=$?
  [ -n "$dry_run" ] || convcross doctor --cross-check --device "$device" || status=$?
  return $status
}
crossover() {
  local status=0 name=crossover trial file files=()
  for trial in first second; do
    file=results/$card/$name-$trial.jsonl
    files+=("$file")
    convcross run "${sweeps:+$sweeps}$name${sweeps:+.toml}" --find-crossover --device "$device" \
      --budget 3m --out "$file" $([ ! -f "$file" ] || echo --resume-anyway) || status=$?
  done
  convcross report "${files[0]}" || status=$?
  convcross compare "${files[@]}" || status=$?
  return $status
}
profile() {
  local status=0
  sweep profile 3m || status=$?
  "$PYTHON" "$root/bench/gpu-visit/kernels-table.py" "$(ls results/"$card"/*-profile-*.jsonl | tail -n 1)" ||
    status=$?
  if [ -z "$dry_run" ] && command -v ncu >/dev/null; then
    within 150 ncu --clock-control none --kernel-name-base function \
      --kernel-name "regex:$("$PYTHON" "$root/bench/gpu-visit/launch-once.py" --names)" \
      --section SpeedOfLight --section Occupancy --section LaunchStats \
      "$PYTHON" "$root/bench/gpu-visit/launch-once.py" --device "$device" || status=$?
  fi
  return $status
}
calibrate() {
  local status=0 kept=$carried/calibrate
  convcross calibrate --device "$device" --budget "$calibration" | tee "$kept" || status=$?
  mkdir -p "results/$card"
  [ "$status" != 0 ] || cp "$(tail -n 1 "$kept")" "results/$card/calibration.json"
  within 360 "$PYTHON" "$root/bench/auto-table.py" "$compared" --device "$device" --kept || status=$?
  return $status
}

# pack ARCHIVE SINCE FOLDER [LOG]: the files of a folder that are newer than SINCE, and a log of OUT.
pack() {
  local archive=$OUT/$1.tar.gz files=$carried/files
  rm -f "$archive" "$archive".[0-9][0-9]
  : >"$files"
  [ ! -d "$3" ] || find "$3" -type f -newer "$2" >"$files"
  [ $# -gt 3 ] || [ -s "$files" ] || return 0
  tar -czf "$archive" --files-from="$files" ${4:+-C "$OUT" "$4"}
  if [ "$(stat -c %s "$archive")" -gt "$PART" ]; then
    split --bytes="$PART" --numeric-suffixes --suffix-length=2 "$archive" "$archive."
    rm "$archive"
  fi
}

failed=0
for chapter in "${chapters[@]}"; do
  echo "== $chapter on $card"
  status=0 SECONDS=0
  touch "$carried/begin"
  "$chapter" 2>&1 | tee "$OUT/$chapter.log" || status=$?
  pack "$chapter" "$carried/begin" "results/$card" "$chapter.log"
  pack "$chapter-reports" "$carried/begin" "reports/$card"
  echo "== $chapter: $([ $status = 0 ] && echo done || echo "exit $status"), $(ls -d "$OUT/$chapter"*.tar.gz* | xargs)"
  [ $status = 0 ] || failed=1
done
exit $failed
