// The terms of bonded priors over their coordinates (bonded_terms.h), for bonded_kernel.cpp and for other programs.
//
// Numbers of a term are double where all lanes have the same, wide where each lane has its own. The file that includes this one
// has included GENERATED, with ATAN, and BENT: the sine of an angle below which dihedrals are switched off.

#pragma once

#include <algorithm>
#include <cstdlib>

#include "bonded_terms.h"

enum Kind { LENGTH_SPRINGS, ANGLE_SPRINGS, VOLUME_SPRINGS, LENGTH_WALLS, COSINE_WALLS, LINES, DIHEDRALS, LENGTH_SPLINES, SERIES, JOINT_SERIES };  // as in bonded_kernel.py
constexpr int SITES_OF[] = {2, 3, 4, 2, 3, 3, 4, 2, 4, 8}, MOST_SITES = 8, HIGHEST = 8;  // HIGHEST: order of a series

static inline wide positive(wide x) { return x > 0.0 ? x : wide{}; }

struct Spring {
    wide energy, slope;
    template <class T> Spring(wide x, const T* t) {  // centre, stiffness
        const wide off = x - t[0];
        slope = t[1] * off, energy = 0.5 * slope * off;
    }
};

struct Wall {
    wide energy, slope;
    template <class T> Wall(wide x, const T* t) {  // lower, upper, stiffness below, above
        const wide low = positive(t[0] - x), high = positive(x - t[1]);
        energy = 0.5 * (t[2] * low * low + t[3] * high * high), slope = t[3] * high - t[2] * low;
    }
};

struct Line {
    wide energy, slope;
    template <class T> Line(wide cosine, const T* t) : energy(t[0] * (1.0 + cosine)), slope(wide{} + t[0]) {}  // stiffness
};

// The square y of the sine of one angle of a dihedral, and its switch: 1 - (1 - y / BENT^2)^2 below BENT, 1 above.
struct Switch {
    Vector u, v;
    wide uu, vv, uv, value, slope;  // slope: by y
    Switch(const Vector& u, const Vector& v, wide area2) : u(u), v(v), uu(dot(u, u)), vv(dot(v, v)), uv(dot(u, v)) {
        const wide left = positive(1.0 - area2 / (uu * vv) * (1 / (BENT * BENT)));
        value = 1.0 - left * left, slope = left * (2 / (BENT * BENT));
    }
    template <class S> void pull(const S& sites, int64_t first, int64_t middle, int64_t last, wide energy) const {
        const wide f = energy * slope * 2.0 * uv / (uu * vv);  // y = 1 - uv^2 / (uu vv)
        const Vector a = (v - u * (uv / uu)) * f, b = (u - v * (uv / vv)) * f;
        sites.pull(first, a), sites.pull(last, b), sites.pull(middle, -(a + b));
    }
};

static inline double lane(double all, int) { return all; }
static inline double lane(wide each, int k) { return each[k]; }

// Cubic pieces between knots, constant beyond the ends: n + 1 knots, then the factors of four powers of x less the knot of each piece.
struct Pieces {
    wide energy, slope;
    template <class T> Pieces(wide x, const T* t, int64_t n_numbers) {
        const int64_t n = (n_numbers - 1) / 5;
        for (int k = 0; k < WIDE; k++) {
            int64_t piece = 0;
            while (piece < n - 1 && x[k] >= lane(t[piece + 1], k)) piece++;
            const double first = lane(t[0], k), last = lane(t[n], k), inside = std::min(std::max(x[k], first), last);
            const double u = inside - lane(t[piece], k);
            const T* c = t + n + 1 + 4 * piece;
            energy[k] = lane(c[0], k) + u * (lane(c[1], k) + u * (lane(c[2], k) + u * lane(c[3], k)));
            slope[k] = inside == x[k] ? lane(c[1], k) + u * (2 * lane(c[2], k) + 3 * u * lane(c[3], k)) : 0;
        }
    }
};

// Cosine and sine of the multiples 0 ... HIGHEST of a dihedral.
struct Multiples {
    wide c[HIGHEST + 1], s[HIGHEST + 1];
    explicit Multiples(const Dihedral& d) {
        c[0] = wide{} + 1.0, s[0] = wide{};
        for (int m = 1; m <= HIGHEST; m++) c[m] = d.cosine * c[m - 1] - d.sine * s[m - 1], s[m] = d.sine * c[m - 1] + d.cosine * s[m - 1];
    }
};

// sum a cos(n . x) + b sin(n . x) of N dihedrals x; numbers are n, a, b of each term, n the same in all lanes.
template <int N, class S, class T> static inline wide series(const S& sites, const int64_t* s, const T* t, int64_t n_numbers) {
    const Dihedral first(sites, s), last(sites, s + 4 * (N - 1));
    const Multiples one(first), two(last);
    wide energy{}, slopes[N] = {};
    for (const T* end = t + n_numbers; t < end; t += N + 2) {
        const int n = lane(t[0], 0), m = N > 1 ? lane(t[N - 1], 0) : 0;
        const wide a = wide{} + t[N], b = wide{} + t[N + 1];
        const wide c1 = one.c[std::abs(n)], s1 = n < 0 ? -one.s[-n] : one.s[n], c2 = two.c[std::abs(m)], s2 = m < 0 ? -two.s[-m] : two.s[m];
        const wide cosine = c1 * c2 - s1 * s2, sine = s1 * c2 + c1 * s2, turn = b * cosine - a * sine;
        energy += a * cosine + b * sine;
        slopes[0] += double(n) * turn;
        if constexpr (N > 1) slopes[1] += double(m) * turn;
    }
    first.pull(sites, s, slopes[0]);
    if constexpr (N > 1) last.pull(sites, s + 4, slopes[1]);
    return energy;
}

template <class Coordinate, class Shape, class S, class T> static inline wide term(const S& sites, const int64_t* s, const T* numbers) {
    const Coordinate c(sites, s);
    const Shape shape(c.value, numbers);
    c.pull(sites, s, shape.slope);
    return shape.energy;
}

template <class S, class T> static inline wide dihedral(const S& sites, const int64_t* s, const T* series, int64_t orders) {
    const Dihedral d(sites, s);
    const Fourier f(d, series, series + orders, orders);
    const Switch one(d.F, -d.G, dot(d.A, d.A)), two(d.G, d.H, dot(d.B, d.B));
    d.pull(sites, s, f.slope * one.value * two.value);
    one.pull(sites, s[0], s[1], s[2], f.energy * two.value);
    two.pull(sites, s[1], s[2], s[3], f.energy * one.value);
    return f.energy * one.value * two.value;
}

// Energy of one term, whose forces go to its sites.
template <class S, class T> static inline wide add_term(int64_t kind, int64_t n_numbers, const S& sites, const int64_t* s, const T* numbers) {
    switch (kind) {
        case LENGTH_SPRINGS: return term<Length, Spring>(sites, s, numbers);
        case ANGLE_SPRINGS: return term<Angle, Spring>(sites, s, numbers);
        case VOLUME_SPRINGS: return term<SignedVolume, Spring>(sites, s, numbers);
        case LENGTH_WALLS: return term<Length, Wall>(sites, s, numbers);
        case COSINE_WALLS: return term<Cosine, Wall>(sites, s, numbers);
        case LINES: return term<Cosine, Line>(sites, s, numbers);
        case DIHEDRALS: return dihedral(sites, s, numbers, n_numbers / 2);
        case LENGTH_SPLINES: {
            const Length length(sites, s);
            const Pieces shape(length.value, numbers, n_numbers);
            length.pull(sites, s, shape.slope);
            return shape.energy;
        }
        case SERIES: return series<1>(sites, s, numbers, n_numbers);
        case JOINT_SERIES: return series<2>(sites, s, numbers, n_numbers);
    }
    return wide{};
}
