#!/usr/bin/env bash
# One visit to a machine with a CUDA GPU: what is worth measuring there, in chapters.
#
#   bench/gpu-visit.sh [--dry-run] [chapter...]      default: every chapter, in this order
#
#   verify   tests that need a GPU, and every contender against SciPy
#   clock    the card's ceilings, and our timer against outside ones
#   image    one image, one kernel: N 64 to 8192, n 3 to 255, float32; then the other dtypes
#   cnn      layers of networks
#   crossover  where FFT overtakes direct at every N, searched for twice: do the two agree?
#   profile  which kernels each contender runs, and Nsight Compute on our own where it is there
#
# Each chapter ends within 9 minutes, runs alone, prints a short table last and leaves one archive,
# $OUT/<chapter>.tar.gz (OUT is ./visit by default), of results/, reports/ and its log. A chapter
# that is run again goes on with the newest results file of its sweep under results/<card>/.
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
CHAPTERS=(verify clock image cnn crossover profile)
mkdir -p "$OUT"

dry_run= device=cuda:0 budget=6m problems=100 tests=(-m gpu "$root/tests") sweeps=
if [ "${1:-}" = --dry-run ]; then
  shift
  dry_run=1 device=cpu budget=20s problems=5 tests=("$root/tests/kernels/toolbox/test_stages.py")
  sweeps=$root/bench/gpu-visit/dry-run/
  cd "$OUT" # its results are no reference
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
convcross() { "$PYTHON" -m convcross "$@"; }
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
  convcross doctor || status=$?
  "$PYTHON" -m pytest -c "$root/pyproject.toml" -p no:cacheprovider -rs "${tests[@]}" || status=$?
  convcross check --device "$device" --problems "$problems" || status=$?
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
  "$PYTHON" "${command[@]}" doctor --ceilings --device "$device" || status=$?
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
    ncu --clock-control none --kernel-name-base function \
      --kernel-name "regex:$("$PYTHON" "$root/bench/gpu-visit/launch-once.py" --names)" \
      --section SpeedOfLight --section Occupancy --section LaunchStats \
      "$PYTHON" "$root/bench/gpu-visit/launch-once.py" --device "$device" || status=$?
  fi
  return $status
}

failed=0
for chapter in "${chapters[@]}"; do
  echo "== $chapter on $card"
  status=0
  "$chapter" 2>&1 | tee "$OUT/$chapter.log" || status=$?
  kept=()
  for folder in results/"$card" reports/"$card"; do [ ! -d "$folder" ] || kept+=("$folder"); done
  tar -czf "$OUT/$chapter.tar.gz" "${kept[@]}" -C "$OUT" "$chapter.log"
  echo "== $chapter: $([ $status = 0 ] && echo done || echo "exit $status"), $OUT/$chapter.tar.gz"
  [ $status = 0 ] || failed=1
done
exit $failed
