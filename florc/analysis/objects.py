"""Abstract objects, functions, classes and effect records: the vocabulary of the analyses."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from florc.frontend.project import Module
from florc.frontend.scopes import FunctionNode, Scope

DYNAMIC = frozenset({"locals", "vars", "eval", "exec", "globals"})
"""Builtins that may read, and some of them bind, any name of the frame."""


@dataclass(eq=False)
class Function:
    """A function, method, lambda or module body of the project."""

    node: FunctionNode | ast.Module
    scope: Scope
    module: Module
    cls: Class | None
    path: str  # qualified scope path, "" for a module body
    generator: bool = False
    static: bool = False  # staticmethod
    classmethod: bool = False
    property: bool = False
    params: tuple[str, ...] = ()  # those that only keywords reach last
    keyword_only: int = 0  # how many these are
    vararg: str | None = None
    kwarg: str | None = None
    arguments: dict[str, ast.arg] = field(default_factory=dict)  # of all parameters

    def __repr__(self) -> str:
        return f"{self.module.rel}:{self.path or '<module>'}"


@dataclass(eq=False)
class Class:
    """A class of the project.  `library_bases` are qualified names of bases outside of it."""

    node: ast.ClassDef
    scope: Scope
    module: Module
    methods: dict[str, Function] = field(default_factory=dict)
    bases: list[Class] = field(default_factory=list)
    library_bases: list[str] = field(default_factory=list)
    metaclasses: list[Class] = field(default_factory=list)  # of the project
    fields: tuple[str, ...] = ()  # annotated names in order (dataclasses, named tuples)

    def mro(self) -> list[Class]:
        """The class and its project bases, depth first, each once."""
        order: dict[Class, None] = {self: None}
        for base in self.bases:
            if base is not self:
                order.update(dict.fromkeys(base.mro()) if self not in base.bases else {base: None})
        return list(order)

    def libraries(self) -> list[str]:
        """Qualified names of all library bases."""
        return list(dict.fromkeys(name for cls in self.mro() for name in cls.library_bases))

    def method(self, name: str) -> Function | None:
        """The method that an instance finds under `name`."""
        return next((c.methods[name] for c in self.mro() if name in c.methods), None)

    def __repr__(self) -> str:
        return f"{self.module.rel}:{self.scope.path}"


@dataclass(eq=False)
class Obj:
    """An abstract object: all the concrete ones that one allocation site makes."""

    kind: str  # alloc | function | class | module | library | bound | libbound | super
    label: str
    type: str = ""  # library type of an alloc ("" unknown)
    cls: Class | None = None  # project class of an alloc, or the class itself
    function: Function | None = None  # function object, bound method, or body of a generator
    receiver: Obj | None = None  # of bound, libbound, super
    module: Module | None = None
    name: str = ""  # qualified library name; method name of a libbound
    site: ast.AST | None = None
    where: Function | None = None  # the function that holds the allocation site
    indices: set[str] = field(default_factory=set)  # constant subscripts seen

    def libraries(self) -> list[str]:
        """Its library types: of a project class's instance those that the class derives from."""
        return self.cls.libraries() if self.cls is not None else [self.type]

    def __repr__(self) -> str:
        return self.label


Objs = frozenset[Obj]
NOTHING: Objs = frozenset()


WITHIN = "within"
"""As the name of an advance: of an iterator that another one goes through."""


@dataclass(frozen=True)
class Access:
    """One effect of one statement, in terms of abstract objects.

    `kind`: mutate | rebind | draw | train | kill_grads | read_grads | clock | sink | dynamic |
    advance | unknown (a call of something that no model describes: `name`).  `attribute` narrows a
    mutation to one attribute ("" the whole object); `deep` widens it to all that is reachable (of
    `package`).  `certainty` is "assumed" when an unknown call stood in the way.
    """

    kind: str
    function: Function
    statement: ast.stmt
    obj: Obj | None = None
    attribute: str = ""
    deep: bool = False
    package: str = ""  # a deep mutation changes only objects of types of this package
    certainty: str = "exact"
    reason: str = ""
    name: str = ""  # rebound name, RNG stream
    scope: Scope | None = None  # owner of a rebound name
    exact_target: bool = True  # the receiver can be nothing else (a kill needs this)
    mode: str = ""  # "sets": only modules' modes change; "training": nothing, in evaluation mode

    @property
    def line(self) -> int:
        """Line of the statement."""
        return self.statement.lineno


@dataclass(frozen=True)
class CallEdge:
    """`caller` may call `callee` at `statement`."""

    caller: Function
    statement: ast.stmt
    callee: Function
    at: ast.AST | None = None  # the call; None: not called by name, perhaps many times


@dataclass(eq=False)
class LibraryCall:
    """A call of a library's function, class or method that a statement may make."""

    function: Function
    statement: ast.stmt
    node: ast.AST
    name: str  # qualified; "*.method" where the receiver's type isn't known; "" unknown altogether
    shown: str
    known: bool  # an effect entry describes it
    given: dict[str, set[Obj]] = field(default_factory=dict)  # location -> what may be there
