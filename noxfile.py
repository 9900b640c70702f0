"""The sessions that the README names. Each installs frcnn as a user would, with the versions of constraints.txt."""

from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"  # pip and its default resolver

# What tests/test_evaluation_peers.py compares the evaluation with; frcnn itself needs neither.
EVALUATORS = ("mean-average-precision", "pycocotools")


def install(session: nox.Session, *requirements: str) -> None:
    session.install("--constraint", "constraints.txt", *requirements)


def commit_of_checkout(session: nox.Session) -> dict[str, str]:
    """For a report: what is installed is a copy, which does not know its commit."""
    if not Path(".git").exists():
        return {}
    words = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return {"FRCNN_COMMIT": str(session.run(*words, external=True, silent=True)).strip()}


@nox.session
def conformance(session: nox.Session) -> None:
    """Hold every backend to the spec: nox -s conformance -- --profile quick --backend torch"""
    install(session, ".[all]")
    session.run("frcnn", "conformance", *session.posargs, env=commit_of_checkout(session))


@nox.session(name="repro-voc07")
def repro_voc07(session: nox.Session) -> None:
    """Train and test Fast R-CNN end to end: nox -s repro-voc07 -- --tier instant"""
    install(session, ".[all]")
    session.run("frcnn", "repro", "voc07", *session.posargs, env=commit_of_checkout(session))


# Peers of the benchmark whose needs clash with ours and each other's: an environment each. torchvision's plain wheel
# does not import beside a CPU-only torch; `--peer torchvision=PYTHON` names a Python that has one.
PEERS = {
    "openvino": ("openvino==2026.4.*",),
    "onnxruntime": ("onnxruntime==1.23.*", "onnx==1.23.*"),
    "opencv": ("opencv-python-headless==4.*",),
    "mxnet": ("mxnet==1.9.1", "numpy<1.24"),
}


@nox.session
def bench(session: nox.Session) -> None:
    """Time frcnn beside its peers: nox -s bench -- roi-pool --case A --peer torchvision=/usr/bin/python3"""
    install(session, ".[all]")
    asked, known = session.posargs or ["roi-pool"], []
    times = asked[0] != "page" and "--help" not in asked  # neither of which is given peers
    for name, requirements in PEERS.items() if times else ():
        python = Path(session.create_tmp()).resolve() / name / "bin" / "python"
        if not python.exists():
            session.run("python", "-m", "venv", str(python.parent.parent))
        session.run(str(python), "-m", "pip", "install", "--quiet", *requirements, external=True)
        known += ["--peer", f"{name}={python}"]
    session.run("frcnn", "bench", *asked, *known, env=commit_of_checkout(session))


@nox.session
def peers(session: nox.Session) -> None:
    """Hold public runtimes' RoI pooling to the spec: nox -s peers -- --profile quick"""
    install(session, ".[conformance]")
    # The suite's OpenCV, with contrib, is version 5, which has no ROIPooling. Both lie in one folder, so that what is
    # left of the other in an environment that is used again is no package.
    variants = ("opencv-contrib-python-headless", "opencv-python-headless")
    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *variants)
    needs = [requirement for name in ("openvino", "onnxruntime", "opencv") for requirement in PEERS[name]]
    install(session, *needs)
    runtimes = ("onnxruntime:OnnxRuntime", "openvino:OpenVino", "opencv:OpenCv")
    asked = [word for name in runtimes for word in ("--backend", f"frcnn.backends.peers.{name}")]
    # That they fail is what they are run for.
    words = (*asked, "--out", "reports/peers", *session.posargs)
    session.run("frcnn", "conformance", *words, env=commit_of_checkout(session), success_codes=[0, 1])


@nox.session
def tests(session: nox.Session) -> None:
    """The project's own tests: nox -s tests -- -k faults"""
    install(session, ".[all]", *EVALUATORS)
    # Two processes, since importing triton where tensorflow is already loaded crashes (triton 3.7, tensorflow 2.21).
    # A selection such as -k may leave one of them without a test: pytest's 5.
    for part in (("tests", "--ignore=tests/tf"), ("tests/tf",)):
        session.run("python", "-m", "pytest", "-rs", "-n", "auto", *part, *session.posargs, success_codes=[0, 5])


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff over the tree, mypy over the package as it is installed."""
    install(session, ".[conformance]", "ruff", "mypy")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "--config-file", str(Path("pyproject.toml").resolve()), "--package", "frcnn")


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel, then install and use it in this session's environment, outside the checkout."""
    install(session, "build")
    folder = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder), ".")
    wheel = max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    constraints = Path("constraints.txt").resolve()
    session.install("--constraint", str(constraints), "--force-reinstall", f"{wheel}[conformance]")
    session.chdir(folder)
    session.run("frcnn", "--version")
    session.run("frcnn", "spec", "list")
    session.run("frcnn", "conformance", "--backend", "reference", "--profile", "quick", "--clause", "roi-pool.tie")
    session.run("frcnn", "report", "verify", "reports/reference.jsonl")
