// Energy and forces of a molecular force field (terms.py, which says what is computed), many frames at a time.
//
// Lanes of a vector are frames: every frame of a block takes the same path, so what comes out for one does not depend
// on which others stand beside it. Bonded terms are computed in double precision, pairs in single precision from
// coordinates about the middle of the molecule, and energies are added up in double.
//
// Generalised Born models take three passes over pairs: integrals of each site, energies of pairs, and, once it is
// known how the energy depends on each Born radius, the forces through the integrals. Nothing is kept of a pair from
// one pass to the next: to compute it again is quicker than to fetch it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <vector>

#include GENERATED  // polynomials: EXP2, LOG, ATAN, FAR
#include "../bonded_terms.h"

constexpr int HALF = WIDE, LANES = 2 * HALF;

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef float part __attribute__((vector_size(HALF * sizeof(float))));

struct Problem {  // as in kernel.py
    int64_t n_frames, n_sites, threads, n_bonds, n_angles, n_torsions, n_maps, points, born, neck;
    const double *positions;
    const int64_t *bond_sites, *angle_sites, *torsion_sites, *torsion_orders;
    const double *bond_terms, *angle_terms, *torsion_series;
    const int64_t *map_sites, *map_kinds;
    const double *map_tables;  // of each point: value, slope along the first, the second and both dihedrals
    const float *pairs;        // of each pair: charge product, C6, C12
    const float *born_sites;   // of each site: BORN_SITE numbers
    const float *born_pairs;   // of each pair: square of the distance beyond which it is far
    const float *neck_pairs;   // of each pair: cut, height of i by j, of j by i, distance of i by j, of j by i
    double strength, surface, probe;
    double *energies, *forces;
};

enum BornSite { OFFSET_RADIUS, SCALED_RADIUS, RADIUS, ALPHA, BETA, GAMMA, BORN_CHARGE, BORN_SITE };
constexpr int NECK_PAIR = 5;
constexpr float NEAREST = 1e-6f;  // nm^2: below it 1/r^12 leaves the range of single precision

// ---- functions of vectors ------------------------------------------------------------------------------------------

static inline vec all(float x) { return vec{} + x; }
static inline vec larger(vec a, vec b) { return a > b ? a : b; }

static inline vec reciprocal(vec x) {
#if defined(__AVX512F__)
    const vec y = (vec)_mm512_rcp14_ps((__m512)x);
    return y * (2.0f - x * y);
#else
    return 1.0f / x;
#endif
}

static inline vec root_reciprocal(vec x) {
#if defined(__AVX512F__)
    const vec y = (vec)_mm512_rsqrt14_ps((__m512)x);
    return y * (1.5f - 0.5f * x * y * y);
#elif defined(__AVX__)
    const vec y = (vec)_mm256_rsqrt_ps((__m256)x);
    return y * (1.5f - 0.5f * x * y * y);
#else
    vec y;
    for (int k = 0; k < LANES; k++) y[k] = 1.0f / std::sqrt(x[k]);
    return y;
#endif
}

static inline bool any_below(vec a, vec b) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ) != 0;
#elif defined(__AVX__)
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ)) != 0;
#else
    for (int k = 0; k < LANES; k++)
        if (a[k] < b[k]) return true;
    return false;
#endif
}

static inline vec exponential(vec x) {  // of x <= 0
    const vec y = larger(x * 1.44269504f, all(-126.0f));
    const ivec n = __builtin_convertvector(y - 0.5f, ivec);  // towards zero: the nearest
    const vec p = polynomial(EXP2, y - __builtin_convertvector(n, vec));
    return (vec)((ivec)p + (n << 23));
}

static inline vec logarithm(vec x) {  // of x > 0
    const ivec bits = (ivec)x - 0x3f3504f3;  // mantissas from sqrt(1/2) to sqrt(2)
    const ivec n = bits >> 23;
    const vec m = (vec)((ivec)x - (n << 23)) - 1.0f;
    return m * polynomial(LOG, m) + 0.69314718f * __builtin_convertvector(n, vec);
}

struct Total {  // a sum over what is added, in double
    wide low{}, high{};
    void add(vec x) {
        part halves[2];
        std::memcpy(halves, &x, sizeof x);
        low += __builtin_convertvector(halves[0], wide), high += __builtin_convertvector(halves[1], wide);
    }
};

// ---- Born integrals ------------------------------------------------------------------------------------------------

// What a sphere of (scaled) radius s at distance r takes from the integral of a site of (offset) radius o:
//   (1/L - 1/U + (r - s^2/r) (1/U^2 - 1/L^2) / 4 + log(L/U) / 2r) / 2,  U = r + s, L = max(o, |r - s|).
// Far away, where L = r - s, it is the series s^3/r^4 sum_k (k + 1) / (2k + 3) (s/r)^2k.
struct Shell {
    vec L, iL, iU, inside;
    Shell(vec r, float o, float s) {
        const vec U = r + s, gap = r - s, D = gap < 0.0f ? -gap : gap;
        L = larger(D, all(o));
        const vec product = reciprocal(L * U);
        iL = product * U, iU = product * L;
    }
};

static inline vec near_integral(vec r, vec ir, float o, float s) {
    const Shell b(r, o, s);
    const vec v = 0.5f * (b.iL - b.iU + 0.25f * (r - s * s * ir) * (b.iU * b.iU - b.iL * b.iL)
                          + 0.5f * ir * logarithm(b.L * b.iU));
    return r + s > o ? v : vec{};
}

static inline vec near_slope(vec r, vec ir, float o, float s) {  // of near_integral, by r
    const Shell b(r, o, s);
    const vec v = 0.125f * (1.0f + s * s * ir * ir) * (b.iU * b.iU - b.iL * b.iL)
                  - 0.25f * ir * ir * logarithm(b.L * b.iU);
    const vec engulfed = s - r > o ? b.iL * b.iL : vec{};  // the site lies inside: L grows as r falls
    return r + s > o ? v + engulfed : vec{};
}

static inline vec far_integral(vec ir2, float s) {
    const vec t = s * s * ir2;
    return s * s * s * ir2 * ir2 * polynomial(FAR, t);
}

static inline vec far_slope(vec ir, vec ir2, float s) {
    const vec t = s * s * ir2;
    return s * s * s * ir2 * ir2 * ir * polynomial(FAR_SLOPE, t);
}

// The neck between two spheres: J. Mongan et al., J. Chem. Theory Comput. 3, 156 (2007).
static inline vec neck_shape(vec t) {
    const vec t2 = t * t;
    return 1.0f + 100.0f * t2 + 3e5f * t2 * t2 * t2;
}

static inline vec neck_rise(vec t) {
    const vec t2 = t * t;
    return t * (200.0f + 1.8e6f * t2 * t2);
}

// ---- a block of frames ---------------------------------------------------------------------------------------------

struct Block {
    const Problem& p;
    const int64_t n;
    std::vector<wide> x, push;                // [site][3][2]: positions and bonded forces
    std::vector<vec> at, force;               // [site][3]: about the middle; forces of pairs
    std::vector<vec> integral, radius, inverse, slope;  // [site]; slope: of the energy, by the radius, then by the integral
    wide energy[2];

    explicit Block(const Problem& p) : p(p), n(p.n_sites), x(6 * n), push(6 * n), at(3 * n), force(3 * n),
        integral(n), radius(n), inverse(n), slope(n) {}

    void evaluate(int64_t first) {
        load(first);
        energy[0] = energy[1] = wide{};
        std::fill(push.begin(), push.end(), wide{});
        std::fill(force.begin(), force.end(), vec{});
        for (int h = 0; h < 2; h++) {
            for (int64_t k = 0; k < p.n_bonds; k++) spring<Length>(h, p.bond_sites + 2 * k, p.bond_terms + 2 * k);
            for (int64_t k = 0; k < p.n_angles; k++) spring<Angle>(h, p.angle_sites + 3 * k, p.angle_terms + 2 * k);
            for (int64_t k = 0; k < p.n_torsions; k++)
                torsion(h, p.torsion_sites + 4 * k, p.torsion_series + 13 * k, p.torsion_orders[k]);
            for (int64_t k = 0; k < p.n_maps; k++)
                map(h, p.map_sites + 8 * k, p.map_tables + 4 * p.points * p.points * p.map_kinds[k]);
        }
        if (!p.born) {
            pairs<false>();
        } else {
            p.neck ? integrals<true>() : integrals<false>();
            radii();
            pairs<true>();
            p.neck ? chain<true>() : chain<false>();
        }
        store(first);
    }

    void load(int64_t first) {
        double* to = reinterpret_cast<double*>(x.data());
        float* near = reinterpret_cast<float*>(at.data());
        for (int lane = 0; lane < LANES; lane++) {
            const double* from = p.positions + 3 * n * std::min(first + lane, p.n_frames - 1);
            for (int a = 0; a < 3; a++) {
                double middle = 0;
                for (int64_t i = 0; i < n; i++) middle += from[3 * i + a];
                middle /= n;
                for (int64_t i = 0; i < n; i++) {
                    to[(3 * i + a) * LANES + lane] = from[3 * i + a];
                    near[(3 * i + a) * LANES + lane] = float(from[3 * i + a] - middle);
                }
            }
        }
    }

    void store(int64_t first) {
        const double* bonded = reinterpret_cast<const double*>(push.data());
        const float* pair = reinterpret_cast<const float*>(force.data());
        for (int lane = 0; lane < LANES && first + lane < p.n_frames; lane++) {
            p.energies[first + lane] = energy[lane / HALF][lane % HALF];
            double* to = p.forces + 3 * n * (first + lane);
            for (int64_t k = 0; k < 3 * n; k++) to[k] = bonded[k * LANES + lane] + pair[k * LANES + lane];
        }
    }

    void keep(const Total& total) { energy[0] += total.low, energy[1] += total.high; }

    // ---- bonded terms, half of the lanes at a time ------------------------------------------------------------------

    Sites<2> sites(int h) { return {x.data() + h, push.data() + h}; }

    template <class Coordinate> void spring(int h, const int64_t* s, const double* terms) {
        const Coordinate c(sites(h), s);
        const wide off = c.value - terms[0];
        energy[h] += 0.5 * terms[1] * off * off;
        c.pull(sites(h), s, terms[1] * off);
    }

    void torsion(int h, const int64_t* s, const double* series, int64_t orders) {
        const Dihedral d(sites(h), s);
        const Fourier f(d, series + 1, series + 7, orders);
        energy[h] += series[0] + f.energy;
        d.pull(sites(h), s, f.slope);
    }

    void map(int h, const int64_t* s, const double* table) {
        const Dihedral first(sites(h), s), second(sites(h), s + 4);
        wide e, by_first, by_second;
        for (int k = 0; k < HALF; k++) {
            double found[3];
            patch(table, std::atan2(first.sine[k], first.cosine[k]), std::atan2(second.sine[k], second.cosine[k]), found);
            e[k] = found[0], by_first[k] = found[1], by_second[k] = found[2];
        }
        energy[h] += e;
        first.pull(sites(h), s, by_first), second.pull(sites(h), s + 4, by_second);
    }

    // Value and slopes by both angles, bicubic between the points of a table.
    void patch(const double* table, double first, double second, double* found) const {
        const double step = 2 * M_PI / p.points, angles[2] = {first, second};
        double w[2][4], dw[2][4];  // value at 0, slope at 0, value at 1, slope at 1
        int64_t cell[2];
        for (int a = 0; a < 2; a++) {
            const double place = (angles[a] < 0 ? angles[a] + 2 * M_PI : angles[a]) / step;
            cell[a] = std::clamp<int64_t>(int64_t(place), 0, p.points - 1);  // a lost frame has no angle
            const double t = place - cell[a], far = t * t * (3 - 2 * t), rise = 6 * t * (1 - t);
            w[a][0] = 1 - far, w[a][1] = t * (1 - t) * (1 - t), w[a][2] = far, w[a][3] = -t * t * (1 - t);
            dw[a][0] = -rise, dw[a][1] = (1 - t) * (1 - 3 * t), dw[a][2] = rise, dw[a][3] = t * (3 * t - 2);
        }
        found[0] = found[1] = found[2] = 0;
        for (int a = 0; a < 2; a++)
            for (int b = 0; b < 2; b++) {
                const double* at = table + 4 * ((cell[0] + a) % p.points * p.points + (cell[1] + b) % p.points);
                const double *x = w[0] + 2 * a, *y = w[1] + 2 * b, *dx = dw[0] + 2 * a, *dy = dw[1] + 2 * b;
                found[0] += x[0] * (at[0] * y[0] + at[2] * y[1]) + x[1] * (at[1] * y[0] + at[3] * y[1]);
                found[1] += (dx[0] * (at[0] * y[0] + at[2] * y[1]) + dx[1] * (at[1] * y[0] + at[3] * y[1])) / step;
                found[2] += (x[0] * (at[0] * dy[0] + at[2] * dy[1]) + x[1] * (at[1] * dy[0] + at[3] * dy[1])) / step;
            }
    }

    // ---- pairs ------------------------------------------------------------------------------------------------------

    int64_t row(int64_t i) const { return i * (2 * n - i - 1) / 2 - i - 1; }  // pair (i, j) is number row(i) + j

    template <bool NECK> void integrals() {
        std::fill(integral.begin(), integral.end(), vec{});
        for (int64_t i = 0; i < n; i++) {
            const vec xi = at[3 * i], yi = at[3 * i + 1], zi = at[3 * i + 2];
            const float *site = p.born_sites + BORN_SITE * i, o = site[OFFSET_RADIUS], s = site[SCALED_RADIUS];
            const int64_t first = row(i);
            vec total{};
            for (int64_t j = i + 1; j < n; j++) {
                const vec dx = at[3 * j] - xi, dy = at[3 * j + 1] - yi, dz = at[3 * j + 2] - zi;
                const vec r2 = larger(dx * dx + dy * dy + dz * dz, all(NEAREST)), ir = root_reciprocal(r2), ir2 = ir * ir;
                const float *other = p.born_sites + BORN_SITE * j, oj = other[OFFSET_RADIUS], sj = other[SCALED_RADIUS];
                const vec limit = all(p.born_pairs[first + j]);
                vec mine = far_integral(ir2, sj), its = far_integral(ir2, s);
                const vec r = r2 * ir;
                if (any_below(r2, limit)) {
                    mine = r2 < limit ? near_integral(r, ir, o, sj) : mine;
                    its = r2 < limit ? near_integral(r, ir, oj, s) : its;
                }
                if constexpr (NECK) {
                    const float* neck = p.neck_pairs + NECK_PAIR * (first + j);
                    const vec cut = all(neck[0]);
                    if (any_below(r, cut)) {
                        const vec a = neck_shape(r - neck[3]), b = neck_shape(r - neck[4]), ab = reciprocal(a * b);
                        mine += r < cut ? neck[1] * b * ab : vec{};
                        its += r < cut ? neck[2] * a * ab : vec{};
                    }
                }
                total += mine, integral[j] += its;
            }
            integral[i] += total;
        }
    }

    // Born radii, their own energies, and how both depend on the integrals.
    void radii() {
        Total total;
        for (int64_t i = 0; i < n; i++) {
            const float *site = p.born_sites + BORN_SITE * i, o = site[OFFSET_RADIUS], whole = site[RADIUS];
            const float alpha = site[ALPHA], beta = site[BETA], gamma = site[GAMMA], q = site[BORN_CHARGE];
            const vec psi = integral[i] * o, y = psi * (alpha + psi * (gamma * psi - beta));
            const vec size = y < 0.0f ? -y : y, e = exponential(-2.0f * size), t = (1.0f - e) * reciprocal(1.0f + e);
            const vec tanh = y < 0.0f ? -t : t;
            const vec ib = 1.0f / o - tanh / whole, b = reciprocal(ib);
            const vec by_integral = b * b * (1.0f - tanh * tanh) * o / whole * (alpha + psi * (3.0f * gamma * psi - 2.0f * beta));
            const vec ratio = whole * ib, cube = ratio * ratio * ratio, reach = all(whole + float(p.probe));
            const vec skin = float(p.surface) * reach * reach * cube * cube, self = -0.5f * float(p.strength) * q * q * ib;
            total.add(skin + self);
            radius[i] = b, inverse[i] = ib, integral[i] = by_integral;
            slope[i] = -(6.0f * skin + self) * ib;
        }
        keep(total);
    }

    template <bool BORN> void pairs() {
        Total all_rows;
        for (int64_t i = 0; i < n; i++) {
            const vec xi = at[3 * i], yi = at[3 * i + 1], zi = at[3 * i + 2];
            const float* pair = p.pairs + 3 * row(i);
            vec fx{}, fy{}, fz{}, total{}, bi{}, ibi{}, qi{}, sum{};
            if constexpr (BORN)
                bi = radius[i], ibi = inverse[i], qi = all(float(p.strength) * p.born_sites[BORN_SITE * i + BORN_CHARGE]);
            for (int64_t j = i + 1; j < n; j++) {
                const vec dx = at[3 * j] - xi, dy = at[3 * j + 1] - yi, dz = at[3 * j + 2] - zi;
                const vec d2 = dx * dx + dy * dy + dz * dz, r2 = larger(d2, all(NEAREST)), ir = root_reciprocal(r2), ir2 = ir * ir;
                const vec ir6 = ir2 * ir2 * ir2, coulomb = pair[3 * j] * ir;
                const vec attraction = pair[3 * j + 1] * ir6, repulsion = pair[3 * j + 2] * ir6 * ir6;
                total += coulomb + repulsion - attraction;
                vec f = (coulomb + 12.0f * repulsion - 6.0f * attraction) * ir2;
                if constexpr (BORN) {
                    const vec bb = bi * radius[j], quarter = 0.25f * r2, e = exponential(-quarter * (ibi * inverse[j]));
                    const vec screened = root_reciprocal(r2 + bb * e);
                    const vec g = qi * p.born_sites[BORN_SITE * j + BORN_CHARGE] * screened, g3 = g * screened * screened;
                    total -= g;
                    f -= g3 * (1.0f - 0.25f * e);
                    const vec share = 0.5f * g3 * e * (bb + quarter);
                    sum += share, slope[j] += share * inverse[j];
                }
                push_apart(j, f, dx, dy, dz, fx, fy, fz);
            }
            if constexpr (BORN) slope[i] += sum * ibi;
            force[3 * i] -= fx, force[3 * i + 1] -= fy, force[3 * i + 2] -= fz;
            all_rows.add(total);
        }
        keep(all_rows);
    }

    // A force f (dx, dy, dz) on site j, and the opposite on the site of this row.
    void push_apart(int64_t j, vec f, vec dx, vec dy, vec dz, vec& fx, vec& fy, vec& fz) {
        const vec x = f * dx, y = f * dy, z = f * dz;
        fx += x, fy += y, fz += z;
        force[3 * j] += x, force[3 * j + 1] += y, force[3 * j + 2] += z;
    }

    template <bool NECK> void chain() {
        for (int64_t i = 0; i < n; i++) slope[i] *= integral[i];
        for (int64_t i = 0; i < n; i++) {
            const vec xi = at[3 * i], yi = at[3 * i + 1], zi = at[3 * i + 2], slope_i = slope[i];
            const float *site = p.born_sites + BORN_SITE * i, o = site[OFFSET_RADIUS], s = site[SCALED_RADIUS];
            const int64_t first = row(i);
            vec fx{}, fy{}, fz{};
            for (int64_t j = i + 1; j < n; j++) {
                const vec dx = at[3 * j] - xi, dy = at[3 * j + 1] - yi, dz = at[3 * j + 2] - zi;
                const vec r2 = larger(dx * dx + dy * dy + dz * dz, all(NEAREST)), ir = root_reciprocal(r2), ir2 = ir * ir;
                const float *other = p.born_sites + BORN_SITE * j, oj = other[OFFSET_RADIUS], sj = other[SCALED_RADIUS];
                const vec limit = all(p.born_pairs[first + j]), r = r2 * ir, slope_j = slope[j];
                vec f = slope_i * far_slope(ir, ir2, sj) + slope_j * far_slope(ir, ir2, s);
                if (any_below(r2, limit)) {
                    const vec near = slope_i * near_slope(r, ir, o, sj) + slope_j * near_slope(r, ir, oj, s);
                    f = r2 < limit ? near : f;
                }
                if constexpr (NECK) {
                    const float* neck = p.neck_pairs + NECK_PAIR * (first + j);
                    const vec cut = all(neck[0]);
                    if (any_below(r, cut)) {
                        const vec ta = r - neck[3], tb = r - neck[4], a = neck_shape(ta), b = neck_shape(tb);
                        const vec ab = reciprocal(a * b), ia = b * ab, ib = a * ab;
                        const vec rise = slope_i * neck[1] * neck_rise(ta) * ia * ia + slope_j * neck[2] * neck_rise(tb) * ib * ib;
                        f -= r < cut ? rise : vec{};
                    }
                }
                push_apart(j, -f * ir, dx, dy, dz, fx, fy, fz);
            }
            force[3 * i] -= fx, force[3 * i + 1] -= fy, force[3 * i + 2] -= fz;
        }
    }
};

extern "C" void force_field(const Problem* problem) {
    const Problem& p = *problem;
    const int64_t blocks = (p.n_frames + LANES - 1) / LANES;
    if (!blocks) return;
#pragma omp parallel num_threads(std::min<int64_t>(p.threads, blocks))
    {
        Block block(p);
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++) block.evaluate(b * LANES);
    }
}
