"""deploy/**/*.sh and deploy/*.py: portable to macOS (bash 3.2, BSD tools, Python 3.9), with declared variables."""

import ast
import re
from pathlib import Path

import pytest

from .conftest import ROOT

FILES = sorted((ROOT / "deploy").rglob("*.sh"))
PYTHON = sorted((ROOT / "deploy").glob("*.py"))
NEWER_THAN_BASH_3 = {
    r"\b(mapfile|readarray|coproc)\b": "bash 4.0",
    r"\b(declare|local|typeset) -[a-zA-Z]*[Anlu]": "bash 4: associative arrays, name references, case attributes",
    r"\$\{\w+(\[[^]]*\])?(\^|,)": "bash 4.0: case conversion",
    r"\$\{[^}]*@[QEPAUuLaKk]\}": "bash 4.4: parameter transformation",
    r"\|&|&>>": "bash 4.0",
    r";;?&": "bash 4.0: case fall-through",
    r"\[\[? -v ": "bash 4.2",
    r"\$\{?(EPOCHSECONDS|EPOCHREALTIME|BASHPID|SRANDOM)": "bash 4 or 5",
    r"\bwait -[np]\b": "bash 4.3",
    r"%\([^)]*\)T": "bash 4.2: printf with a date",
    r"\bshopt -s (globstar|lastpipe|inherit_errexit)": "bash 4",
    r"exec \{\w+\}": "bash 4.1",
    r"\[-\d+\]": "bash 4.3: negative array index",
    r"\$\([^()]*\bcase\b": "bash 3.2 cannot parse case inside $()",
}
GNU_ONLY = {
    r"(^|[\s;|(])(timeout|gtimeout|realpath|nproc|tac|shuf|sha256sum|md5sum|seq) ": "not on macOS",
    r"\bsed (-[a-zA-Z]*i|.*--in-place)": "sed -i differs on macOS",
    r"\bsed [^|]*-r\b|\bgrep -[a-zA-Z]*P": "GNU flag",
    r"\bdate [^|]*(-d|--date)\b": "GNU flag",
    r"\b(readlink|stat|base64|head|mktemp|cp|xargs|sort|tail) [^|;]*(--\w|-f\b.*readlink|-w0|-r\b.*xargs)": "GNU flag",
    r"\breadlink -f": "GNU flag",
    r"\bhead -n? ?-\d": "GNU flag",
}


def code(path: Path) -> list[str]:
    """The lines without comments; continued lines are joined."""
    text = path.read_text().replace("\\\n", "")
    return [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]


def find(patterns: dict[str, str], lines: list[str]) -> list[str]:
    return [f"{line.strip()}: {why}" for line in lines for pattern, why in patterns.items() if re.search(pattern, line)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "deploy")))
def test_script_is_portable_to_macos(path: Path) -> None:
    assert find({**NEWER_THAN_BASH_3, **GNU_ONLY}, code(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "mapfile -t a", "declare -A a", "local -n ref=$1", "echo ${x^^}", "echo ${a[0],,}", "echo ${x@Q}", "a |& b",
        "a) b ;;&", "[ -v x ]", "echo $EPOCHSECONDS", "wait -n", "printf '%(%s)T'", "exec {fd}>x", "echo ${a[-1]}",
        "x=$(case $y in a) echo; esac)", "  timeout 3 x", "sed -i s/a/b/ f", "grep -oP x", "date -u -d @0",
        "readlink -f x",
        "base64 -w0", "head -n -1",
    ],
)  # fmt: skip
def test_construct_that_macos_lacks_is_found(line: str) -> None:
    assert find({**NEWER_THAN_BASH_3, **GNU_ONLY}, [line])


def test_array_that_may_be_empty_is_expanded_safely() -> None:
    """In bash 3.2, `"${array[@]}"` of an empty array is an error under `set -u`."""
    for path in FILES:
        text = "\n".join(code(path))
        for name in set(re.findall(r"\b(\w+)=\(\)", text)):
            safe = text.replace(f'${{{name}[@]+"${{{name}[@]}}"}}', "")
            assert not re.search(rf"\$\{{{name}\[[@*]\]\}}", safe), f"{path}: {name}"


NAME = r"[A-Za-z_][A-Za-z0-9_]*"


def assigned(line: str) -> list[str]:
    """The variables that a line of shell code assigns; arguments such as NAME=VALUE of a command are not meant."""
    line = re.sub(r"'[^']*'|\"(\\.|[^\"\\])*\"", '""', line)
    start = re.search(rf"(?:^\s*|; then |; do |\{{ |&& )((?:{NAME}\+?=\S* ?)+)(?:$|;)", line)
    names = re.findall(rf"(?:^|\s)({NAME})\+?=", start[1]) if start else []
    names += re.findall(rf"(?:^\s*|; then )({NAME})\+?=(?:\$?\(|\"|').*$", line)
    names += re.findall(rf"\b(?:capture|capture_port|for) ({NAME})\b", line)
    names += " ".join(re.findall(rf"\bread -ra? ((?:{NAME} ?)+)<", line)).split()
    return names + re.findall(rf"\bexport ({NAME})=", line)


def settings() -> set[str]:
    return set(re.findall(r"^setting (\w+)", (ROOT / "deploy/lib/settings.sh").read_text(), re.M))


def undeclared(path: Path) -> list[str]:
    """Assignments of UPPER_CASE variables that the file's header does not list, and of others that are not local."""
    header = path.read_text().partition("\n\n")[0]
    documented = settings() | set(re.findall(r"^# (?:Sets:|     )  ([A-Z_]+)", header, re.M))
    found, local, inside = [], set(), False
    for line in code(path):
        if re.match(r"\w+\(\) ", line):
            local, inside = set(), True
        if declared := re.match(r"\s*local (.*)", line):
            local |= set(
                re.findall(rf"(?:^|\s)({NAME})", re.sub(r"=(\([^)]*\)|\"[^\"]*\"|'[^']*'|\S+)", "", declared[1]))
            )
        else:
            found += [
                line for name in assigned(line) if name not in (documented if name.isupper() or not inside else local)
            ]
        if line == "}":
            inside = False
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "deploy")))
def test_upper_case_variables_are_documented_and_the_others_are_local(path: Path) -> None:
    lines = undeclared(path)
    if path.name in (
        "deploy.sh",
        "teardown.sh",
        "setup.sh",
        "common.sh",
    ):  # their own lower_case variables are theirs alone
        lines = [line for line in lines if any(name.isupper() for name in assigned(line))]
    assert lines == []


@pytest.mark.parametrize(
    "line",
    [
        "NAME=$1",
        "  NAME='' OTHER=false",
        "  if x; then NAME=1; fi",
        "capture NAME date",
        "  name=1",
        "  for i in x; do",
    ],
)
def test_undeclared_variable_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_text(f"# A file.\n\nfunction_name() {{\n{line}\n}}\n")
    assert undeclared(tmp_path / "x.sh")


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_python_file_is_valid_for_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    lazy = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert [name.name for node in lazy for name in node.names] == ["annotations"], "X | Y in annotations"
    assert not [node for node in ast.walk(tree) if isinstance(node, getattr(ast, "Match", ()))]
    strict = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in ("strict", "slots")
    ]
    assert strict == [], "zip(strict=) and dataclass(slots=) need Python 3.10"
