"""LLVM IR as text: a thin writer of functions with loops and float32 vectors.

Values are names ("%v7") or literals.  A vector of ``w`` lanes has the type
``<w x float>``; ``w = 1`` is a plain float.  Offsets count floats unless said otherwise.
"""

from contextlib import contextmanager

import numpy as np

__all__ = ["Function", "vector"]


def vector(w):
    """Name of the type of ``w`` float32 lanes."""
    return f"<{w} x float>" if w > 1 else "float"


class Loop:
    """A loop under construction: its index, and values carried from round to round.

    Attributes
    ----------
    index : str
        i64, from 0.
    values : list of str
        Carried values as the body sees them.
    next : list of str
        What the body leaves for the next round; valid behind the loop as well.
    """

    def __init__(self, index, values):
        self.index, self.values, self.next = index, values, []


class Function:
    """Text of one function without result.

    Parameters
    ----------
    name : str
    arguments : tuple of str
        Declarations such as "ptr %in".
    """

    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments
        self.lines, self.declarations = ["entry:"], {}
        self._count = 0

    def __str__(self):
        """Definition of the function."""
        head = f"define void @{self.name}({', '.join(self.arguments)}) noinline nounwind {{"
        return "\n".join([head, *self.lines, "  ret void", "}"])

    def line(self, text):
        """Append an instruction without a result."""
        self.lines.append("  " + text)

    def label(self, name):
        """Begin a basic block."""
        self.lines.append(f"{name}:")

    def number(self):
        """A number that nothing in this function has yet."""
        self._count += 1
        return self._count

    def value(self, instruction):
        """Append an instruction and name its result."""
        name = f"%v{self.number()}"
        self.line(f"{name} = {instruction}")
        return name

    def at(self, pointer, offset, kind="float"):
        """Pointer to element ``offset`` (a number or an i64 value)."""
        if offset == 0:
            return pointer
        return self.value(f"getelementptr {kind}, ptr {pointer}, i64 {offset}")

    def load(self, pointer, offset=0, w=1):
        """``w`` floats in memory."""
        return self.value(f"load {vector(w)}, ptr {self.at(pointer, offset)}, align 4")

    def store(self, value, pointer, offset=0, w=1):
        """Write ``w`` floats."""
        self.line(f"store {vector(w)} {value}, ptr {self.at(pointer, offset)}, align 4")

    def integer(self, pointer, offset):
        """An int32 in memory as i64."""
        narrow = self.value(f"load i32, ptr {self.at(pointer, offset, 'i32')}")
        return self.value(f"sext i32 {narrow} to i64")

    def times(self, index, factor):
        """Product of an i64 value and a number."""
        return self.value(f"mul nuw nsw i64 {index}, {factor}")

    def splat(self, scalar, w):
        """One float in all lanes."""
        if w == 1:
            return scalar
        kind = vector(w)
        one = self.value(f"insertelement {kind} poison, float {scalar}, i64 0")
        zeros = f"<{w} x i32> zeroinitializer"
        return self.value(f"shufflevector {kind} {one}, {kind} poison, {zeros}")

    def constant(self, number, w):
        """A number, rounded to float32, in all lanes."""
        bits = np.array(np.float32(number), np.float64).view(np.uint64)
        literal = f"0x{bits:016X}"
        return literal if w == 1 else "<" + ", ".join([f"float {literal}"] * w) + ">"

    def binary(self, operation, a, b, w):
        """fadd, fsub, fmul, fdiv."""
        return self.value(f"{operation} {vector(w)} {a}, {b}")

    def intrinsic(self, name, arguments, w):
        """Call of ``llvm.<name>`` on floats."""
        kind = vector(w)
        full = f"llvm.{name}." + (f"v{w}f32" if w > 1 else "f32")
        types = ", ".join([kind] * len(arguments))
        self.declarations[full] = f"declare {kind} @{full}({types})"
        return self.value(f"call {kind} @{full}({', '.join(f'{kind} {a}' for a in arguments)})")

    def fma(self, a, b, c, w):
        """Sum a · b + c, fused where the processor can (llvm.fma would call libm elsewhere)."""
        return self.intrinsic("fmuladd", (a, b, c), w)

    def where_positive(self, x, a, b, w):
        """``a`` in lanes where x > 0, otherwise ``b``."""
        kind, flags = vector(w), f"<{w} x i1>" if w > 1 else "i1"
        positive = self.value(f"fcmp ogt {kind} {x}, {self.constant(0, w)}")
        return self.value(f"select {flags} {positive}, {kind} {a}, {kind} {b}")

    def total(self, vectors, w):
        """Pairwise sum of vectors."""
        while len(vectors) > 1:
            half = len(vectors) // 2
            pairs = zip(vectors[:half], vectors[half : 2 * half], strict=True)
            sums = [self.binary("fadd", a, b, w) for a, b in pairs]
            vectors = sums + vectors[2 * half :]
        return vectors[0]

    def lanes_total(self, value, w):
        """Pairwise sum of the lanes of a vector."""
        while w > 1:
            half, kind = w // 2, vector(w)
            parts = []
            for start in (0, half):
                if half == 1:
                    parts.append(self.value(f"extractelement {kind} {value}, i64 {start}"))
                    continue
                lanes = ", ".join(f"i32 {start + i}" for i in range(half))
                shuffle = f"shufflevector {kind} {value}, {kind} poison, <{half} x i32> <{lanes}>"
                parts.append(self.value(shuffle))
            value, w = self.binary("fadd", *parts, half), half
        return value

    @contextmanager
    def loop(self, stop, step=1, carried=()):
        """Loop over range(0, stop, step), entered at least once.

        Parameters
        ----------
        stop : int or str
            Number or i64 value.
        step : int
        carried : sequence of (type, initial value)

        Yields
        ------
        Loop
        """
        k = self.number()
        self.line(f"br label %before{k}")
        self.label(f"before{k}")
        self.line(f"br label %loop{k}")
        self.label(f"loop{k}")
        self.line(f"%i{k} = phi i64 [0, %before{k}], [%n{k}, %latch{k}]")
        loop = Loop(f"%i{k}", [f"%c{k}.{j}" for j in range(len(carried))])
        here = len(self.lines)
        yield loop
        self.line(f"br label %latch{k}")
        self.label(f"latch{k}")
        self.line(f"%n{k} = add nuw nsw i64 %i{k}, {step}")
        again = self.value(f"icmp slt i64 %n{k}, {stop}")
        self.line(f"br i1 {again}, label %loop{k}, label %after{k}")
        self.label(f"after{k}")
        self.lines[here:here] = [
            f"  {name} = phi {kind} [{first}, %before{k}], [{later}, %latch{k}]"
            for name, (kind, first), later in zip(loop.values, carried, loop.next, strict=True)
        ]
