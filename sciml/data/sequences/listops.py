"""ListOps: nested list operations on digits, a hierarchy that has to be found in a long sequence of tokens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int

from sciml.data.sequences.ragged import SequenceTask
from sciml.data.sequences.storage import Block, store
from sciml.errors import ConfigError

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
TOKENS = ("", *map(str, range(10)), *OPERATORS, "]")
"""The vocabulary: token 0 is padding, digit d is token d + 1."""

FIRST_OPERATOR = TOKENS.index("[MIN")
CLOSE = TOKENS.index("]")
EXAMPLES_IN_A_BLOCK = 256
CANDIDATES = 512
OPERATOR_PROBABILITY = 0.25


def open_listops(
    *,
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike = ".data",
    train: int = 96_000,
    validation: int = 2_000,
    test: int = 2_000,
    min_length: int = 500,
    max_length: int = 2_000,
    max_depth: int = 10,
    max_args: int = 10,
    seed: int = 0,
    workers: int | None = None,
) -> SequenceTask:
    """ListOps, generated once by the grammar of the benchmark, or read from its published files.

    An expression is a digit, or an operator on 2 to ``max_args`` expressions:

        E -> digit (3/4, or at the greatest depth) | [MIN E ... E ] | [MAX E ... E ] | [MED E ... E ] | [SM E ... E ]

    The number of arguments is uniform, MED is the median rounded down, SM the sum modulo 10, the class is the value of
    the whole. Expressions of ``min_length`` tokens or fewer, or ``max_length`` or more, are thrown away; the classes
    are left as unbalanced as they come.

    Args:
        path: Folder of the published files ``basic_{train,val,test}.tsv``; None: they are generated.
        folder: Where generated data are kept.
        train: Examples to train on.
        validation: Examples to validate with.
        test: Examples to test with.
        min_length: Tokens that an expression has more of.
        max_length: Tokens that an expression has fewer of. Published: 500 and 2000.
        max_depth: Depth of the deepest digits. Published: 10.
        max_args: Most arguments of an operator. Published: 10.
        seed: Seed of the expressions.
        workers: Threads that generate; one for every CPU core by default.

    Raises:
        ConfigError: the lengths cannot be reached.
        LayoutError: the published files are not there, or are no such files.

    Reference:
        arXiv:2011.04006, section 2.2.1; arXiv:1804.06028.
    """
    if path is not None:
        from sciml.data.sequences.lra_text import open_listops_files

        return open_listops_files(path, folder=folder)
    grammar = Grammar(min_length, max_length, max_depth, max_args)
    recipe = {"version": 1, "seed": seed, **vars(grammar)}
    splits, block = (train, validation, test), EXAMPLES_IN_A_BLOCK
    make = partial(make_block, grammar, seed=seed)
    stored = store(folder, "ListOps", make, recipe=recipe, splits=splits, block=block, workers=workers)
    return listops_task(*stored.parts())


def listops_task(*parts: Any) -> SequenceTask:
    """The task of three parts of ListOps."""
    return SequenceTask("ListOps", "classification", *parts, outputs=10, vocabulary=len(TOKENS))


@dataclass(frozen=True)
class Grammar:
    """Which expressions are made (see ``open_listops``)."""

    min_length: int = 500
    max_length: int = 2_000
    max_depth: int = 10
    max_args: int = 10

    def __post_init__(self):
        shortest = 4  # an operator, two digits, the bracket
        longest = 1
        for _ in range(self.max_depth - 1):
            longest = min(2 + self.max_args * longest, self.max_length)
        if self.max_args < 2 or self.max_length <= max(shortest, self.min_length + 1) or longest <= self.min_length:
            raise ConfigError(
                f"no expression of depth {self.max_depth} with at most {self.max_args} arguments has more than "
                f"{self.min_length} and fewer than {self.max_length} tokens. Published: depth 10, 10 arguments, "
                "500 to 2000 tokens."
            )


def make_block(grammar: Grammar, examples: range, *, seed: int) -> Block:
    """The examples of one block; a function of the seed and of the first example."""
    random = np.random.default_rng([seed, examples.start])
    tokens, lengths, values = [], [], []
    missing = len(examples)
    while missing:
        forest = _grow(grammar, random)[:missing]
        written, length, value = forest.write()
        tokens.append(written)
        lengths.append(length)
        values.append(value)
        missing -= len(length)
    return Block(np.concatenate(tokens), np.concatenate(lengths)[:, None], np.concatenate(values))


@dataclass(frozen=True, eq=False)
class Level:
    """All nodes of one depth, those of the first tree first; brothers are neighbours.

    Args:
        tree: Tree of every node.
        parent: Node in the level above.
        token: Its digit, or its operator.
        args: Number of children, 0 of a digit.
    """

    tree: np.ndarray
    parent: np.ndarray
    token: np.ndarray
    args: np.ndarray


class Forest:
    """Expressions as trees, kept level by level, so that all are evaluated and written out at once."""

    def __init__(self, levels: list[Level], trees: int):
        self.levels, self.trees = levels, trees

    def __getitem__(self, first: slice) -> Forest:
        """The first trees."""
        trees = len(range(self.trees)[first])
        return self.keep(np.arange(self.trees) < trees)

    def keep(self, chosen: np.ndarray) -> Forest:
        """The trees that are chosen, numbered anew."""
        number = np.cumsum(chosen) - 1
        levels, place = [], number
        for level in self.levels:
            kept = chosen[level.tree]
            parent = place[level.parent[kept]]
            levels.append(Level(number[level.tree[kept]], parent, level.token[kept], level.args[kept]))
            place = np.cumsum(kept) - 1
        return Forest(levels, int(chosen.sum()))

    def write(self) -> tuple[np.ndarray, Int[np.ndarray, " tree"], Int[np.ndarray, " tree"]]:
        """Tokens of all expressions one after the other, their lengths, and their values."""
        sizes, values = self._evaluate()
        lengths = sizes[0]
        tokens = np.empty(int(lengths.sum()), np.uint8)
        start = np.cumsum(lengths) - lengths
        for level, size, below in zip(self.levels, sizes, [*sizes[1:], None], strict=True):
            tokens[start] = level.token
            inner = level.args > 0
            tokens[(start + size - 1)[inner]] = CLOSE
            if below is not None and len(below):
                # A child stands behind the operator and the elder children.
                before = np.cumsum(below) - below
                eldest = before[np.repeat(_first_children(level.args), level.args[inner])]
                start = np.repeat(start[inner], level.args[inner]) + 1 + before - eldest
        return tokens, lengths, values

    def _evaluate(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Number of tokens of every node by level, and the values of the roots."""
        sizes: list[np.ndarray] = []
        value = size = np.zeros(0, np.int64)
        for level in reversed(self.levels):
            below, below_size = value, size
            value, size = level.token - 1, np.ones(len(level.token), np.int64)
            inner = level.args > 0
            if inner.any():
                args, first = level.args[inner], _first_children(level.args)
                size[inner] = 2 + np.add.reduceat(below_size, first)
                # Sorted within every node: ten times the node plus the value.
                node = np.repeat(np.arange(len(args)), args)
                ordered = np.sort(node * 10 + below) % 10
                median = (ordered[first + (args - 1) // 2] + ordered[first + args // 2]) // 2
                total = np.add.reduceat(below, first) % 10
                choices = [ordered[first], ordered[first + args - 1], median, total]
                value[inner] = np.choose(level.token[inner] - FIRST_OPERATOR, choices)
            sizes.append(size)
        return sizes[::-1], value


def _first_children(args: np.ndarray) -> np.ndarray:
    """Where the children of every node that has some begin in the level below."""
    inner = args[args > 0]
    return np.cumsum(inner) - inner


def _grow(grammar: Grammar, random: np.random.Generator) -> Forest:
    """Grow expressions and keep those of an allowed length.

    A single digit is too short, so that all begin with an operator: the distribution of those that are kept is the
    same as if the root were drawn like all other nodes.
    """
    lengths = np.zeros(CANDIDATES, np.int64)
    levels: list[Level] = []
    tree = parent = np.arange(CANDIDATES)
    for depth in range(1, grammar.max_depth + 1):
        count = len(tree)
        inner = random.random(count) < (1.0 if depth == 1 else OPERATOR_PROBABILITY)
        if depth == grammar.max_depth:
            inner[:] = False
        digits = random.integers(1, FIRST_OPERATOR, count)
        operators = random.integers(FIRST_OPERATOR, CLOSE, count)
        args = np.where(inner, random.integers(2, grammar.max_args + 1, count), 0)
        lengths += np.bincount(tree, weights=1 + inner, minlength=CANDIDATES).astype(np.int64)
        # A tree that is too long already does not grow on; it is thrown away below.
        args[lengths[tree] >= grammar.max_length] = 0
        levels.append(Level(tree, parent, np.where(inner, operators, digits), args))
        tree, parent = np.repeat(tree, args), np.repeat(np.arange(count), args)
    return Forest(levels, CANDIDATES).keep((lengths > grammar.min_length) & (lengths < grammar.max_length))
