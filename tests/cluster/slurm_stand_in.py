#!/usr/bin/env python3
"""sbatch, squeue and srun of a cluster of one machine, for tests: the first word says which. Jobs and their states lie in the folder SLURM_STAND_IN; the jobs whose numbers stand in
its file `doomed` are killed when they begin, as by a node that fails. A job whose time is nearly up,
as its file NUMBER.warned says, is warned as --signal asks, and killed where it does not end then.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(os.environ["SLURM_STAND_IN"])
OPTIONS = re.compile(r"^#SBATCH --([\w-]+)=(.*)$", re.MULTILINE)


def number_of_next():
    """1, 2, ..., as jobs are taken."""
    taken = len(list(HERE.glob("*.taken"))) + 1
    (HERE / f"{taken}.taken").touch()
    return taken


def sbatch(script):
    """Take a job, or an array of them, each a process that watches it."""
    number = number_of_next()
    options = dict(OPTIONS.findall(Path(script).read_text()))
    found = re.match(r"0-(\d+)%", options.get("array", ""))
    parts = range(int(found[1]) + 1) if found else [None]
    for part in parts:
        job = str(number) if part is None else f"{number}_{part}"
        (HERE / f"{job}.queued").touch()
        words = [sys.executable, __file__, "controller", job, script, options["signal"]]
        nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.Popen(words, start_new_session=True, **nowhere)
    print(f"Submitted batch job {number}")


def controller(job, script, warning):
    """Run a job to its end, its limit, or its doom."""
    number, _, part = job.partition("_")
    env = {**os.environ, "SLURM_JOB_ID": f"{number}{part}", "SLURM_PROCID": "0"}
    if part:
        env |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": part}
    doomed = (HERE / "doomed").read_text().split() if (HERE / "doomed").exists() else []
    if job not in doomed:
        name, _, seconds = warning.partition("@")
        # the warning is for what srun began, not for the script
        words = ["bash", "-c", f"trap '' {name}; . {script}"]
        work = subprocess.Popen(words, env=env, start_new_session=True)
        while work.poll() is None and not (HERE / f"{job}.warned").exists():
            time.sleep(0.1)
        if work.poll() is None:
            os.killpg(work.pid, getattr(signal, f"SIG{name}"))
            if not ended(work, float(seconds)):
                os.killpg(work.pid, signal.SIGKILL)
    (HERE / f"{job}.queued").unlink()


def ended(work, seconds):
    try:
        work.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def squeue(*words):
    for path in HERE.glob("*.queued"):
        print(path.stem)


def srun(unbuffered, output, out, error, err, *words):
    """The work itself, its output where --output and --error say."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    for stream, path in ((1, out), (2, err)):
        path = path.replace("%j", job).replace("%A_%a", job).replace("%t", "0")
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    os.execvp(words[0], words)


if __name__ == "__main__":
    commands = {"sbatch": sbatch, "squeue": squeue, "srun": srun, "controller": controller}
    commands[sys.argv[1]](*sys.argv[2:])
