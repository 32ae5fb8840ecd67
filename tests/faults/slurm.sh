#!/bin/bash
# The smoke study on a real Slurm of one node, with its accounting database, all on the loopback: a running job
# is cancelled, Snakemake is killed, and the study goes on to its end. Everything lies in one temporary folder.
#
#   make test-slurm        (minutes; skipped where a package is missing)
#
# Needs Debian's slurm-wlm, slurmdbd, mariadb-server and munge; no service has to run, no right of root is used.
set -euo pipefail

missing=()
for program in slurmctld slurmd slurmdbd sacctmgr munged mungekey mariadbd mariadb-install-db mariadb; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" > /dev/null || missing+=("$program")
done
python -c 'import snakemake_executor_plugin_slurm' 2> /dev/null || missing+=("snakemake-executor-plugin-slurm")
if ((${#missing[@]})); then
    echo "skipped, not installed: ${missing[*]}"
    echo "(apt install slurm-wlm slurmdbd mariadb-server munge; pip install -e '.[cluster]')"
    exit 0
fi
export PATH="$PATH:/usr/sbin:/sbin"

project=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/pctlib-slurm.XXXXXX)
chmod 755 "$work"
node=$(hostname -s)
user=$(id -un)
daemons=()

finish() {
    scancel --user "$user" 2> /dev/null || true
    for pid in "${daemons[@]}"; do kill "$pid" 2> /dev/null || true; done
    wait 2> /dev/null || true
    if [[ ${KEEP:-} ]]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT

start() { # name, command ...: run a daemon in the background, its words in a log
    local name=$1
    shift
    "$@" > "$work/$name.log" 2>&1 &
    daemons+=("$!")
}

await() { # seconds, what, command ...: wait until the command succeeds
    local seconds=$1 what=$2
    shift 2
    for ((i = 0; i < seconds * 2; i++)); do
        if "$@" > /dev/null 2>&1; then return; fi
        sleep 0.5
    done
    echo "FAILED: $what within $seconds s"
    for log in "$work"/*.log; do echo "$log"; tail -n 5 "$log"; done
    exit 1
}

read -r port_sql port_dbd port_ctl port_d <<< "$(python - << 'END'
import socket
sockets = [socket.socket() for _ in range(4)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
END
)"

# --- munge, MariaDB, slurmdbd, slurmctld, slurmd
mkdir -p "$work"/{munge,sql,state,spool}
chmod 700 "$work/munge"
mungekey --create --keyfile "$work/munge/key"
munge_socket="$work/munge.socket"
start munged munged --foreground --force --key-file="$work/munge/key" --socket="$munge_socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed"
mariadb-install-db --no-defaults --user="$user" --datadir="$work/sql" --auth-root-authentication-method=normal \
    --skip-test-db > "$work/install-db.log" 2>&1
sql=(mariadb --no-defaults --socket="$work/sql.socket" --user=root)
start mariadb mariadbd --no-defaults --user="$user" --datadir="$work/sql" --socket="$work/sql.socket" \
    --pid-file="$work/sql.pid" --bind-address=127.0.0.1 --port="$port_sql"
await 60 "MariaDB answers" "${sql[@]}" -e "select 1"
"${sql[@]}" -e "create user slurm@'127.0.0.1' identified by 'slurm'; create user slurm@localhost identified by 'slurm';
    create database slurm_acct_db; grant all on slurm_acct_db.* to slurm@'127.0.0.1'; grant all on slurm_acct_db.* to slurm@localhost;"

cat > "$work/slurmdbd.conf" << END
AuthType=auth/munge
AuthInfo=socket=$munge_socket
DbdHost=localhost
DbdPort=$port_dbd
SlurmUser=$user
PidFile=$work/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$port_sql
StorageUser=slurm
StoragePass=slurm
END
chmod 600 "$work/slurmdbd.conf"
cat > "$work/slurm.conf" << END
ClusterName=loopback
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port_ctl
SlurmdPort=$port_d
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$munge_socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$port_dbd
AccountingStoragePass=$munge_socket
JobAcctGatherType=jobacct_gather/linux
KillWait=5
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(free -m | awk '/^Mem/ {print int($2 * 0.9)}') State=UNKNOWN
PartitionName=gpu Nodes=$node Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF="$work/slurm.conf"
# Snakemake's plugin takes Slurm's variables away inside a job, so srun there must be told again.
mkdir "$work/bin"
printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" > "$work/bin/srun"
chmod 755 "$work/bin/srun"
export PATH="$work/bin:$PATH"
start slurmdbd slurmdbd -D
await 60 "the accounting database answers" sacctmgr -n list cluster
sacctmgr -i add cluster loopback > /dev/null
sacctmgr -i add account mine cluster=loopback > /dev/null
sacctmgr -i add user "$user" account=mine > /dev/null
start slurmctld slurmctld -D
start slurmd slurmd -D -N "$node"
await 60 "the node is idle" bash -c "sinfo -h -o %T | grep -qx idle"
echo "Slurm $(sinfo --version | cut -d' ' -f2) runs on $node, $(nproc) processors"

# --- the study, from a copy of the project
mkdir "$work/study"
(cd "$project" && git ls-files -z | xargs -0 cp --parents -t "$work/study")
cd "$work/study"
export PYTHONPATH="$PWD" OMP_NUM_THREADS=1
run=(snakemake --workflow-profile workflow/profiles/slurm --config profile=smoke --latency-wait 5
    --slurm-init-seconds-before-status-checks 5 --quiet rules)
run+=(-- "$@") # only some files, for a shorter test

"${run[@]}" > "$work/first.log" 2>&1 &
snakemake=$!
people=$(python -c "from pctlib.workflow.layout import StudyLayout; print(StudyLayout.from_config({'profile': 'smoke'}).people)")
await 300 "the people are made" test -f "$people" # all other jobs need them
await 180 "a job runs" bash -c "squeue -h -t R -o %i | grep -q ."
cancelled=$(squeue -h -t R -o %i | head -n 1)
scancel "$cancelled"
echo "cancelled running job $cancelled"
await 60 "the accounting knows it" bash -c "sacct -n -X -j $cancelled -o state%20 | grep -q CANCELLED"
await 180 "another job runs" bash -c "squeue -h -t R -o %i | grep -vx $cancelled | grep -q ."
kill -9 "$snakemake"
wait "$snakemake" 2> /dev/null || true
echo "killed Snakemake; jobs left behind: $(squeue -h -o %i | wc -l)"

# What README says of going on: end what is left, unlock, run again.
scancel --user "$user"
await 60 "the queue is empty" bash -c "[[ -z \$(squeue -h -o %i) ]]"
snakemake --workflow-profile workflow/profiles/slurm --config profile=smoke --unlock -- "$@" > "$work/unlock.log" 2>&1
start_time=$SECONDS
if ! "${run[@]}" > "$work/second.log" 2>&1; then
    echo "FAILED: the study did not go on"
    tail -n 40 "$work/second.log"
    exit 1
fi
left=$(snakemake --workflow-profile workflow/profiles/slurm --config profile=smoke --dry-run --quiet progress -- "$@" 2>&1 |
    grep -c '^rule ' || true)
sacct -n -X -o state%20 | awk '{count[$1]++} END {for (state in count) print count[state], state}'
echo "went on for $((SECONDS - start_time)) s; jobs left to do: $left"
[[ $left == 0 ]]
