"""Cherenkov light of track segments, made only where a telescope can see it.

For each straight segment and telescope the light cone meets the circle around the dish in a
range of azimuth around the segment; photons are drawn in that range only, which is exact.
Extinction and detection efficiency are part of the expected number, so every photon drawn is
a photo-electron once the reflector sends it into a pixel.
"""

import math

from numba import njit

from .atmosphere import ALTITUDE_STEP, SECANTS
from .kernels import (
    C_M_NS,
    DELAY,
    FAST,
    REFRACTIVITY,
    column,
    normal_pair,
    poisson,
    uniform,
)

__all__ = ["COUNTER", "DAVIES_COTTON", "OPTICS_SIZE", "PARABOLOID", "emit", "in_view"]

FINE_STRUCTURE = 1 / 137.035999
LEAST_COS = 0.3  # light rays are treated as at most this inclined
CORNER_CUT = 2  # facets of the last ring nearer to a corner are missing
SECANT_STEP = SECANTS[1] - SECANTS[0]

#: Kinds of reflectors; a counter is a sphere that counts all light.
PARABOLOID, DAVIES_COTTON, COUNTER = range(3)

#: Columns of a row of optics (lengths in m, angles in rad).
(
    KIND,
    RADIUS,  # of the circle around all facets
    FOCAL,
    COS_FOV,  # cosine of the largest angle of a photon to the axis that can meet a pixel
    BODY,  # half side of the square camera body that shadows the dish
    FOCUS,  # distance of the pixels behind the focal plane
    SIGMA,  # random angle of reflected rays, per axis
    TAIL_FRACTION,
    TAIL_SIGMA,
    PITCH,  # of the facets
    FILL,  # reflecting fraction of a facet's hexagon
    N_RINGS,  # rings of facets around the missing central one
    CELL,  # side of a cell of the pixel table
    HALF,  # half width of the pixel table
    TRANSMISSION,  # of the telescope structure
    OPTICS_SIZE,
) = range(16)


@njit(**FAST)
def cosine_to_axis(ray, shower):
    """Cosine of the angle between where a track comes from and the pointing direction."""
    return -(ray.ux * shower.axis_x + ray.uy * shower.axis_y + ray.uz * shower.axis_z)


@njit(**FAST)
def in_view(ray, shower):
    """Whether light of a track can be seen; asked first, as most calls of `emit` end there."""
    return cosine_to_axis(ray, shower) >= shower.cos_view


@njit(**FAST)
def emit(ray, length, inv_gamma2, view, shower):
    """Light of one straight segment.

    Parameters
    ----------
    ray : Ray
        Start of the segment.
    length : float
        m.
    inv_gamma2 : float
        1 / gamma² of the particle.
    view : View
        Receives the hits.
    shower : Shower
    """
    middle = ray.z + 0.5 * ray.uz * length
    index = 1 + column(shower, middle, REFRACTIVITY)
    sin2 = 1 - 1 / (index * index * (1 - inv_gamma2))
    if sin2 <= 0:
        return
    sin_c, cos_c = math.sqrt(sin2), math.sqrt(1 - sin2)
    per_yield = 2 * math.pi * FINE_STRUCTURE * sin2 * length * ray.w
    shower.light += per_yield
    xm, ym = ray.x + 0.5 * ray.ux * length, ray.y + 0.5 * ray.uy * length
    last_type, mean = -1, 0.0
    for i in range(view.telescopes.shape[0]):
        dx, dy = view.telescopes[i, 0] - xm, view.telescopes[i, 1] - ym
        dz = view.telescopes[i, 2] - middle
        along = dx * ray.ux + dy * ray.uy + dz * ray.uz
        if along <= 1.0:
            continue
        kind = view.types[i]
        radius = view.optics[kind, RADIUS] + 0.5 * length * sin_c / cos_c
        across2 = dx * dx + dy * dy + dz * dz - along * along
        half = half_range(along * sin_c / cos_c, across2, radius)
        if half == 0:
            continue
        if kind != last_type:
            last_type, mean = kind, 0.0
            if cone_in_field(sin_c, cos_c, view.optics[kind, COS_FOV], ray, shower):
                mean = per_yield * view.yields[kind]
                mean *= extinction(view.transmission, kind, middle - shower.obs, -ray.uz)
        n_photons = poisson(shower.rng, mean * half / math.pi)
        if n_photons > 0:
            shine(n_photons, half, dx, dy, dz, i, ray, length, sin_c, cos_c, view, shower)


@njit(**FAST)
def half_range(ring, across2, radius):
    """Half of the azimuth range in which a circle of light meets a telescope; 0: nowhere.

    Parameters
    ----------
    ring, radius : float
        Radii of the circle of light and of the telescope.
    across2 : float
        Squared distance of their centres.
    """
    far, near = ring + radius, ring - radius
    if across2 > far * far or (near > 0 and across2 < near * near):
        return 0.0
    across = math.sqrt(max(across2, 1e-12))
    arg = (ring * ring + across2 - radius * radius) / (2 * ring * across + 1e-12)
    if arg >= 1:
        return 0.0
    return math.pi if arg <= -1 else math.acos(arg)


@njit(**FAST)
def cone_in_field(sin_c, cos_c, cos_field, ray, shower):
    """Whether some light of the cone is within the field of view around the axis."""
    cos_axis = cosine_to_axis(ray, shower)
    sin_axis = math.sqrt(max(0.0, 1 - cos_axis * cos_axis))
    return sin_axis <= sin_c or cos_axis * cos_c + sin_axis * sin_c >= cos_field


@njit(**FAST)
def extinction(transmission, kind, above, cos_zenith):
    """Transmission from ``above`` (m over the observation level) down to it."""
    fa = max(above, 0.0) / ALTITUDE_STEP
    fs = (1 / max(LEAST_COS, cos_zenith) - 1) / SECANT_STEP
    i = min(int(fa), transmission.shape[2] - 2)
    j = min(int(fs), transmission.shape[1] - 2)
    fa, fs = min(fa - i, 1.0), min(fs - j, 1.0)
    low = (1 - fa) * transmission[kind, j, i] + fa * transmission[kind, j, i + 1]
    high = (1 - fa) * transmission[kind, j + 1, i] + fa * transmission[kind, j + 1, i + 1]
    return (1 - fs) * low + fs * high


@njit(**FAST)
def shine(n_photons, half, dx, dy, dz, i, ray, length, sin_c, cos_c, view, shower):
    """Photons within the azimuth range ``half`` of the cone around telescope ``i``."""
    ux, uy, uz = ray.ux, ray.uy, ray.uz
    if abs(uz) < 0.9:
        q = 1 / math.sqrt(ux * ux + uy * uy)
        ex, ey, ez = -uy * q, ux * q, 0.0
    else:
        q = 1 / math.sqrt(uz * uz + uy * uy)
        ex, ey, ez = 0.0, uz * q, -uy * q
    fx, fy, fz = uy * ez - uz * ey, uz * ex - ux * ez, ux * ey - uy * ex
    centre = math.atan2(dx * fx + dy * fy + dz * fz, dx * ex + dy * ey + dz * ez)
    optics = view.optics[view.types[i]]
    axes = view.axes
    for _ in range(n_photons):
        phi = centre + half * (2 * uniform(shower.rng) - 1)
        a, b = sin_c * math.cos(phi), sin_c * math.sin(phi)
        kx = cos_c * ux + a * ex + b * fx
        ky = cos_c * uy + a * ey + b * fy
        kz = cos_c * uz + a * ez + b * fz
        if -(kx * axes[2, 0] + ky * axes[2, 1] + kz * axes[2, 2]) < optics[COS_FOV]:
            continue
        s = length * uniform(shower.rng)
        rx = ray.x + s * ux - view.telescopes[i, 0]
        ry = ray.y + s * uy - view.telescopes[i, 1]
        rz = ray.z + s * uz - view.telescopes[i, 2]
        if optics[KIND] == COUNTER:
            path = -(rx * kx + ry * ky + rz * kz)
            pixel = 0
            if rx * rx + ry * ry + rz * rz - path * path > optics[RADIUS] ** 2:
                continue
        else:
            pixel, path = trace(rx, ry, rz, kx, ky, kz, optics, view, view.types[i], shower)
            if pixel < 0:
                continue
        n = shower.n_hits
        if n >= view.hits.shape[0]:
            shower.lost_hits += 1
            continue
        delay = column(shower, ray.z + s * uz, DELAY) / max(LEAST_COS, -kz)
        view.hits[n, 0], view.hits[n, 1] = i, pixel
        view.hits[n, 2] = ray.t + (s + path + delay) / C_M_NS
        shower.n_hits = n + 1


@njit(**FAST)
def trace(rx, ry, rz, kx, ky, kz, optics, view, kind, shower):
    """Pixel (-1: none) and path (m) of a photon at r (from the dish centre) moving along k."""
    axes = view.axes
    # telescope frame: altitude, azimuth, optical axis
    pa = rx * axes[0, 0] + ry * axes[0, 1] + rz * axes[0, 2]
    pb = rx * axes[1, 0] + ry * axes[1, 1] + rz * axes[1, 2]
    pc = rx * axes[2, 0] + ry * axes[2, 1] + rz * axes[2, 2]
    ka = kx * axes[0, 0] + ky * axes[0, 1] + kz * axes[0, 2]
    kb = kx * axes[1, 0] + ky * axes[1, 1] + kz * axes[1, 2]
    kc = kx * axes[2, 0] + ky * axes[2, 1] + kz * axes[2, 2]
    f = optics[FOCAL]
    d0 = (f - pc) / kc
    if d0 <= 0:
        return -1, 0.0
    pa, pb, pc = pa + d0 * ka, pb + d0 * kb, f
    if abs(pa) < optics[BODY] and abs(pb) < optics[BODY]:
        return -1, 0.0
    if optics[KIND] == PARABOLOID:
        d1, na, nb, nc = paraboloid(pa, pb, ka, kb, kc, optics)
    else:
        d1, na, nb, nc = davies_cotton(pa, pb, ka, kb, kc, optics)
    if d1 < 0:
        return -1, 0.0
    ma, mb, mc = pa + d1 * ka, pb + d1 * kb, pc + d1 * kc
    twice = 2 * (ka * na + kb * nb + kc * nc)
    sigma = optics[SIGMA] if uniform(shower.rng) > optics[TAIL_FRACTION] else optics[TAIL_SIGMA]
    da, db = normal_pair(shower.rng)
    oa = ka - twice * na + sigma * da
    ob = kb - twice * nb + sigma * db
    oc = kc - twice * nc
    d2 = (f + optics[FOCUS] - mc) / oc
    # light from above lands below: the table is in the frame of the sky
    qa = (optics[HALF] - ma - d2 * oa) / optics[CELL]
    qb = (optics[HALF] - mb - d2 * ob) / optics[CELL]
    if qa < 0 or qb < 0:
        return -1, 0.0
    ia, ib = int(qa), int(qb)
    if ia >= view.lookups.shape[1] or ib >= view.lookups.shape[2]:
        return -1, 0.0
    return view.lookups[kind, ia, ib], d0 + d1 + d2


@njit(**FAST)
def paraboloid(pa, pb, ka, kb, kc, optics):
    """Distance (-1: missed) from the focal plane to z = r² / 4f, and the normal there."""
    f = optics[FOCAL]
    qa = ka * ka + kb * kb
    qb = 2 * (pa * ka + pb * kb) - 4 * f * kc
    qc = pa * pa + pb * pb - 4 * f * f
    disc = qb * qb - 4 * qa * qc
    if disc <= 0:
        return -1.0, 0.0, 0.0, 1.0
    d = -2 * qc / (qb + math.sqrt(disc))
    ma, mb = pa + d * ka, pb + d * kb
    if not on_facet(ma, mb, optics)[0]:
        return -1.0, 0.0, 0.0, 1.0
    scale = 1 / math.sqrt(1 + (ma * ma + mb * mb) / (4 * f * f))
    return d, -ma / (2 * f) * scale, -mb / (2 * f) * scale, scale


@njit(**FAST)
def davies_cotton(pa, pb, ka, kb, kc, optics):
    """Distance (-1: missed) from the focal plane to the facet that is hit, and its normal.

    Facet centres lie on a sphere of radius f, facets are spheres of radius 2f whose normals at
    the centre meet the axis at 2f.  Davies and Cotton 1957, doi:10.1016/0038-092X(57)90116-0.
    """
    f = optics[FOCAL]
    d = into_sphere(pa, pb, 0.0, ka, kb, kc, f)
    found, ca, cb = on_facet(pa + d * ka, pb + d * kb, optics)
    if d < 0 or not found:
        return -1.0, 0.0, 0.0, 1.0
    # centre of the facet's sphere: 2f from the facet centre towards (0, 0, 2f)
    cc = f - math.sqrt(f * f - ca * ca - cb * cb)
    to_axis = math.sqrt(ca * ca + cb * cb + (2 * f - cc) ** 2)
    scale = 2 * f / to_axis
    sa, sb, sc = ca * (1 - scale), cb * (1 - scale), cc + scale * (2 * f - cc)
    d = into_sphere(pa - sa, pb - sb, f - sc, ka, kb, kc, 2 * f)
    r = 1 / (2 * f)
    return d, (sa - pa - d * ka) * r, (sb - pb - d * kb) * r, (sc - f - d * kc) * r


@njit(**FAST)
def into_sphere(x, y, z, ka, kb, kc, radius):
    """Distance to the far side of a sphere around the origin; -1 if it is missed."""
    along = x * ka + y * kb + z * kc
    disc = along * along - (x * x + y * y + z * z) + radius * radius
    return -along + math.sqrt(disc) if disc > 0 else -1.0


@njit(**FAST)
def on_facet(a, b, optics):
    """Whether (a, b) is on a hexagonal facet, and that facet's centre (m)."""
    pitch = optics[PITCH]
    q = a * 1.1547005383792517 / pitch  # axial coordinates of a hexagonal lattice
    r = b / pitch - 0.5 * q
    s = -q - r
    iq, ir, i_s = math.floor(q + 0.5), math.floor(r + 0.5), math.floor(s + 0.5)
    eq, er, es = abs(iq - q), abs(ir - r), abs(i_s - s)
    if eq > er and eq > es:
        iq = -ir - i_s
    elif er > es:
        ir = -iq - i_s
    else:
        i_s = -iq - ir
    aq, ar, a_s = abs(iq), abs(ir), abs(i_s)
    ring = max(aq, ar, a_s)
    found = 0 < ring <= optics[N_RINGS]
    if ring == optics[N_RINGS] and min(aq, ar, a_s) < CORNER_CUT:
        found = False
    return found, 0.8660254037844386 * pitch * iq, pitch * (ir + 0.5 * iq)
