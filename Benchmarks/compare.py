#!/usr/bin/env python3
"""Measures the store beside other engines and beside what the machine allows; prints one table,
and writes it with results.json and plots. Called by tools/bench, which builds and installs.

usage: compare.py BIN OUT [--quick]
  BIN      the folder of the built programs
  OUT      the folder of what is written
  --quick  a fifth of the events, one run, the ends of each axis: three minutes
"""

import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import plots

STORE = ["millrace", "millrace-zstd", "millrace-none", "millrace-owned"]
PEERS = ["bare", "rocksdb", "lmdb", "sqlite"]
SETTINGS = {
    "millrace": "one partition, LZ4, borrowed events",
    "millrace-zstd": "the same, zstd",
    "millrace-none": "the same, no compression",
    "millrace-owned": "the same, LZ4, events that own their bytes",
    "bare": "no engine: blocks of 64 KiB, LZ4, CRC32C, write, sync; no way to find anything",
    "rocksdb": "LZ4, mapped, 64 MiB cache; events: no compaction, 32 MiB in memory, 64 KiB blocks",
    "lmdb": "MDB_APPEND, integer keys; unsynced work: MDB_NOSYNC and one sync at the end",
    "sqlite": "WAL, 8 KiB pages, exclusive, prepared, mapped; unsynced work: synchronous=off, then "
              "a checkpoint with full",
}
# Name, its field, what people read. Latencies and sizes follow from the same runs.
WORK = [
    ("w1a", "ev_s", "append, one sync at the end, events/s"),
    ("w1a1", "ev_s", "the same, one event a call, events/s"),
    ("w1b", "ev_s", "append, a sync per 1,000, events/s"),
    ("inflight", "ev_s", "the same, four groups in flight, events/s"),
    ("w1c", "ev_s", "append, a sync each, events/s"),
    ("producers", "ev_s", "eight producers, a sync each, events/s"),
    ("w2", "ev_s", "replay, events/s"),
    ("check", "ev_s", "millrace fsck, events/s"),
    ("w3", "ops_s", "seek and read 100, seeks/s"),
    ("w4", "enq_g100_ops", "enqueue, a sync per 100, messages/s"),
    ("w4", "rcv_g100_ops", "receive and complete, a sync per 100, messages/s"),
    ("w4", "enq_sync1_ops", "enqueue, a sync each, messages/s"),
    ("w4", "rcv_sync1_ops", "receive and complete, a sync each, messages/s"),
]
FACTS = [
    ("w1a", "disk_share", "bytes on disk, of the records' bytes", "{:.3f}"),
    ("w1a", "anon_mb", "memory while appending, MiB", "{:.0f}"),
    ("w1a", "cpu_us", "processor time, µs an event", "{:.2f}"),
    ("w1c", "p99_us", "append, a sync each: 99th percentile, µs", "{:.0f}"),
    ("w3", "p99_us", "seek and read 100: 99th percentile, µs", "{:.0f}"),
    ("calls", "syscalls", "system calls, per 1,000 events synced together", "{:.1f}"),
    ("calls", "syncs", "syncs, per 1,000 events synced together", "{:.1f}"),
]


class Harness:
    def __init__(self, programs, folder, quick):
        self.programs, self.folder, self.quick = programs, folder, quick
        self.count = 200_000 if quick else 1_000_000
        self.run_count = 1 if quick else 3
        self.store = folder / "store"
        self.corpus = self.make_corpus(self.count, 10_000)

    def make_corpus(self, count, devices):
        path = self.folder / f"corpus-{count}-{devices}"
        if not path.exists():
            subprocess.run([self.programs / "PeerDriver", "corpus", path, str(count), str(devices)],
                           check=True)
        return path

    def program(self, engine):
        return self.programs / ("PeerDriver" if engine in STORE else "peers")

    def run(self, engine, workload, *rest, before=()):
        words = [*before, self.program(engine), engine, workload, self.store, *rest]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{engine} {workload}: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def clear(self):
        shutil.rmtree(self.store, ignore_errors=True)
        os.sync()

    def fresh(self, engine, workload, *rest, before=()):
        self.clear()
        return self.run(engine, workload, *rest, before=before)

    def measure(self, engine):
        """One run of everything an engine can do."""
        n, corpus = self.count, self.corpus
        singles = 500 if self.quick else 2_000
        results = {}
        filled = results["w1a"] = self.fresh(engine, "w1", corpus, n, 1_000, "none")
        filled["disk"] = allocated(self.store)
        filled["disk_share"] = filled["disk"] / (filled["mb_s"] * filled["wall_s"] * 1e6)
        filled["cpu_us"] = filled["cpu_total_s"] / n * 1e6
        if engine != "millrace-owned":
            results["w2"] = self.run(engine, "w2", corpus, n)
            if engine in STORE:
                results["check"] = self.check()
                results["w3"] = self.run(engine, "w3", corpus, n, 1_000 if self.quick else 5_000)
            elif engine != "bare":
                results["w3"] = self.run(engine, "w3", corpus, n)
        results["w1a1"] = self.fresh(engine, "w1", corpus, n, 1, "none")
        results["w1b"] = self.fresh(engine, "w1", corpus, n, 1_000, "batch")
        results["w1c"] = self.fresh(engine, "w1", corpus, singles, 1, "batch")
        if engine in ("millrace", "millrace-zstd"):
            results["inflight"] = self.fresh(engine, "inflight", corpus, n, 4)
            results["producers"] = self.fresh(engine, "producers", corpus, singles * 4, 8)
        if engine not in ("bare", "millrace-owned"):
            results["w4"] = self.fresh(engine, "w4")
        results["calls"] = self.count_calls(engine)
        self.clear()
        return results

    def check(self):
        """Checking everything that replay has read, from a process's start to its end."""
        start = time.monotonic()
        subprocess.run([".build/release/millrace", "fsck", "--quiet", self.store],
                       capture_output=True, check=True)
        return {"ev_s": self.count / (time.monotonic() - start)}

    def count_calls(self, engine):
        """System calls and syncs of 20 groups of 1,000, those of opening and closing included."""
        table = self.folder / "calls"
        groups = 20
        self.fresh(engine, "w1", self.corpus, groups * 1_000, 1_000, "batch",
                   before=("strace", "-f", "-c", "-o", table))
        calls = {name: int(count) for count, name in re.findall(
            r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", table.read_text(), re.M)}
        syncs = sum(calls.get(name, 0) for name in ("fsync", "fdatasync", "msync", "syncfs"))
        total = sum(count for name, count in calls.items() if name != "total")
        return {"syscalls": total / groups, "syncs": syncs / groups}

    def limits(self):
        words = [self.programs / "peers", "limits", self.folder, self.corpus, self.count]
        return json.loads(subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, check=True).stdout)

    def allocations(self):
        words = [self.programs / "ratios", "--events", "200000", "--only", "allocations"]
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def growth(self):
        """The same with more events, devices, partitions and threads; one thing at a time."""
        n, quick = self.count, self.quick
        axes = {
            "events": [n // 4, n, n * 4] if quick else [100_000, 1_000_000, 10_000_000],
            "devices": [10, 10_000, 100_000],
            "partitions": [1, 4, 64],
            "threads": [1, 2, 4],
        }
        series = {}
        for axis, values in axes.items():
            for value in values[::2] if quick else values:
                at = {"events": n, "devices": 10_000, "partitions": 1, "threads": 1, axis: value}
                corpus = self.make_corpus(at["events"], at["devices"])
                runs = []
                for _ in range(self.run_count):
                    run = self.fresh("millrace", "growth", corpus, at["events"], at["partitions"],
                                     at["threads"])
                    run["disk_per_event"] = allocated(self.store) / at["events"]
                    runs.append(run)
                series.setdefault(axis, []).append({axis: value, **medians(runs)})
                if corpus != self.corpus:
                    corpus.unlink()
        self.clear()
        return series


def allocated(folder):
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def medians(runs):
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def machine():
    models = re.findall(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": models[0] if models else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(memory, 1), "kernel": platform.release(),
            # More than a little before the first run: others share the machine, and the figures.
            "load_before": round(os.getloadavg()[0], 1)}


def table(results):
    engines = list(results["engines"])
    lines = [["", *engines]]
    for work, field, label in WORK:
        lines.append([label, *(cell(results, engine, work, field, "{:,.0f}")
                               for engine in engines)])
    for work, field, label, form in FACTS:
        lines.append([label, *(cell(results, engine, work, field, form) for engine in engines)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = "\n".join(
        "  ".join([line[0].ljust(widths[0])]
                  + [value.rjust(width) for value, width in zip(line[1:], widths[1:])])
        for line in lines)
    limits = ", ".join(
        f"{name.replace('_', ' ')} {value:,.0f}/s" if name == "syncs"
        else f"{name.replace('_', ' ')} {value / 1e6:,.0f} MB/s"
        for name, value in results["limits"].items())
    settings = "\n".join(
        f"{name.ljust(14)}  {setting}" for name, setting in results["settings"].items())
    facts = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    return (f"{results['events']:,} events from {results['devices']:,} devices, medians of "
            f"{results['runs']}; {facts}\n\n"
            f"{text}\n\nThis machine: {limits}\n{results['allocations']}\n\n{settings}\n")



def cell(results, engine, work, field, form):
    value = results["engines"][engine].get(work, {}).get(field)
    return "-" if value is None else form.format(value)


def main():
    quick = "--quick" in sys.argv
    programs, target = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        harness = Harness(programs, pathlib.Path(folder), quick)
        engines = [engine for engine in STORE + PEERS
                   if not (quick and engine in ("millrace-none", "millrace-owned"))]
        runs = {engine: [] for engine in engines}
        limits = []
        for run in range(harness.run_count):
            limits.append(harness.limits())
            # In turn, so that what else the machine does meets all of them.
            for engine in engines:
                print(f"run {run + 1} of {harness.run_count}: {engine}", file=sys.stderr)
                runs[engine].append(harness.measure(engine))
        print("growth", file=sys.stderr)
        results = {
            "machine": facts, "events": harness.count, "devices": 10_000,
            "runs": harness.run_count, "settings": {name: SETTINGS[name] for name in engines},
            "limits": medians(limits),
            "engines": {
                engine: {work: medians([run[work] for run in list_]) for work in list_[0]}
                for engine, list_ in runs.items()},
            "growth": harness.growth(), "allocations": harness.allocations(),
        }
    target.mkdir(parents=True, exist_ok=True)
    (target / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    plots.write(results, WORK, target)
    (target / "table.txt").write_text(table(results))
    print(table(results), end="")


if __name__ == "__main__":
    main()
