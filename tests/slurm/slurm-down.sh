#!/usr/bin/env bash
# Stop what slurm-up.sh started in FOLDER: its jobs, then its daemons, by their pid files, and wait until they are gone.
# Call it before the folder is removed: the pid files lie in it.
set -euo pipefail

folder=$(realpath "${1:?usage: slurm-down.sh FOLDER}")
export SLURM_CONF="$folder/etc/slurm.conf"
timeout 5 scancel --quiet --user="$(id -un)" || true
for _ in $(seq 150); do # jobs end by themselves, or are killed after KillWait
  [ -n "$(timeout 5 squeue --noheader --states=RUNNING,COMPLETING 2>/dev/null)" ] || break
  sleep 0.1
done
for file in "$folder"/slurmd.pid "$folder"/slurmctld.pid "$folder"/munge/munged.pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  kill "$pid" 2>/dev/null || continue
  for _ in $(seq 100); do
    state=$(sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null || true)
    [[ -z $state || $state == Z ]] && continue 2
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
done
