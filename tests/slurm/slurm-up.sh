#!/usr/bin/env bash
# Start a Slurm cluster of one node on this machine, for tests: by hand, on the loopback device only, with no systemd,
# no cgroups and no database, as whoever calls it. Needs Debian's slurmctld, slurmd, slurm-client and munge.
#
#   tests/slurm/slurm-up.sh FOLDER        # a new folder; its path must be short and without spaces
#   export SLURM_CONF=FOLDER/etc/slurm.conf PATH=FOLDER/bin:$PATH
#   tests/slurm/slurm-down.sh FOLDER
set -euo pipefail

folder=$(realpath -m "${1:?usage: slurm-up.sh FOLDER}")
[[ $folder != *[[:space:]]* ]] || { echo "error: $folder: slurm.conf cannot name a path with spaces" >&2; exit 2; }
mkdir -p "$folder"/{bin,etc,log,munge,spool,state}
chmod 711 "$folder/munge" # munged wants its socket reachable and its folder unreadable to others
host=$(hostname -s)
user=$(id -un)
read -r controller_port node_port < <(
  python3 -c 'import socket; s = [socket.socket() for _ in "12"]; [x.bind(("127.0.0.1", 0)) for x in s]; print(*(x.getsockname()[1] for x in s))'
)

# Slurm's messages are signed by munge: a daemon of our own, with its own key and socket. --force: the key may lie
# under a temporary folder that everybody can write to.
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 400 "$folder/munge/key"
/usr/sbin/munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
  --pid-file="$folder/munge/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"

# One GPU that is none. Slurm asks for a character device and hands its number on in CUDA_VISIBLE_DEVICES.
cat >"$folder/etc/gres.conf" <<END
AutoDetect=off
NodeName=$host Name=gpu File=/dev/null
END
echo "CgroupPlugin=disabled" >"$folder/etc/cgroup.conf"

# CPUs and memory are invented (config_overrides), so that the shipped profile's requests fit on any machine.
# cred_expire is also how long a requeued job waits; MinJobAge keeps ended jobs in squeue, in place of a database.
# PreemptMode=REQUEUE with two tiers: a job in `urgent` puts one in `main` back into the queue.
cat >"$folder/etc/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=$controller_port
SlurmdPort=$node_port
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=100000
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobs.txt
MinJobAge=3600
KillWait=10
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10
END
touch "$folder/log/jobs.txt"
export SLURM_CONF="$folder/etc/slurm.conf"

# Snakemake's plugin starts srun inside a job without any SLURM_* variable, SLURM_CONF included.
cat >"$folder/bin/srun" <<END
#!/bin/sh
SLURM_CONF=$SLURM_CONF exec $(command -v srun) "\$@"
END
chmod +x "$folder/bin/srun"

/usr/sbin/slurmctld -f "$SLURM_CONF"
/usr/sbin/slurmd -f "$SLURM_CONF"
for _ in $(seq 1500); do # five minutes and more: only what is broken takes them
  state=$(timeout 30 sinfo --noheader --Node --partition=main --format=%t 2>/dev/null || true)
  [ "$state" = idle ] && exit 0
  sleep 0.2
done
echo "error: Slurm did not come up (node: ${state:-unknown}); the ends of its logs:" >&2
tail -n 5 "$folder"/log/*.log >&2
exit 1
