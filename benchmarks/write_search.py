"""Recording and searching, beside a bare SQLite commit and raw LanceDB queries in the same run.

    python benchmarks/write_search.py [--messages 100000 1000000] [--mine 1000]

The same figures as `backstory bench latency`, for several sizes, as the tables of this directory's README.
"""

import argparse
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, nargs="+", default=[100_000])
    parser.add_argument("--mine", type=int, default=1_000)
    arguments = parser.parse_args()
    command = [sys.executable, "-P", "-m", "server", "bench", "latency"]
    for messages in arguments.messages:
        done = subprocess.run([*command, "--messages", str(messages), "--mine", str(arguments.mine)], check=False)
        if done.returncode:
            sys.exit(done.returncode)
        print(flush=True)


if __name__ == "__main__":
    main()
