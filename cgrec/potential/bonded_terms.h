// Bonded coordinates of many molecules side by side, in double precision, with the forces they pass on (force_field.cpp,
// bonded_kernel.cpp). Lanes of a vector are molecules, so what comes out for one does not depend on its company.
//
// The file that includes this one has included GENERATED, with the polynomial ATAN (polynomials.py).

#pragma once

#include <cmath>
#include <cstdint>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#ifdef __AVX512F__
constexpr int WIDE = 8;
#else
constexpr int WIDE = 4;
#endif

typedef double wide __attribute__((vector_size(WIDE * sizeof(double))));

static inline wide root(wide x) {
#if defined(__AVX512F__)
    return (wide)_mm512_sqrt_pd((__m512d)x);
#elif defined(__AVX__)
    return (wide)_mm256_sqrt_pd((__m256d)x);
#else
    for (int k = 0; k < WIDE; k++) x[k] = std::sqrt(x[k]);
    return x;
#endif
}

template <int N, class V, class R> static inline V polynomial(const R (&c)[N], V x) {  // highest power first
    V y = V{} + c[0];
    for (int k = 1; k < N; k++) y = y * x + c[k];
    return y;
}

struct Vector {
    wide x, y, z;
    Vector operator*(wide s) const { return {x * s, y * s, z * s}; }
    Vector operator+(const Vector& b) const { return {x + b.x, y + b.y, z + b.z}; }
    Vector operator-(const Vector& b) const { return {x - b.x, y - b.y, z - b.z}; }
    Vector operator-() const { return {-x, -y, -z}; }
};
static inline wide dot(const Vector& a, const Vector& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static inline Vector cross(const Vector& a, const Vector& b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// Positions and forces of the sites of WIDE molecules: x, y and z of a site, STRIDE vectors from one to the next.
template <int STRIDE> struct Sites {
    const wide* x;
    wide* push;
    Vector operator[](int64_t i) const { return {x[3 * i * STRIDE], x[(3 * i + 1) * STRIDE], x[(3 * i + 2) * STRIDE]}; }
    void pull(int64_t i, const Vector& f) const {
        push[3 * i * STRIDE] += f.x, push[(3 * i + 1) * STRIDE] += f.y, push[(3 * i + 2) * STRIDE] += f.z;
    }
};

// ---- coordinates: their value, and `pull`, which adds the forces of an energy with this slope by them --------------

struct Length {  // of a bond
    Vector d;
    wide value;
    template <class S> Length(const S& sites, const int64_t* s) : d(sites[s[0]] - sites[s[1]]) {
        value = root(dot(d, d) + 1e-60);  // two sites at one place have no direction, and no force
    }
    template <class S> void pull(const S& sites, const int64_t* s, wide slope) const {
        const Vector f = d * (-slope / value);
        sites.pull(s[0], f), sites.pull(s[1], -f);
    }
};

struct Arms {  // of an angle
    Vector u, v;
    wide uu, vv, uv;
    template <class S> Arms(const S& sites, const int64_t* s) {
        const Vector middle = sites[s[1]];
        u = sites[s[0]] - middle, v = sites[s[2]] - middle;
        uu = dot(u, u), vv = dot(v, v), uv = dot(u, v);
    }
    template <class S> static void pull(const S& sites, const int64_t* s, const Vector& first, const Vector& last) {
        sites.pull(s[0], first), sites.pull(s[2], last), sites.pull(s[1], -(first + last));
    }
};

struct Angle : Arms {
    Vector w;
    wide sine, value;  // sine: times the lengths of both arms
    template <class S> Angle(const S& sites, const int64_t* s) : Arms(sites, s), w(cross(u, v)) {
        const wide ww = dot(w, w), lengths = root(uu * vv);
        sine = root(ww) + 1e-30;
        const wide whole = uv < 0.0 ? ww / (lengths - uv) : lengths + uv;  // 1 + cosine, which at a line is a small difference
        const wide z = (sine - whole) / (sine + whole);  // tan of half the angle less 45 degrees
        value = z * polynomial(ATAN, z * z) + M_PI / 2;
    }
    template <class S> void pull(const S& sites, const int64_t* s, wide slope) const {
        const wide size = -slope / sine;
        Arms::pull(sites, s, cross(u, w) * (size / uu), cross(w, v) * (size / vv));
    }
};

struct Cosine : Arms {  // of an angle
    wide norm, value;
    template <class S> Cosine(const S& sites, const int64_t* s) : Arms(sites, s) {
        norm = 1.0 / root(uu * vv), value = uv * norm;
    }
    template <class S> void pull(const S& sites, const int64_t* s, wide slope) const {
        Arms::pull(sites, s, (u * (value / uu) - v * norm) * slope, (v * (value / vv) - u * norm) * slope);
    }
};

struct SignedVolume {  // of the three arms of a branch, as if each had the length one
    Vector u, v, w;
    wide norm, value;
    template <class S> SignedVolume(const S& sites, const int64_t* s) {
        const Vector centre = sites[s[0]];
        u = sites[s[1]] - centre, v = sites[s[2]] - centre, w = sites[s[3]] - centre;
        norm = 1.0 / root(dot(u, u) * dot(v, v) * dot(w, w)), value = dot(u, cross(v, w)) * norm;
    }
    template <class S> void pull(const S& sites, const int64_t* s, wide slope) const {
        const Vector first = arm(u, cross(v, w), slope), second = arm(v, cross(w, u), slope), third = arm(w, cross(u, v), slope);
        sites.pull(s[1], first), sites.pull(s[2], second), sites.pull(s[3], third);
        sites.pull(s[0], -(first + second + third));
    }
    Vector arm(const Vector& a, const Vector& others, wide slope) const {
        return (a * (value / dot(a, a)) - others * norm) * slope;
    }
};

// Its forces as A. Blondel, M. Karplus, J. Comput. Chem. 17, 1132 (1996) write them.
struct Dihedral {
    Vector F, G, H, A, B;
    wide AA, BB, g, cosine, sine;
    template <class S> Dihedral(const S& sites, const int64_t* s) {
        const Vector j = sites[s[1]], k = sites[s[2]];
        F = sites[s[0]] - j, G = j - k, H = sites[s[3]] - k, A = cross(F, G), B = cross(H, G);
        AA = dot(A, A) + 1e-30, BB = dot(B, B) + 1e-30, g = root(dot(G, G));
        const wide norm = 1.0 / root(AA * BB);
        cosine = dot(A, B) * norm, sine = dot(B, F) * norm * (-g);
    }
    template <class S> void pull(const S& sites, const int64_t* s, wide slope) const {
        const Vector first = A * (slope * g / AA), last = B * (slope * g / BB);
        const Vector inner = A * (slope * dot(F, G) / (AA * g)) - B * (slope * dot(H, G) / (BB * g));
        sites.pull(s[0], first), sites.pull(s[3], -last);
        sites.pull(s[1], -(first + inner)), sites.pull(s[2], last + inner);
    }
};

// Energy sum_m c_m cos(m x) + s_m sin(m x), m = 1 ... orders, of a dihedral x, and its slope.
struct Fourier {
    wide energy{}, slope{};
    template <class T> Fourier(const Dihedral& d, const T* cosines, const T* sines, int64_t orders) {
        wide c = wide{} + 1.0, z{};
        for (int64_t m = 1; m <= orders; m++) {
            const wide next = d.cosine * c - d.sine * z;
            z = d.sine * c + d.cosine * z, c = next;
            energy += cosines[m - 1] * c + sines[m - 1] * z;
            slope += double(m) * (sines[m - 1] * c - cosines[m - 1] * z);
        }
    }
};
