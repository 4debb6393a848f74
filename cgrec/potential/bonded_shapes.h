// The terms of bonded priors over their coordinates (bonded_terms.h), for bonded_kernel.cpp and for other programs.
//
// Numbers of a term are double where all lanes have the same, wide where each lane has its own. The file that includes this one
// has included GENERATED, with ATAN, and BENT: the sine of an angle below which dihedrals are switched off.

#pragma once

#include "bonded_terms.h"

enum Kind { LENGTH_SPRINGS, ANGLE_SPRINGS, VOLUME_SPRINGS, LENGTH_WALLS, COSINE_WALLS, LINES, DIHEDRALS };  // as in bonded_kernel.py
constexpr int SITES_OF[] = {2, 3, 4, 2, 3, 3, 4};

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
    }
    return wide{};
}
