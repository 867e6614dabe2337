"""Which kinds of audit entries the source code can write, found by following the action to where it is said.

A call that records an entry says its action in words, by a constant of its module, or by a parameter of the function around
it; then the callers of that function are followed, as far as it takes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
START = ("osler/audit/__init__.py", "record", "action")
KIND = re.compile(r"[a-z-]+\.[a-z-]+")


class UnfollowedError(AssertionError):
    """An action is said in a way that cannot be followed to its words."""


class Module:
    """A file of source: the functions around each node, its calls and imports by name, and its constants of text."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.name = path.parent.name if path.stem == "__init__" else path.stem
        self.around: dict[ast.AST, Function] = {}
        self.constants: dict[str, str] = {}
        self.calls: dict[str, list[ast.Call]] = {}
        self.imports: set[tuple[str, str]] = set()
        self._read = False

    def calls_of(self, name: str) -> list[ast.Call]:
        """Return the calls of a name; the text is not parsed before it has one."""
        if f"{name}(" not in self.text and f"{name}," not in self.text:
            return []
        self.read()
        return self.calls.get(name, [])

    def read(self) -> ast.Module | None:
        """Parse the text, once."""
        if self._read:
            return None
        self._read = True
        tree = ast.parse(self.text)
        self._walk(tree, None)
        for one in ast.walk(tree):
            if isinstance(one, ast.Call):
                for name in {_name(one.func), _name(one.args[0]) if one.args else ""}:
                    self.calls.setdefault(name, []).append(one)
            elif isinstance(one, ast.ImportFrom):
                self.imports |= {(str(one.module).split(".")[-1], alias.asname or alias.name) for alias in one.names}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                self._constant(node.targets[0], node.value)
        return tree

    def _walk(self, node: ast.AST, function: Function | None) -> None:
        for child in ast.iter_child_nodes(node):
            if function is not None:
                self.around[child] = function
            self._walk(child, child if isinstance(child, Function) else function)

    def _constant(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, said in zip(target.elts, value.elts, strict=True):
                self._constant(one, said)
        elif isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.constants[target.id] = value.value


class Source:
    """The packages' source."""

    def __init__(self, roots: list[Path]) -> None:
        self.modules = [Module(path) for root in roots for path in root.rglob("*.py")]
        self._followed: set[tuple[str, str, str]] = set()

    def kinds(self) -> set[str]:
        """Return every kind that an entry can have."""
        module = next(one for one in self.modules if one.path.as_posix().endswith(START[0]))
        tree = module.read()
        assert tree is not None
        function = next(one for one in ast.walk(tree) if isinstance(one, Function) and one.name == START[1])
        return set(self._of_parameter(module, function, START[2])) | {"audit.recovered"}

    def _of_parameter(self, home: Module, function: Function, name: str, form: str = "{}") -> Iterator[str]:
        """Give the kinds that callers of a function hand it, each put into a form."""
        key = (str(home.path), function.name, name)
        if key in self._followed:
            return
        self._followed.add(key)
        taken = function.args
        places = [one.arg for one in [*taken.posonlyargs, *taken.args] if one.arg not in ("self", "cls")]
        defaults = dict(zip(reversed([*taken.posonlyargs, *taken.args]), reversed(taken.defaults), strict=False))
        default = next((value for one, value in defaults.items() if one.arg == name), None)
        if default is not None:
            yield from self._of_value(home, default, form)
        for module in self.modules:
            if function.name.startswith("_") and module is not home:
                continue
            for call in module.calls_of(function.name):
                value = self._argument(call, places, name, partial(self._is, module, home, function))
                if value is not None:
                    yield from self._of_caller(module, value, form, sure=not _is_public_method(function))

    def _of_caller(self, module: Module, value: ast.expr, form: str, *, sure: bool) -> Iterator[str]:
        """Give the kinds of a caller; a method's name may be that of another class's, which hands over no kind."""
        try:
            found = list(self._of_value(module, value, form))
        except UnfollowedError:
            if sure:
                raise
            return
        yield from (one for one in found if sure or KIND.fullmatch(one))

    @staticmethod
    def _is(module: Module, home: Module, function: Function, called: ast.expr) -> bool:
        """Return whether an expression of a module is the function of another."""
        if isinstance(called, ast.Attribute) and called.attr == function.name:
            held = called.value.id if isinstance(called.value, ast.Name) else ""
            return _is_method(function) or held == home.name
        if not (isinstance(called, ast.Name) and called.id == function.name) or _is_method(function):
            return False
        return module is home or (home.name, function.name) in module.imports

    @staticmethod
    def _argument(call: ast.Call, places: list[str], name: str, is_it: Callable[[ast.expr], bool]) -> ast.expr | None:
        """Return what a call of a function hands it for a parameter; None where it is no such call."""
        positional = call.args
        if not is_it(call.func):
            if not (positional and is_it(positional[0])):
                return None
            positional = positional[1:]  # handed on, as to `run_in_threadpool(audit.record, ...)`
        words = {one.arg: one.value for one in call.keywords}
        place = places.index(name) if name in places else len(positional)
        return words.get(name) or (positional[place] if place < len(positional) else None)

    def _of_value(self, module: Module, value: ast.expr, form: str) -> Iterator[str]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield form.format(value.value)
        elif isinstance(value, ast.IfExp):
            yield from self._of_value(module, value.body, form)
            yield from self._of_value(module, value.orelse, form)
        elif isinstance(value, ast.JoinedStr):
            said = ["{}" if isinstance(one, ast.FormattedValue) else str(one.value) for one in value.values]  # type: ignore[attr-defined]
            inner = next(one.value for one in value.values if isinstance(one, ast.FormattedValue))
            yield from self._of_value(module, inner, form.format("".join(said)))
        elif isinstance(value, ast.Name) and value.id in module.constants:
            yield form.format(module.constants[value.id])
        elif isinstance(value, ast.Name) and value in module.around:
            yield from self._of_name(module, value, form)
        else:
            raise UnfollowedError(f"{module.path}:{value.lineno} says its action in a way that cannot be followed")

    def _of_name(self, module: Module, value: ast.Name, form: str) -> Iterator[str]:
        """Follow a variable: a parameter of the function around it, or of one around that."""
        function: Function | None = module.around[value]
        while function is not None:
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            if value.id in [one.arg for one in arguments]:
                yield from self._of_parameter(module, function, value.id, form)
                return
            function = module.around.get(function)
        raise UnfollowedError(f"{module.path}:{value.lineno}: where {value.id} comes from cannot be followed")


def _name(expression: ast.expr) -> str:
    return expression.id if isinstance(expression, ast.Name) else getattr(expression, "attr", "")


def _is_method(function: Function) -> bool:
    return bool(function.args.args) and function.args.args[0].arg in ("self", "cls")


def _is_public_method(function: Function) -> bool:
    return _is_method(function) and not function.name.startswith("_")
