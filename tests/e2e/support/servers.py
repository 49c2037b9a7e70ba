"""PostgreSQL servers and a PgBouncer of a test's own, to be stopped, killed, promoted and locked out of.

Everything lives in one folder below the system's temporary one and listens on loopback and unix
sockets. A server refuses to run as root: then everything belongs to the user postgres.
"""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

import psycopg2

from support.fleet import wait_for

VERSION = max((p.name for p in pathlib.Path("/usr/lib/postgresql").glob("[0-9]*")), key=int)
PROGRAMS = pathlib.Path("/usr/lib/postgresql") / VERSION / "bin"
SUPERUSER, OWNER, DATABASE = "postgres", "app", "app"
CONFIG = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
max_connections = 150
shared_buffers = 32MB
max_wal_size = 512MB
hot_standby = on
log_min_messages = fatal
"""


def account():
    return pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def give_away(path, mode=0o600):
    """To whom the servers run as."""
    os.chmod(path, mode)
    if os.getuid() == 0:
        os.chown(path, account().pw_uid, account().pw_gid)
    return path


class Folder:
    """Holds the servers; removed at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-servers-"))
        give_away(self.path, 0o711)

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


def as_account(*command, check=True, within=60, **more):
    kwargs = {}
    if os.getuid() == 0:
        who = account()
        kwargs = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    return subprocess.run([str(c) for c in command], check=check, timeout=within, cwd="/", capture_output=True,
                          text=True, **kwargs, **more)


class Server:
    """One cluster. Roles: the superuser, and a bare owner of one database."""

    def __init__(self, folder, name, settings="", hba=None):
        self.folder = folder.path / name
        self.data = self.folder / "data"
        self.port = free_port()
        self.settings = settings
        self.hba = hba
        self.folder.mkdir()
        give_away(self.folder, 0o711)

    def create(self):
        as_account(PROGRAMS / "initdb", "-D", self.data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8",
                   "--locale=C.UTF-8", "--no-sync")
        self.configure()
        self.start()
        self.ask(f"CREATE ROLE {OWNER} LOGIN PASSWORD 'first'")
        self.ask(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        return self

    def follow(self, primary):
        """Becomes its streaming standby."""
        as_account(PROGRAMS / "pg_basebackup", "-D", self.data, "-R", "-c", "fast", "-d",
                   f"host={primary.folder} port={primary.port} user={SUPERUSER} application_name={self.folder.name}")
        self.configure()
        self.start()
        return self

    def configure(self):
        conf = self.data / "postgresql.conf"
        conf.write_text(CONFIG.format(folder=self.folder) + f"port = {self.port}\n" + self.settings)
        give_away(conf)
        if self.hba:
            give_away(self.write_hba(self.hba))

    def write_hba(self, lines):
        path = self.data / "pg_hba.conf"
        path.write_text(f"local all all trust\nlocal replication all trust\n{lines}\n")
        return path

    def control(self, *verb, within=60):
        return as_account(PROGRAMS / "pg_ctl", "-D", self.data, "-s", "-w", "-l", self.folder / "log", *verb,
                          within=within)

    def start(self):
        # The children of a killed server need a moment to notice.
        wait_for("the server to start", lambda: self._try_start(), 30, every=0.2)

    def _try_start(self):
        try:
            self.control("start")
            return True
        except subprocess.CalledProcessError:
            return False

    def stop(self, mode="fast"):
        if (self.data / "postmaster.pid").exists():
            self.control("-m", mode, "stop")

    def kill(self):
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def promote(self):
        self.control("promote")

    def reload(self):
        self.control("reload")

    def connect(self, database="postgres", user=SUPERUSER):
        connection = psycopg2.connect(host=str(self.folder), port=self.port, user=user, dbname=database,
                                      connect_timeout=5, options="-c default_transaction_read_only=off")
        connection.autocommit = True
        return connection

    def ask(self, sql, args=None, database="postgres"):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, args)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def terminate_backends(self):
        """Of everybody else; how many."""
        return self.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND usename = %s", (OWNER,))[0][0]

    @property
    def url(self):
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def socket_url(self):
        return f"postgresql://{OWNER}@/{DATABASE}?host={self.folder}&port={self.port}"

    def close(self):
        try:
            self.stop("immediate")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pass  # killed already


class Pooler:
    """A PgBouncer in transaction mode in front of one server."""

    def __init__(self, folder, server):
        self.folder = folder.path / "pooler"
        self.folder.mkdir()
        give_away(self.folder, 0o700)
        self.port = free_port()
        self.config = self.folder / "pgbouncer.ini"
        (self.folder / "users").write_text(f'"{OWNER}" ""\n')
        self.config.write_text(f"""
[databases]
{DATABASE} = host={server.folder} port={server.port}
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {self.folder}/users
default_pool_size = 10
max_client_conn = 200
server_login_retry = 1
logfile = {self.folder}/log
""")
        for path in (self.folder / "users", self.config):
            give_away(path)
        self.url = f"postgresql://{OWNER}@127.0.0.1:{self.port}/{DATABASE}"
        self.process = None

    def start(self):
        who = account()
        ids = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        self.process = subprocess.Popen([program, "-q", str(self.config)], cwd="/", stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, **ids)
        wait_for("PgBouncer to answer", self._answers, 10)
        return self

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()


