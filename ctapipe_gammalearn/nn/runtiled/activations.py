"""Activations on vectors of float32, accurate to about 2e-7."""

from math import pi
from typing import NamedTuple

__all__ = ["Activation", "activate", "derivative", "sigmoid"]

#: Taylor-like polynomial of exp on |r| < ln 2 / 2 (Cephes expf), highest power first
EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
#: erf(u) = u · P(u²) / Q(u²) on |u| < 3.925: minimax fit, error 4e-8; highest power first
ERF_P = (
    1.98734768e-08,
    -1.99374652e-06,
    0.000149372538,
    0.00399225365,
    0.0514600128,
    0.206590669,
    1.12837877,
)
ERF_Q = (0.00102856292, 0.0149293053, 0.117761109, 0.516414915, 1.0)
ERF_LIMIT = 3.925


class Activation(NamedTuple):
    """An activation by name, and its slope if it has one."""

    name: str
    slope: float = 0.0

    @classmethod
    def of(cls, module):
        """The one that a torch module of `nn.architecture.ACTIVATIONS` computes."""
        names = {"LeakyReLU": "leaky_relu"}
        kind = type(module).__name__
        slope = getattr(module, "negative_slope", getattr(module, "alpha", 0.0))
        return cls(names.get(kind, kind.lower()), float(slope))

    @property
    def short(self):
        """Whether it is a few instructions, to be written out for every accumulator."""
        return self.name in ("relu", "leaky_relu")


def activate(f, activation, x, w):
    """σ(x) of a vector of ``w`` lanes.

    Parameters
    ----------
    f : ctapipe_gammalearn.nn.runtiled.text.Function
    activation : Activation
    x : str
    w : int

    Returns
    -------
    str

    Raises
    ------
    RuntimeError
        For this activation there is no code.
    """
    positive = lambda: f.intrinsic("maxnum", (x, f.constant(0, w)), w)  # noqa: E731
    negative = lambda: f.intrinsic("minnum", (x, f.constant(0, w)), w)  # noqa: E731
    slope = f.constant(activation.slope, w)
    match activation.name:
        case "relu":
            return positive()
        case "leaky_relu":
            return f.fma(negative(), slope, positive(), w)
        case "elu":
            growth = f.binary("fsub", exponential(f, negative(), w), f.constant(1, w), w)
            return f.fma(growth, slope, positive(), w)
        case "silu":
            return f.binary("fmul", x, sigmoid(f, x, w), w)
        case "tanh":  # 1 - 2 / (1 + exp 2x)
            e = exponential(f, f.binary("fadd", x, x, w), w)
            share = f.binary("fdiv", f.constant(-2, w), _plus_one(f, e, w), w)
            return _plus_one(f, share, w)
        case "gelu":
            half = f.binary("fmul", x, f.constant(0.5, w), w)
            u = f.binary("fmul", x, f.constant(0.5**0.5, w), w)
            return f.fma(half, error_function(f, u, w), half, w)
    raise RuntimeError(f"no machine code for the activation {activation.name}")


def derivative(f, activation, x, w):
    """σ'(x) of a vector of ``w`` lanes, with torch's choice at 0; arguments as `activate`."""
    one, zero = f.constant(1, w), f.constant(0, w)
    slope = f.constant(activation.slope, w)
    match activation.name:
        case "relu" | "leaky_relu":
            return f.where_positive(x, one, slope, w)
        case "elu":
            growth = exponential(f, f.intrinsic("minnum", (x, zero), w), w)
            return f.where_positive(x, one, f.binary("fmul", growth, slope, w), w)
        case "silu":  # s + x s (1 - s)
            s = sigmoid(f, x, w)
            rest = f.binary("fmul", s, f.binary("fsub", one, s, w), w)
            return f.fma(x, rest, s, w)
        case "tanh":  # 1 - t²
            t = activate(f, activation, x, w)
            return f.fma(f.binary("fsub", zero, t, w), t, one, w)
        case "gelu":  # Φ(x) + x φ(x)
            u = f.binary("fmul", x, f.constant(0.5**0.5, w), w)
            density = exponential(f, f.binary("fmul", f.binary("fsub", zero, u, w), u, w), w)
            density = f.binary("fmul", density, f.constant((2 * pi) ** -0.5, w), w)
            half = f.constant(0.5, w)
            return f.fma(x, density, f.fma(error_function(f, u, w), half, half, w), w)
    raise RuntimeError(f"no machine code for the derivative of {activation.name}")


def sigmoid(f, x, w):
    """1 / (1 + exp(-x))."""
    e = exponential(f, f.binary("fsub", f.constant(-0.0, w), x, w), w)
    return f.binary("fdiv", f.constant(1, w), _plus_one(f, e, w), w)


def exponential(f, x, w):
    """exp(x) = 2^k exp(r), |r| < ln 2 / 2; arguments are clipped to [-87, 88]."""
    x = _clip(f, x, -87, 88, w)
    k = f.intrinsic("rint", (f.binary("fmul", x, f.constant(1.44269504088896341, w), w),), w)
    r = f.fma(k, f.constant(-0.693359375, w), x, w)  # ln 2 in two parts
    r = f.fma(k, f.constant(2.12194440e-4, w), r, w)
    p = f.fma(_polynomial(f, EXP, r, w), f.binary("fmul", r, r, w), r, w)
    kind = f"<{w} x i32>" if w > 1 else "i32"
    whole = lambda n: f"<{', '.join([f'i32 {n}'] * w)}>" if w > 1 else str(n)  # noqa: E731
    floats = f"<{w} x float>" if w > 1 else "float"
    bits = f.value(f"fptosi {floats} {k} to {kind}")
    bits = f.value(f"add {kind} {bits}, {whole(127)}")
    bits = f.value(f"shl {kind} {bits}, {whole(23)}")  # the exponent of a float32
    return f.binary("fmul", _plus_one(f, p, w), f.value(f"bitcast {kind} {bits} to {floats}"), w)


def error_function(f, u, w):
    """erf(u)."""
    u = _clip(f, u, -ERF_LIMIT, ERF_LIMIT, w)
    t = f.binary("fmul", u, u, w)
    p = f.binary("fmul", u, _polynomial(f, ERF_P, t, w), w)
    return f.binary("fdiv", p, _polynomial(f, ERF_Q, t, w), w)


def _polynomial(f, coefficients, x, w):
    """Horner's rule, highest power first."""
    value = f.constant(coefficients[0], w)
    for coefficient in coefficients[1:]:
        value = f.fma(value, x, f.constant(coefficient, w), w)
    return value


def _plus_one(f, x, w):
    """Sum of x and 1."""
    return f.binary("fadd", x, f.constant(1, w), w)


def _clip(f, x, low, high, w):
    """Vector x between two numbers."""
    x = f.intrinsic("minnum", (x, f.constant(high, w)), w)
    return f.intrinsic("maxnum", (x, f.constant(low, w)), w)
