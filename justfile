# The commands of README.md and CONTRIBUTING.md under five names (https://just.systems).

run := "python3 -m uv run --locked"

# An environment with everything that development needs
setup:
    python3 -m pip install -q uv
    python3 -m uv sync --locked

# Lint, format, types, layers
check:
    {{ run }} ruff check .
    {{ run }} ruff format --check .
    {{ run }} mypy
    {{ run }} lint-imports --no-logo

# The tests; `just test -m "not slow"` is quicker, `just test --cov` is what CI does
[positional-arguments]
test *arguments:
    {{ run }} pytest "$@"

# A conversation remembered across a killed server
demo:
    {{ run }} backstory demo

# Start-up, latency, preamble, load; wants a machine that does nothing else
bench:
    {{ run }} python benchmarks/startup.py
    {{ run }} backstory bench latency --messages 100000
    {{ run }} python benchmarks/preamble.py
    {{ run }} python benchmarks/load.py
