"""The files around the code: decisions, changelog, contracts, exports, and that documents say what is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.source import PACKAGE, ROOT, Finding, need_the_whole, report

DECISIONS = ROOT / "docs" / "decisions"
STEPS = ROOT / "src" / "accordant" / "store" / "migrations" / "versions"
ADR_HEADINGS = ("Status", "Context", "Decision", "Consequences", "Alternatives", "Check")
ADR_LINES_MAX = 75
EXPORT_KINDS = {"run": False, "dev": True}
# Spelled in pieces, so that this file does not break its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|tmp|root|home|Users)/" + r"\w")


def documents() -> dict[str, str]:
    """Every document people read, by its path."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}


def code_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of fenced blocks and the content of back-ticked spans, with line numbers."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            yield number, line
        else:
            yield from ((number, span) for span in re.findall(r"`([^`]+)`", line))


# -- decisions -------------------------------------------------------------------------------------------------------


def decision_findings(files: Mapping[str, str]) -> Iterator[Finding]:
    """Numbered without a gap, one page each, the same headings, one quotable sentence."""
    for expected, name in enumerate(sorted(files), start=1):
        path = f"docs/decisions/{name}"
        lines = files[name].splitlines()
        if not re.fullmatch(rf"{expected:04d}-[a-z0-9]+(-[a-z0-9]+)*\.md", name):
            yield Finding(path, 1, f"expected the number {expected:04d} and words in lower case with hyphens")
        if not lines or not re.fullmatch(rf"# {expected:04d} \S.*", lines[0]):
            yield Finding(path, 1, f"the title has to read `# {expected:04d} …`")
        headings = tuple(line.removeprefix("## ") for line in lines if line.startswith("## "))
        if headings != ADR_HEADINGS:
            yield Finding(path, 1, f"headings are {list(headings)}, expected {list(ADR_HEADINGS)}")
        if len(lines) > ADR_LINES_MAX:
            yield Finding(path, len(lines), f"{len(lines)} lines; a decision fits on one page of {ADR_LINES_MAX}")
        quoted = " ".join(line.removeprefix(">").strip() for line in lines if line.startswith(">"))
        if len(re.findall(r"[.!?](?:\s|$)", quoted)) != 1:
            yield Finding(path, 1, "the decision is one quotable sentence in a block quote")


def test_decisions() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in DECISIONS.glob("*.md")}
    assert files
    report(decision_findings(files))


def test_a_bad_decision_is_found() -> None:
    good = "# 0001 A\n## Status\n## Context\n## Decision\n> We do it.\n## Consequences\n## Alternatives\n## Check\n"
    assert list(decision_findings({"0001-a.md": good})) == []
    assert len(list(decision_findings({"0002-a.md": good}))) == 1
    assert len(list(decision_findings({"0001-a.md": good.replace("## Check\n", "")}))) == 1
    assert len(list(decision_findings({"0001-a.md": good.replace("We do it.", "We do it. Or not.")}))) == 1
    assert len(list(decision_findings({"0001-a.md": good + "\n" * ADR_LINES_MAX}))) == 1
    assert len(list(decision_findings({"0001-a.md": good.replace("# 0001 A", "# 1 A")}))) == 1


# -- steps of the store ----------------------------------------------------------------------------------------------


def step_findings(files: Mapping[str, str]) -> Iterator[Finding]:
    """Numbered without a gap, each behind the one before: with two of one number no store can be opened."""
    for expected, name in enumerate(sorted(files), start=1):
        path, before = f"{STEPS.relative_to(ROOT)}/{name}", f'"{expected - 1:04d}"' if expected > 1 else "None"
        if not re.fullmatch(rf"{expected:04d}_[a-z0-9_]+\.py", name):
            yield Finding(path, 1, f"expected the number {expected:04d}: the next that nobody has")
        for word, value in (("revision", f'"{expected:04d}"'), ("down_revision", before)):
            if not re.search(rf"^{word} = {value}$", files[name], re.MULTILINE):
                yield Finding(path, 1, f"expected {word} = {value}")


def test_steps_of_the_store() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in STEPS.glob("[0-9]*.py")}
    assert files
    report(step_findings(files))


def test_two_steps_of_one_number_are_found() -> None:
    first, second = 'revision = "0001"\ndown_revision = None\n', 'revision = "0002"\ndown_revision = "0001"\n'
    assert list(step_findings({"0001_a.py": first, "0002_b.py": second})) == []
    assert len(list(step_findings({"0001_a.py": first, "0002_b.py": second, "0002_c.py": second}))) == 3
    assert len(list(step_findings({"0001_a.py": first, "0003_b.py": second}))) == 1
    assert len(list(step_findings({"0001_a.py": first, "0002_b.py": second.replace("0001", "0000")}))) == 1


# -- changelog, contracts --------------------------------------------------------------------------------------------


def test_the_changelog_has_an_unreleased_section() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    sections = [line for line in lines if line.startswith("## ")]
    assert sections[:1] == ["## [Unreleased]"], "CHANGELOG.md: the first section has to be `## [Unreleased]`"


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_eight_contracts_stand_without_exceptions() -> None:
    linter = settings()["tool"]["importlinter"]
    assert [contract["id"] for contract in linter["contracts"]] == [f"C{number}" for number in range(1, 9)]
    loopholes = ("ignore_imports", "exhaustive_ignores", "unmatched_ignore_imports_alerting", "skip_descendants")
    for contract in linter["contracts"]:
        used = [key for key in loopholes if key in contract]
        assert not used, f"pyproject.toml: {contract['id']} uses {used}; move the import instead"
        assert contract["broken_contract_guidance"].strip(), f"pyproject.toml: {contract['id']} does not say what to do"


def test_every_silenced_ruff_rule_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("ignore = [")
    end = lines.index("]", start)
    report(
        Finding("pyproject.toml", number + 1, "a silenced rule needs a reason on its line")
        for number in range(start + 1, end)
        if not re.search(r"#\s*\S+", lines[number])
    )


# -- hash-pinned exports against the lock file -----------------------------------------------------------------------


def locked() -> dict[str, dict[str, Any]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    names = [package["name"] for package in packages]
    assert len(names) == len(set(names)), "uv.lock holds one package twice: teach locked() about forks"
    return {package["name"]: package for package in packages}


def needed(packages: Mapping[str, dict[str, Any]], *, dev: bool) -> set[str]:
    """What the lock file says has to be installed, on any platform."""
    own = packages["accordant"]
    waiting = [*own.get("dependencies", ()), *(own["dev-dependencies"]["dev"] if dev else ())]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        dependency = waiting.pop()
        key = (dependency["name"], tuple(dependency.get("extra", ())))
        if key in seen:
            continue
        seen.add(key)
        package = packages[key[0]]
        if key[0] != "accordant":
            waiting.extend(package.get("dependencies", ()))
        for extra in key[1]:
            waiting.extend(package.get("optional-dependencies", {}).get(extra, ()))
    return {name for name, _ in seen} - {"accordant"}


@pytest.mark.parametrize("kind", EXPORT_KINDS)
def test_the_exports_are_as_new_as_the_lock_file(kind: str) -> None:
    packages = locked()
    path = ROOT / "requirements" / f"{kind}.txt"
    text = path.read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))
    expected = {name: packages[name]["version"] for name in needed(packages, dev=EXPORT_KINDS[kind])}
    assert pins == expected, f"requirements/{kind}.txt is older than uv.lock: run `make requirements`"
    hashes = set(re.findall(r"--hash=(\S+)", text))
    known = {
        item["hash"]
        for package in packages.values()
        for item in [*package.get("wheels", ()), package.get("sdist")]
        if item
    }
    assert hashes <= known, f"requirements/{kind}.txt holds hashes that uv.lock does not: run `make requirements`"
    assert hashes, f"requirements/{kind}.txt holds no hashes"


# -- documents say what is so ----------------------------------------------------------------------------------------


def test_the_make_commands_in_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"demo", "test", "check", "bench"} <= targets
    report(
        Finding(path, number, f"`make {target}` is no target of the Makefile")
        for path, text in documents().items()
        for number, code in code_of(text)
        for target in re.findall(r"(?:^|[\s`$])make ([a-z][\w-]*)", code)
        if target not in targets
    )


def test_no_machine_paths_anywhere() -> None:
    files = documents()
    folders = ("src", "tests", "docs", ".ci", "requirements")
    named = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    named += [ROOT / "Makefile", ROOT / "pyproject.toml"]
    text_like = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".html", ".sql", ".sh", ".txt", ".js", ".css", ""}
    for path in named:
        if path.suffix in text_like and "__pycache__" not in path.parts:
            files[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    report(
        Finding(path, number, "names a path of one machine")
        for path, text in files.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if MACHINE_PATH.search(line)
    )


def test_a_machine_path_is_recognised() -> None:
    assert MACHINE_PATH.search("see " + "/work" + "/thing")
    assert MACHINE_PATH.search("`" + "/home" + "/me/hub`")
    assert not MACHINE_PATH.search("https://example.com/work/item")
    assert not MACHINE_PATH.search("$HOME/.config and ./tmp/x and var/tmp/y")


def leads_nowhere(path: str, target: str) -> bool:
    plain = target.split("#", 1)[0]
    is_local = bool(plain) and "://" not in target and not target.startswith("mailto:")
    return is_local and not (ROOT / path).parent.joinpath(plain).exists()


def test_links_between_documents_lead_somewhere() -> None:
    assert leads_nowhere("docs/glossary.md", "gone.md#there")
    assert not leads_nowhere("docs/glossary.md", "../pyproject.toml#there")
    report(
        Finding(path, number, f"the link to {target!r} leads nowhere")
        for path, text in documents().items()
        for number, line in enumerate(text.splitlines(), start=1)
        for target in re.findall(r"\]\(([^)\s]+)\)", line)
        if leads_nowhere(path, target)
    )


def path_findings(path: str, text: str, packages: set[str]) -> Iterator[Finding]:
    """Paths in back-ticks, from the root or the package, that lead nowhere. A placeholder marks an example."""
    for number, code in code_of(text):
        if re.search(r"[<*{…]|NNNN", code):
            continue
        for found in re.findall(r"(?<![\w./])(?:src|tests|docs|requirements|\.ci)/[\w./-]*\w", code):
            if not (ROOT / found).exists():
                yield Finding(path, number, f"`{found}` does not exist")
        first = code.split("/", 1)[0]
        if re.fullmatch(r"\w+/[\w./]*", code) and first in packages and not (PACKAGE / code).exists():
            yield Finding(path, number, f"`{code}` does not exist in the package")


def test_paths_in_documents_exist() -> None:
    need_the_whole()
    packages = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir()}
    report(finding for path, text in documents().items() for finding in path_findings(path, text, packages))


def test_a_path_that_leads_nowhere_is_found() -> None:
    text = "`src/accordant/kernel`\n`src/gone.py`\n`kernel/money.py`\n`kernel/gone.py`\n`kernel/*/x.py`, `a/b.py`\n"
    assert [finding.line for finding in path_findings("x.md", text, {"kernel"})] == [2, 4]


GLOSSARY_CODE = re.compile(r"^\| \*\*(?P<term>[^*]+)\*\* \| .* \| (?P<code>[^|]*) \|$")


def glossary_findings(text: str, words: set[str]) -> Iterator[Finding]:
    """Every name in the last column of a glossary table is a word of the code."""
    for number, line in enumerate(text.splitlines(), start=1):
        row = GLOSSARY_CODE.match(line)
        for name in re.findall(r"`([^`]+)`", row["code"]) if row else ():
            unknown = [word for word in re.findall(r"\w+", name) if word not in words]
            if row and unknown:
                yield Finding("docs/glossary.md", number, f"{row['term']}: the code does not know `{name}`")


def test_the_glossary_and_the_code_use_the_same_names() -> None:
    sources: list[Path] = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".yaml", ".toml"}]
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    words |= {part for path in (ROOT / "src").rglob("*") for part in path.stem.split(".")}
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert len(list(filter(GLOSSARY_CODE.match, text.splitlines()))) > 40
    report(glossary_findings(text, words))


def test_a_name_only_the_glossary_knows_is_found() -> None:
    table = "| **Flow** | A route. | `Flow` |\n| **Lane** | Order. | `lane`, `lane_key` |\n| **Word** | No name. | |\n"
    assert [finding.line for finding in glossary_findings(table, {"Flow", "lane"})] == [2]
