// Energy and force of ExcludedVolume (excluded_volume.py). Every pair stands in the rows of both its sites, so a site's force
// is the sum over its own row.

#include <cmath>
#include <cstdint>

extern "C" void excluded_volume(int64_t n_frames, int64_t n_sites, int64_t slots, int64_t n_types, const int64_t* species, const int64_t* neighbours, const double* positions, const double* shifts, const double* diameters, const uint8_t* excluded, double cutoff, double height, double* energies, double* forces, int64_t threads) {
    const double far = cutoff * cutoff;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n_frames * n_sites; i++) {
        double energy = 0, force[3] = {0, 0, 0};
        for (int64_t k = i * slots; k < (i + 1) * slots; k++) {
            const int64_t j = neighbours[k];
            double d[3], r2 = 0;
            for (int a = 0; a < 3; a++) d[a] = positions[3 * j + a] - positions[3 * i + a] + shifts[3 * k + a], r2 += d[a] * d[a];
            if (r2 >= far || (excluded && excluded[i % n_sites * n_sites + j % n_sites])) continue;
            const double diameter = diameters[species[i] * n_types + species[j]];
            const double q = diameter * diameter / r2, left = 1 - r2 / far, q3 = q * q * q, wall = height * q3 * q3 * left * left;
            energy += wall * left;
            const double slope = -6 * wall * left / r2 - 3 * wall / far;  // by r^2
            for (int a = 0; a < 3; a++) force[a] += 2 * slope * d[a];
        }
#pragma omp atomic
        energies[i / n_sites] += 0.5 * energy;
        for (int a = 0; a < 3; a++) forces[3 * i + a] = force[a];
    }
}
