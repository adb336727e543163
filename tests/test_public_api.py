"""Of libraries only what they publish is used: a private attribute is a traceback with their next release."""

import ast
from collections.abc import Iterator

from basis.packages import ROOT

EXCEPTIONS = {
    "os._exit": "public in spite of its name",
    "ray.init(_memory=)": "Ray has no other way to say how much memory trials may share, and tests schedule by it",
    # torch is pinned to one release, and moving the pin runs the tests that lean on these
    "hasattr _linear_pointwise": "asks whether this build has the operator below",
    "storage._cdata": "identity of a storage that has no address, as on fake tensors",
    "torch._C._cuda_clearCublasWorkspaces": "nothing public frees cuBLAS's workspaces",
    "torch._C._current_autograd_node": "nothing public tells which backward node an operator runs for",
    "torch._C": "the module of the two above",
    "torch._dynamo": "how PyTorch's documentation of torch.compile spells reset",
    "torch._subclasses.fake_tensor.FakeTensorMode": "documented under this name (torch.compiler, fake tensor)",
    "torch.ops.aten._local_scalar_dense": "an operator's name, as a dispatch mode sees it",
    "torch.ops.mkldnn._linear_pointwise": "oneDNN's product with an epilogue, which PyTorch calls by this operator",
    "torch.utils._python_dispatch": "the module of the next",
    "torch.utils._python_dispatch.TorchDispatchMode": "documented under this name (extending PyTorch)",
    "torch.utils._pytree.tree_leaves": "how PyTorch itself looks through an operator's arguments",
}
"""What is used all the same, and why."""

NAMED_TUPLE = ("_replace", "_asdict", "_fields", "_make")
"""Public in spite of their names, which keep them apart from a tuple's fields."""


def private_uses(tree: ast.Module) -> Iterator[str]:
    """Each private attribute of something else, private module and private keyword that a module uses."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} | {"self", "cls"}
    own |= set(NAMED_TUPLE)
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _named(node.value) in classes}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and node.attr not in own:
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


def _named(value: ast.expr) -> str:
    return value.id if isinstance(value, ast.Name) else ""


def test_private_attributes_of_libraries_are_not_used() -> None:
    found = {
        (use, str(path.relative_to(ROOT)))
        for package in ("model", "sweep", "analysis", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        for use in private_uses(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert sorted((use, path) for use, path in found if use not in EXCEPTIONS) == []
    assert set(EXCEPTIONS) == {use for use, _ in found}, "an exception that nobody needs any more"


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
