"""`make bench`: every benchmark, each figure beside its yardstick of the same run."""

import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import identity_accuracy
import identity_merge
import identity_million
import identity_resolve
import ingest_drain
import ingest_http
from home import become_worker


def main() -> None:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load average {os.getloadavg()[0]:.1f} at the start")
    print("{:36} {:>16} {:>24}".format("", "measured", "beside it"))
    for benchmark in (
        ingest_drain,
        ingest_http,
        identity_accuracy,
        identity_million,
        identity_resolve,
        identity_merge,
    ):
        for line in benchmark.report():
            print("{:36} {:>16} {:>24} {}".format(*line), flush=True)


if __name__ == "__main__":
    become_worker()
    main()
