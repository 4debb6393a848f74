// Energies and forces of bonded priors (bonded_kernel.py), many molecules at a time: frames, and copies within a frame.
//
// Lanes of a vector are molecules, and every block of molecules takes the same path: what comes out for one depends
// neither on those beside it nor on the number of threads.

#include <algorithm>
#include <vector>

#include GENERATED  // ATAN; BENT: the sine of an angle below which dihedrals are switched off
#include "bonded_terms.h"

enum Kind { LENGTH_SPRINGS, ANGLE_SPRINGS, VOLUME_SPRINGS, LENGTH_WALLS, COSINE_WALLS, LINES, DIHEDRALS };  // as in bonded_kernel.py
constexpr int SITES_OF[] = {2, 3, 4, 2, 3, 3, 4};

struct Group {  // terms of one kind, as in bonded_kernel.py
    int64_t kind, n_terms, n_numbers;
    const int64_t* sites;
    const double* numbers;
};

struct Problem {  // as in bonded_kernel.py
    int64_t n_frames, n_copies, n_sites, n_groups, threads;
    const Group* groups;
    const double* positions;
    double *energies, *forces;
};

static inline wide positive(wide x) { return x > 0.0 ? x : wide{}; }

struct Spring {
    wide energy, slope;
    Spring(wide x, const double* t) {  // centre, stiffness
        const wide off = x - t[0];
        slope = t[1] * off, energy = 0.5 * slope * off;
    }
};

struct Wall {
    wide energy, slope;
    Wall(wide x, const double* t) {  // lower, upper, stiffness below, above
        const wide low = positive(t[0] - x), high = positive(x - t[1]);
        energy = 0.5 * (t[2] * low * low + t[3] * high * high), slope = t[3] * high - t[2] * low;
    }
};

struct Line {
    wide energy, slope;
    Line(wide cosine, const double* t) : energy(t[0] * (1.0 + cosine)), slope(wide{} + t[0]) {}  // stiffness
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

struct Block {
    const Problem& p;
    std::vector<wide> x, push;  // [site][3]
    wide energy;

    explicit Block(const Problem& p) : p(p), x(3 * p.n_sites), push(3 * p.n_sites) {}

    Sites<1> sites() { return {x.data(), push.data()}; }

    void evaluate(int64_t first, int64_t last, double* energies) {
        const int64_t row = 3 * p.n_sites;
        double* to = reinterpret_cast<double*>(x.data());
        for (int lane = 0; lane < WIDE; lane++) {
            const double* from = p.positions + row * std::min(first + lane, last - 1);
            for (int64_t k = 0; k < row; k++) to[k * WIDE + lane] = from[k];
        }
        energy = wide{};
        std::fill(push.begin(), push.end(), wide{});
        for (int64_t k = 0; k < p.n_groups; k++) add(p.groups[k]);
        const double* found = reinterpret_cast<const double*>(push.data());
        for (int lane = 0; lane < WIDE && first + lane < last; lane++) {
            energies[first + lane] = energy[lane];
            for (int64_t k = 0; k < row; k++) p.forces[row * (first + lane) + k] = found[k * WIDE + lane];
        }
    }

    void add(const Group& g) {
        switch (g.kind) {
            case LENGTH_SPRINGS: return terms<Length, Spring>(g);
            case ANGLE_SPRINGS: return terms<Angle, Spring>(g);
            case VOLUME_SPRINGS: return terms<SignedVolume, Spring>(g);
            case LENGTH_WALLS: return terms<Length, Wall>(g);
            case COSINE_WALLS: return terms<Cosine, Wall>(g);
            case LINES: return terms<Cosine, Line>(g);
            case DIHEDRALS: return dihedrals(g);
        }
    }

    template <class Coordinate, class Shape> void terms(const Group& g) {
        for (int64_t k = 0; k < g.n_terms; k++) {
            const int64_t* s = g.sites + SITES_OF[g.kind] * k;
            const Coordinate c(sites(), s);
            const Shape shape(c.value, g.numbers + g.n_numbers * k);
            energy += shape.energy;
            c.pull(sites(), s, shape.slope);
        }
    }

    void dihedrals(const Group& g) {
        const int64_t orders = g.n_numbers / 2;
        for (int64_t k = 0; k < g.n_terms; k++) {
            const int64_t* s = g.sites + 4 * k;
            const double* series = g.numbers + g.n_numbers * k;
            const Dihedral d(sites(), s);
            const Fourier f(d, series, series + orders, orders);
            const Switch one(d.F, -d.G, dot(d.A, d.A)), two(d.G, d.H, dot(d.B, d.B));
            energy += f.energy * one.value * two.value;
            d.pull(sites(), s, f.slope * one.value * two.value);
            one.pull(sites(), s[0], s[1], s[2], f.energy * two.value);
            two.pull(sites(), s[1], s[2], s[3], f.energy * one.value);
        }
    }
};

extern "C" void bonded(const Problem* problem) {
    const Problem& p = *problem;
    const int64_t n = p.n_frames * p.n_copies, blocks = (n + WIDE - 1) / WIDE;
    std::vector<double> energies(n);
#pragma omp parallel num_threads(std::max<int64_t>(1, std::min(p.threads, blocks)))
    {
        Block block(p);
#pragma omp for schedule(static)
        for (int64_t b = 0; b < blocks; b++) block.evaluate(b * WIDE, n, energies.data());
    }
    for (int64_t k = 0; k < p.n_frames; k++) p.energies[k] = 0;
    for (int64_t k = 0; k < n; k++) p.energies[k / p.n_copies] += energies[k];  // in order
}
