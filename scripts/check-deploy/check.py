"""Runs every check of deployment files that this machine has the tools for: see check-deploy.sh."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from cloudcoil.models.prometheus_operator import v1 as operator
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

DEPLOY = Path("deploy")
CHART = DEPLOY / "helm/saimon"
# the oldest that the chart takes and the newest whose schema is there
KUBERNETES = ["1.27", "1.30", "1.33", "1.37"]
# systemd's measure of what a service could do: 0 nothing, 10 anything
EXPOSURE_MAX = 2.0
OPERATOR = "monitoring.coreos.com/v1"

failed = []
left_out = []


def done(what, ok, text=""):
    print(f"{'ok  ' if ok else 'FAIL'} {what}")
    if not ok:
        print(text.strip())
        failed.append(what)


def run(what, *command, silent=False):
    """What a program that is there says; it must be content, and silent if that is asked."""
    if shutil.which(command[0]) is None:
        left_out.append(f"{what}: no {command[0]} here")
        return None
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    said = result.stdout + result.stderr
    done(what, result.returncode == 0 and not (silent and said.strip()), said)
    return result.stdout


def objects(text):
    return [o for o in yaml.safe_load_all(text) if o]


def kubernetes(what, text):
    """Core objects by Kubernetes' own schemas, the operator's by those of its types."""
    found = objects(text)
    core = [o for o in found if o["apiVersion"] != OPERATOR]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(core, file)
        file.flush()
        for version in KUBERNETES:
            run(
                f"{what}: {len(core)} objects of Kubernetes {version}",
                "kubernetes-validate", "--strict", "--quiet", "-k", version, file.name,
            )
    theirs = [o for o in found if o["apiVersion"] == OPERATOR]
    for o in theirs:
        name = f"{what}: {o['kind']} of the Prometheus operator"
        try:
            model = getattr(operator, o["kind"]).model_validate(o)
        except ValueError as error:
            done(name, False, str(error))
            continue
        # what the type does not know it drops
        known = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
        unknown = keys(o) - keys(known)
        done(name, not unknown, f"unknown: {sorted(unknown)}")
    return found


def keys(value, path=""):
    """Paths of all keys."""
    if isinstance(value, dict):
        return {p for k, v in value.items() for p in {f"{path}.{k}", *keys(v, f"{path}.{k}")}}
    if isinstance(value, list):
        return {p for v in value for p in keys(v, f"{path}[]")}
    return set()


def rules(what, found):
    """The groups of PrometheusRules, by promtool."""
    for o in found:
        if o["kind"] == "PrometheusRule":
            with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
                yaml.safe_dump(o["spec"], file)
                file.flush()
                run(f"{what}: PrometheusRule", "promtool", "check", "rules", file.name)


def dashboards():
    """Grafana's types of dashboards, by TypeScript."""
    name = "@grafana/schema: dashboards"
    if not shutil.which("npm"):
        left_out.append(f"{name} (npm is not installed)")
        return
    tools = Path("target/check-dashboards")
    tools.mkdir(parents=True, exist_ok=True)
    shutil.copy("scripts/check-dashboards/package.json", tools)
    installed = run("npm install", "npm", "install", "--prefix", tools, "--silent", "--no-audit", "--no-fund",
                    "--ignore-scripts")
    if installed is not None:
        run(name, "node", "scripts/check-dashboards/check.mjs", DEPLOY / "grafana", tools)


def main():
    plain = [str(p) for p in sorted(DEPLOY.rglob("*.y*ml")) if "templates" not in p.parts]
    run(f"yamllint: {len(plain)} files", "yamllint", "--strict", "-c", "scripts/check-deploy/yamllint.yml", *plain)

    run("hadolint: Dockerfile", "hadolint", DEPLOY / "docker/Dockerfile")
    run(
        "schema of the Compose specification: compose.yaml",
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose/compose.yaml",
    )
    with tempfile.TemporaryDirectory() as folder:
        for file in [DEPLOY / "compose/prometheus.yml", DEPLOY / "prometheus/saimon-rules.yml",
                     DEPLOY / "prometheus/saimon-rules-test.yml"]:
            shutil.copy(file, folder)
        run("promtool: compose/prometheus.yml", "promtool", "check", "config", f"{folder}/prometheus.yml")
        run("promtool: tests of the rules", "promtool", "test", "rules", f"{folder}/saimon-rules-test.yml")
    for file in ["compose/alertmanager.yml", "prometheus/saimon-alertmanager.yml"]:
        run(f"amtool: {file}", "amtool", "check-config", DEPLOY / file)

    built = run("kubectl kustomize", "kubectl", "kustomize", DEPLOY / "kubernetes")
    if built is None:
        built = "\n---\n".join(
            p.read_text() for p in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
            if p.name not in ("kustomization.yaml", "saimon.yaml")
        )
    rules("kubernetes", kubernetes("kubernetes", built))

    report = lint(CHART, strict=True)
    worst = [m for m in report["messages"] if m["severity"] >= 2]
    done("helm lint --strict", not worst and not report["errors"], json.dumps(report))
    everything = yaml.safe_load(Path("scripts/check-deploy/values.yaml").read_text())
    with Chart.load(CHART) as chart:
        for name, values in [("defaults", {}), ("every value", everything)]:
            rendered = chart.render(values, name="mine", namespace="monitoring")
            text = "\n---\n".join(t for f, t in rendered.items() if not f.endswith("NOTES.txt"))
            found = kubernetes(f"helm, {name}", text)
            rules(f"helm, {name}", found)
            kinds = sorted(o["kind"] for o in found)
            print(f"     {', '.join(kinds)}")
        for wrong in [{"replica": 1}, {"replicas": "one"}, {"persistence": {"size": "much"}},
                      {"networkPolicy": {"from": []}}]:
            try:
                chart.validate_schema(wrong)
                done(f"helm refuses {wrong}", False)
            except HelmError as error:
                done(f"helm refuses {wrong}", True, str(error))

    unit = DEPLOY / "systemd/saimon.service"
    with tempfile.TemporaryDirectory() as folder:
        # its programs need not be installed here
        root = Path(folder)
        for path in ["bin", "usr/bin", "etc/systemd/system", "usr/lib/systemd/system"]:
            (root / path).mkdir(parents=True)
        for program in ["usr/bin/saimon", "bin/sh"]:
            (root / program).write_text("#!/bin/sh\n")
            (root / program).chmod(0o755)
        shutil.copy(unit, root / "etc/systemd/system")
        for other in ["network-online.target", "multi-user.target", "sysinit.target", "basic.target",
                      "shutdown.target"]:
            (root / "usr/lib/systemd/system" / other).write_text("[Unit]\n")
        # an unknown key is only warned of
        run(
            "systemd-analyze verify",
            "systemd-analyze", "verify", f"--root={folder}", "--man=no", "saimon.service", silent=True,
        )
    run(
        f"systemd-analyze security: at most {EXPOSURE_MAX}",
        "systemd-analyze", "security", "--offline=true", "--no-pager",
        f"--threshold={int(EXPOSURE_MAX * 10)}", unit,
    )
    dashboards()

    scripts = sorted(Path("scripts").glob("*.sh")) + [DEPLOY / f"debian/{n}" for n in ("postinst", "prerm", "postrm")]
    run(f"shellcheck: {len(scripts)} scripts", "shellcheck", *scripts)

    for line in left_out:
        print(f"left out: {line}")
    if failed:
        sys.exit(f"{len(failed)} checks failed: {', '.join(failed)}")


main()
