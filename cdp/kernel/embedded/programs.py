"""What the supervisor runs: one table, in the order of starting; stopping goes backwards.

Workers and queues are changed here and nowhere else.
"""

import os
from dataclasses import dataclass

PYTHON = "%(ENV_CDP_PYTHON)s"
HOME = "%(ENV_CDP_QUOTED_HOME)s"
CELERY = f"{PYTHON} -m celery -A cdp"
WORKER = f"{CELERY} worker --without-gossip --without-mingle --without-heartbeat --loglevel=INFO"


@dataclass(frozen=True)
class Program:
    """`group` programs stop together; a lower `priority` starts earlier and stops later.

    The command is in supervisord's notation: ``%`` is doubled, ``%(ENV_X)s`` comes from the environment.
    """

    name: str
    command: str
    priority: int
    group: str = ""
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    server: bool = False
    demo: bool = False
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def full_name(self) -> str:
        """As supervisord's API calls it."""
        return f"{self.group or self.name}:{self.name}"


# glibc, by default, gives what a chunk of the drain has freed back to the system, page by page, and asks for it again.
KEEP_MEMORY = (
    ("MALLOC_TRIM_THRESHOLD_", "268435456"),
    ("MALLOC_TOP_PAD_", "33554432"),
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
)
# One more than there are cores only takes their caches from the others; two go on where one is at a long chunk.
INGEST_PROCESSES = min(4, max(2, os.cpu_count() or 2))
# Starting the deployment has run Django's checks; in each worker they would load every screen and address once more.
NO_CHECKS = (("CELERY_SKIP_CHECKS", "1"),)


def celery_worker(
    name: str, queues: str, options: str, *, nice: int = 0, environment: tuple[tuple[str, str], ...] = ()
) -> Program:
    """A worker that finishes its current task when it is told to stop.

    One with `nice` gives way where the processor is busy, as the command of that name has it.
    """
    command = f"{WORKER} --hostname={name}@%%h --queues={queues} {options}"
    if nice:
        command = f"nice -n {nice} {command}"
    return Program(
        name, command, priority=40, group="workers", stop_seconds=30, environment=(*NO_CHECKS, *environment)
    )


PROGRAMS = (
    Program(
        "postgres",
        f"{PYTHON} -m cdp.kernel.embedded exec postgres",
        priority=10,
        stop_signal="INT",
        stop_seconds=60,
        server=True,
    ),
    Program("valkey", f"{PYTHON} -m cdp.kernel.embedded exec valkey", priority=20, server=True),
    Program(
        "web",
        f"{PYTHON} -m granian cdp.wsgi:application --interface=wsgi --no-ws"
        " --host=%(ENV_CDP_BIND)s --port=%(ENV_CDP_PORT)s --workers=2 --blocking-threads=4"
        " --respawn-failed-workers --respawn-interval=1 --workers-kill-timeout=10",
        priority=30,
    ),
    Program("receiver", f"{PYTHON} manage.py demo_receiver", priority=35, demo=True),
    celery_worker(
        "worker-ingest", "ingest", f"--pool=prefork --concurrency={INGEST_PROCESSES}", environment=KEEP_MEMORY
    ),
    celery_worker("worker-evaluate", "evaluate", "--pool=prefork --concurrency=2"),
    celery_worker("worker", "default,match", "--pool=prefork --concurrency=3", nice=5),
    celery_worker("worker-deliver", "deliver", "--pool=threads --concurrency=16"),
    Program(
        "beat",
        f"{PYTHON} -m celery -A cdp.beat beat --loglevel=WARNING --pidfile= --schedule={HOME}/beat/schedule",
        priority=50,
        environment=NO_CHECKS,
    ),
    Program("simulate", f"{PYTHON} manage.py simulate", priority=60, demo=True),
)


def chosen(*, demo: bool, own_database: bool, own_redis: bool) -> list[Program]:
    """Without the servers that DATABASE_URL and REDIS_URL replace."""
    left_out = {"postgres"} if own_database else set()
    left_out |= {"valkey"} if own_redis else set()
    return [program for program in PROGRAMS if program.name not in left_out and (demo or not program.demo)]


def render(programs: list[Program], *, key: str, user: str) -> str:
    """The configuration of supervisord. Paths come by environment variables, where ``;`` and ``%`` do no harm."""
    sections = [SUPERVISORD.format(user=f"user={user}" if user else "")]
    sections += [render_program(program, key=key) for program in programs]
    for group in dict.fromkeys(program.group for program in programs if program.group):
        members = [program for program in programs if program.group == group]
        names = ",".join(program.name for program in members)
        sections.append(f"[group:{group}]\nprograms={names}\npriority={members[0].priority}\n")
    return "\n".join(sections)


SUPERVISORD = """\
; Written at every start.
[supervisord]
nodaemon=true
silent=true
logfile=%(ENV_CDP_HOME)s/log/supervisor.log
logfile_maxbytes=10MB
logfile_backups=2
pidfile=%(ENV_CDP_HOME)s/run.pid
childlogdir=%(ENV_CDP_HOME)s/log
identifier=tributary
{user}

[unix_http_server]
file=%(ENV_CDP_CONTROL)s
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def render_program(program: Program, *, key: str) -> str:
    environment = (("CDP_SERVICE", f"{key}:{program.name}"), *program.environment)
    return f"""\
[program:{program.name}]
command={program.command}
priority={program.priority}
autostart={"true" if program.server else "false"}
autorestart=true
startsecs=1
startretries=1000
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile=%(ENV_CDP_HOME)s/log/{program.name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
environment={",".join(f'{name}="{value}"' for name, value in environment)}
"""
