"""Metrics read as strictly as by the one who scrapes them: what Prometheus would refuse raises ValueError."""
import http.client
import re

HEAD = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)")
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (NaN|[+-]Inf|-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)")
PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Metrics:
    """By name and labels; Metrics(text)("rowcrew_jobs_started_total", queue="mail") adds up what has these labels."""

    def __init__(self, text):
        self.types = {}
        self.samples = {}
        if text and not text.endswith("\n"):
            raise ValueError("the last line does not end")
        family = None
        for line in text.splitlines():
            head = HEAD.fullmatch(line)
            if head:
                family = self._note_head(family, *head.groups())
            else:
                self._note_sample(family, line)
        self._check_histograms()

    def _note_head(self, family, what, name, rest):
        if what == "HELP":
            if name in self.types:
                raise ValueError(f"{name}: its samples do not stand together")
            self.types[name] = None
        elif name != family or self.types[name] or rest not in SUFFIXES:
            raise ValueError(f"{name}: {what} {rest} where none is expected")
        else:
            self.types[name] = rest
        return name

    def _note_sample(self, family, line):
        sample = SAMPLE.fullmatch(line)
        if not sample:
            raise ValueError(f"malformed: {line!r}")
        name, labels, value = sample.groups()
        if not self.types.get(family) or name not in [family + s for s in SUFFIXES[self.types[family]]]:
            raise ValueError(f"{line!r} stands below the head of {family}")
        if self.types[family] == "counter" and not name.endswith("_total"):
            raise ValueError(f"{name}: a counter's name ends in _total")
        pairs = [(n, re.sub(r"\\.", lambda m: UNESCAPED[m[0]], v)) for n, v in PAIR.findall(labels or "")]
        key = (name, frozenset(pairs))
        if len({n for n, _ in pairs}) != len(pairs) or key in self.samples:
            raise ValueError(f"twice: {line!r}")
        self.samples[key] = float(value)

    def _check_histograms(self):
        for name in [n for n, kind in self.types.items() if kind == "histogram"]:
            series = {}
            for (sample, labels), value in self.samples.items():
                if sample == name + "_bucket":
                    bound = dict(labels)["le"]
                    series.setdefault(labels - {("le", bound)}, []).append((float(bound), value))
            for labels, buckets in series.items():
                counts = [count for _, count in sorted(buckets)]
                if counts != sorted(counts) or sorted(buckets)[-1][0] != float("inf"):
                    raise ValueError(f"{name} {labels}: {buckets}")
                if self.samples[(name + "_count", labels)] != counts[-1] or (name + "_sum", labels) not in self.samples:
                    raise ValueError(f"{name} {labels}: count differs from the last bucket")

    def __call__(self, name, **labels):
        wanted = set(labels.items())
        found = [value for (sample, has), value in self.samples.items() if sample == name and wanted <= has]
        if not found:
            raise KeyError(f"{name} {labels}")
        return sum(found)


def ask(port, path, method="GET", timeout=10):
    """(status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def scrape(port):
    status, headers, body = ask(port, "/metrics")
    if status != 200 or headers["Content-Type"] != "text/plain; version=0.0.4; charset=utf-8" or len(body) >= 1 << 20:
        raise ValueError(f"{status} {headers['Content-Type']} {len(body)}")
    return Metrics(body)
