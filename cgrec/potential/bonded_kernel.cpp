// Energies and forces of bonded priors (bonded_kernel.py), many molecules at a time: frames, and copies within a frame.
//
// Lanes of a vector are molecules, and every block of molecules takes the same path: what comes out for one depends
// neither on those beside it nor on the number of threads.

#include <algorithm>
#include <vector>

#include GENERATED  // ATAN; BENT: the sine of an angle below which dihedrals are switched off
#include "bonded_shapes.h"

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
        for (int64_t k = 0; k < g.n_terms; k++) energy += add_term(g.kind, g.n_numbers, sites(), g.sites + SITES_OF[g.kind] * k, g.numbers + g.n_numbers * k);
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
