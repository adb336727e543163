"""Of libraries only what they publish is used: a private attribute is a traceback with their next release."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

EXCEPTIONS = {
    "torch._dynamo": "how PyTorch's own documentation of torch.compile spells reset and config",
}
"""What is used all the same, and why."""


def private_uses(tree: ast.Module) -> Iterator[str]:
    """Each private attribute of something else, private module and private keyword that a module uses."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_own(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and not _is_own(node.value) and node.attr not in own:
            yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if any(map(_private, alias.name.split("."))))
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if any(map(_private, name.split("."))))
        elif isinstance(node, ast.Call):
            yield from (f"{ast.unparse(node.func)}({word.arg}=)" for word in node.keywords if _private(word.arg or ""))
            if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr", "hasattr"):
                texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                yield from (f"{node.func.id} {text}" for text in texts if _private(text))


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def test_private_attributes_of_libraries_are_not_used() -> None:
    found = {}
    for package in ("model", "sweep", "analysis", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for use in private_uses(ast.parse(path.read_text(encoding="utf-8"))):
                if not any(use.startswith(exception) for exception in EXCEPTIONS):
                    found[f"{path.relative_to(ROOT)}: {use}"] = use
    assert list(found) == []


def test_the_search_finds_each_kind_of_use() -> None:
    code = (
        "from library._inner import thing\nimport library._other\nlibrary.f(_memory=1)\n"
        "config._commit_hash\ngetattr(config, '_fingerprint')\nself._mine\n"
    )
    assert sorted(private_uses(ast.parse(code))) == [
        "config._commit_hash",
        "getattr _fingerprint",
        "library._inner.thing",
        "library._other",
        "library.f(_memory=)",
    ]
