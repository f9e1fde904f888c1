"""schemathesis over the whole OpenAPI document: no 5xx, nothing that the document does not say."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
[[operations]]
include-path = ["/api/v1/search", "/api/v1/topic", "/api/v1/sessions", "/api/v1/sessions/{session_id}/messages"]
include-method = "GET"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""
"""No schema can say that a time range begins before it ends, or that a cursor is one of ours."""
MORE = """
[[operations]]
include-method = ["POST", "PUT", "PATCH"]
[operations.checks.negative_data_rejection]
expected-statuses = ["2xx", "400", "401", "403", "404", "406", "409", "412", "413", "422", "428", "429"]
"""
"""More is taken of hosts than the document says: a number for an id, one object for a list."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rest_is_what_its_document_says(hosted: Any, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG + MORE)
    token = hosted.token("schema", "tester", "read,write,act-as")
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{hosted.url}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--continue-on-failure", "--no-color"),
        *("--phases", "coverage,fuzzing,stateful", "--max-examples", "5", "--workers", "2"),
    ]
    environ = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
    assert not [line for line in hosted.log() if line["level"] == "ERROR"]
