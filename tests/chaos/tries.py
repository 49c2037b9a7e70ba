"""The raw log of executions that the test node's handler `tried` writes, outside any transaction."""
import collections
import pathlib
import tempfile


class Tries:
    def __init__(self):
        self.path = pathlib.Path(tempfile.mkstemp(prefix="rowcrew-tries-", suffix=".log")[1])

    def env(self):
        """For Node(env=...)."""
        return {"TEST_TRIES_FILE": str(self.path)}

    def close(self):
        self.path.unlink(missing_ok=True)

    def executions(self):
        """job id -> [[start_us, end_us or None, pid]], in the order of their starts."""
        found = collections.defaultdict(list)
        running = {}
        with self.path.open() as lines:
            for line in lines:
                job, what, us, pid = line.split()
                if what == "start":
                    execution = [int(us), None, int(pid)]
                    found[job].append(execution)
                    running[job, pid] = execution
                else:
                    running.pop((job, pid))[1] = int(us)
        return found

    def starts(self):
        """job id -> number of executions; for large logs."""
        counted = collections.Counter()
        with self.path.open() as lines:
            for line in lines:
                job, what, _ = line.split(maxsplit=2)
                if what == "start":
                    counted[job] += 1
        return counted
