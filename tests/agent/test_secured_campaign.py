"""A campaign over TLS with a login for everybody; and then nobody finds a password in what it has left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.agent.test_campaign_loop import CONFIGS, campaign
from tests.drivers.test_identity import Secured, secured  # noqa: F401 -- a fixture


@pytest.mark.slow
def test_a_campaign_runs_with_identities_and_leaves_no_secret(
    secured: Secured,  # noqa: F811
    tmp_path: Path,
) -> None:
    described = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    tls: dict[str, str] = {"ca": str(secured.folder / "certificates/ca.crt")}
    if secured.client_certificates:
        tls |= {end: str(secured.folder / f"certificates/agent.{end[:3]}") for end in ("key",)}
        tls["certificate"] = str(secured.folder / "certificates/agent.crt")
        login = {"device_secrets": str(secured.folder / "certificates")}
    else:
        login = {
            "username": "agent",
            "password_variable": "A_PASSWORD",
            "device_secrets": str(secured.folder / "secrets"),
        }
    described["broker"] = {"kind": "external", "host": "localhost", "port": secured.port, "tls": tls} | login
    described["data_directory"] = str(tmp_path / "data")
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump(described))
    chosen = campaign(1).model_dump(mode="json", exclude_none=True)
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(chosen))
    passwords = [file.read_text().strip() for file in secured.folder.rglob("*.password")]
    environment = dict(os.environ)
    if passwords:
        environment["A_PASSWORD"] = (secured.folder / "secrets/agent.password").read_text().strip()
    solvus = [sys.executable, "-m", "solvus"]
    lab = subprocess.Popen(
        [*solvus, "lab", str(tmp_path / "lab.yaml")], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert lab.stdout is not None and "Laboratory" in lab.stdout.readline()
        run = [*solvus, "run", str(tmp_path / "campaign.yaml"), "--lab", str(tmp_path / "lab.yaml"), "--json"]
        run += [
            "--ledger",
            f"sqlite:///{tmp_path / 'data/ledger.db'}",
            "--log-json",
            str(tmp_path / "data/log"),
        ]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=300)
        assert json.loads(done.stdout).get("state") == "exhausted", done.stderr
        check = [*solvus, "doctor", str(tmp_path / "lab.yaml"), "--json", "--ledger", run[-3]]
        seen = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=300)
        checks = {c["name"]: c["ok"] for c in json.loads(seen.stdout)["checks"]}
        assert checks["broker"] and checks["device robot"] and checks["device diffractometer"], seen.stdout
        outputs = [done.stdout, done.stderr, seen.stdout, seen.stderr]
        if passwords:
            wrong = environment | {"A_PASSWORD": "wrong-one"}
            bad = subprocess.run(run, env=wrong, capture_output=True, text=True, timeout=300)
            assert bad.returncode == 2
            assert "correct broker.username and password" in json.loads(bad.stdout)["error"]
            outputs += [bad.stdout, bad.stderr]
    finally:
        lab.terminate()
        lab.wait(60)
    left = {str(f): f.read_bytes() for f in (tmp_path / "data").rglob("*") if f.is_file()}
    assert any(name.endswith("ledger.db") for name in left) and any(name.endswith("log") for name in left)
    left["output"] = "".join(outputs).encode()
    for secret in (*passwords, "wrong-one"):
        assert [name for name, content in left.items() if secret.encode() in content] == []
