// Energies and forces of pair potentials (pairs.py). Every pair stands in the rows of both its sites, so a site's force is the
// sum over its own row.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

struct Pairs {  // as in pairs.py
    int64_t n_frames, n_sites, slots, n_types, threads;
    const int64_t *species, *neighbours;
    const double *positions, *shifts;
    double cutoff;
    double *energies, *forces;
};

// `add(i, j, r2, energy, slope)` sets energy and its slope by r^2, and is called for pairs within the cutoff.
template <class F> void run(const Pairs& p, F add) {
    const double far = p.cutoff * p.cutoff;
    std::vector<double> energies(p.n_frames * p.n_sites);
#pragma omp parallel for num_threads(p.threads) schedule(static)
    for (int64_t i = 0; i < p.n_frames * p.n_sites; i++) {
        double total = 0, force[3] = {0, 0, 0};
        for (int64_t k = i * p.slots; k < (i + 1) * p.slots; k++) {
            const int64_t j = p.neighbours[k];
            double d[3], r2 = 0, energy = 0, slope = 0;
            for (int a = 0; a < 3; a++) d[a] = p.positions[3 * j + a] - p.positions[3 * i + a] + p.shifts[3 * k + a], r2 += d[a] * d[a];
            if (r2 >= far) continue;
            add(i, j, r2, energy, slope);
            total += energy;
            for (int a = 0; a < 3; a++) force[a] += 2 * slope * d[a];
        }
        energies[i] = 0.5 * total;
        for (int a = 0; a < 3; a++) p.forces[3 * i + a] = force[a];
    }
    // In order: the same bits for any number of threads.
    for (size_t i = 0; i < energies.size(); i++) p.energies[i / p.n_sites] += energies[i];
}

// Row s of the excluded pairs of every n sites that follow each other is partners[first[s]] ... partners[first[s + 1] - 1]; first may be null.
extern "C" void excluded_volume(const Pairs* p, const double* diameters, const int64_t* first, const int64_t* partners, int64_t n, double height) {
    const double far = p->cutoff * p->cutoff;
    run(*p, [=](int64_t i, int64_t j, double r2, double& energy, double& slope) {
        if (first) {  // divided once for each site: a division costs as much as the wall
            const int64_t own = i % n, other = j - (i - own);
            if (other >= 0 && other < n)
                for (int64_t k = first[own]; k < first[own + 1]; k++) if (partners[k] == other) return;
        }
        const double diameter = diameters[p->species[i] * p->n_types + p->species[j]];
        const double q = diameter * diameter / r2, left = 1 - r2 / far, q3 = q * q * q, wall = height * q3 * q3 * left * left;
        energy = wall * left;
        slope = -6 * wall * left / r2 - 3 * wall / far;
    });
}

// Cubic pieces (n_types, n_types, n_pieces, 4) in powers of r - knots[piece].
extern "C" void splines(const Pairs* p, int64_t n_pieces, const double* knots, const double* pieces) {
    run(*p, [=](int64_t i, int64_t j, double r2, double& energy, double& slope) {
        const double r = std::sqrt(r2);
        const int64_t place = std::upper_bound(knots + 1, knots + n_pieces, r) - knots - 1;
        const double* c = pieces + ((p->species[i] * p->n_types + p->species[j]) * n_pieces + place) * 4;
        const double t = r - knots[place];
        energy = c[0] + t * (c[1] + t * (c[2] + t * c[3]));
        slope = (c[1] + t * (2 * c[2] + 3 * t * c[3])) / (2 * r);
    });
}
