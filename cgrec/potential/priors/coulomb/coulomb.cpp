// Energy and forces of an Ewald sum (coulomb.py, which says what is computed) of small periodic or open systems.
//
// A wave (x, y, z) has the phase factor ex^x ey^y ez^z. A row is all waves of one (x, y), in pairs +z and -z, whose
// factors are the same four products: so the structure factors of a row are sums over sites of [a b] x [c s], and the
// forces its transpose, both small matrix products. Lanes are z in the first and sites in the second.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <omp.h>
#include <vector>

#ifdef __AVX512F__
constexpr int LANES = 8, WIDE = 2;
#else
constexpr int LANES = 4, WIDE = 1;
#endif
constexpr int ROWS = 2, STEP = LANES * WIDE, PARTS = 8;

typedef double vec __attribute__((vector_size(LANES * sizeof(double)), aligned(8)));

struct Problem {  // as in coulomb.py; charges are in units that make the energy of a pair q q / r
    int64_t n_frames, n_sites, slots, threads, n_rows, top_x, top_y, top_z, levels, box_stride, weight_stride;
    const int64_t *rows, *neighbours;
    const double *charges, *positions, *shifts, *boxes, *inverses, *alphas, *reaches, *weights, *erfcx;
    double *energies, *forces;
};

static vec& at(std::vector<double>& x, int64_t place) { return *reinterpret_cast<vec*>(&x[place]); }

static double sum(vec a) {
    double total = 0;
    for (int i = 0; i < LANES; i++) total += a[i];
    return total;
}

struct Frame {
    const Problem& p;
    const int64_t n, sites, levels;          // sites: padded with charges of zero; levels: z = 1 ... top_z, padded
    std::vector<double> s[3], force[3], pull[3];  // fractional coordinates; forces, those of waves in fractional directions
    std::vector<double> c[3], z[3], row[2], turned[2], wave;  // phase factors: cosines c, sines z
    std::vector<double> d[3], charge, push;
    std::vector<int64_t> other;

    explicit Frame(const Problem& p) : p(p), n(p.n_sites), sites((n + STEP - 1) / STEP * STEP), levels(p.levels) {
        const int64_t most = std::max(n, p.slots), top[3] = {p.top_x, p.top_y, p.top_z};
        for (int a = 0; a < 3; a++) {
            s[a].assign(sites, 0), force[a].resize(n), pull[a].resize(sites), d[a].resize(most);
            c[a].resize((top[a] + 1) * sites), z[a].resize((top[a] + 1) * sites);
        }
        for (int a = 0; a < 2; a++) row[a].resize(ROWS * sites), turned[a].assign(sites * levels, 0);
        wave.resize(ROWS * levels * PARTS), charge.resize(most), push.resize(most), other.resize(most);
    }

    void evaluate(int64_t f) {
        const double *x = p.positions + 3 * n * f, alpha = p.alphas[f];
        const double *box = p.boxes + p.box_stride * f, *inverse = p.inverses + p.box_stride * f;
        for (int a = 0; a < 3; a++) {
            std::fill(force[a].begin(), force[a].end(), 0.0), std::fill(pull[a].begin(), pull[a].end(), 0.0);
            for (int64_t i = 0; i < n; i++) s[a][i] = x[3 * i] * inverse[a] + x[3 * i + 1] * inverse[3 + a] + x[3 * i + 2] * inverse[6 + a];
        }
        double energy = 0;
        for (int64_t i = 0; i < n; i++) energy -= alpha / std::sqrt(M_PI) * p.charges[i] * p.charges[i];
        for (int64_t i = 0; i < n; i++) {
            const int64_t found = p.slots ? listed(x, f, i) : later(box, i);
            energy += pairs(i, found, alpha, p.reaches[f]);
        }
        if (p.n_rows) phases();
        for (int64_t r = 0; r < p.n_rows; r += ROWS) energy += waves(r, p.weights + p.weight_stride * f);
        p.energies[f] = energy;
        for (int64_t i = 0; i < n; i++)
            for (int k = 0; k < 3; k++) {
                double total = force[k][i];
                for (int a = 0; a < 3; a++) total += 2 * M_PI * inverse[3 * k + a] * pull[a][i];
                p.forces[3 * (n * f + i) + k] = total;
            }
    }

    // ---- real space: vectors to the partners of site i that come after it, so that every pair is met once ----------

    int64_t later(const double* box, int64_t i) {
        const double images = p.n_rows ? 1 : 0;  // an open system has none
        const double *sx = &s[0][i], *sy = &s[1][i], *sz = &s[2][i], *others = p.charges + i;
        double *dx = d[0].data(), *dy = d[1].data(), *dz = d[2].data(), *charges = charge.data();
        const double m[9] = {box[0], box[1], box[2], box[3], box[4], box[5], box[6], box[7], box[8]};
#pragma omp simd
        for (int64_t k = 0; k < n - i - 1; k++) {
            double u = sx[k + 1] - sx[0], v = sy[k + 1] - sy[0], w = sz[k + 1] - sz[0];
            u -= images * std::rint(u), v -= images * std::rint(v), w -= images * std::rint(w);
            dx[k] = u * m[0] + v * m[3] + w * m[6], dy[k] = u * m[1] + v * m[4] + w * m[7], dz[k] = u * m[2] + v * m[5] + w * m[8];
            charges[k] = others[k + 1];
        }
        return n - i - 1;
    }

    int64_t listed(const double* x, int64_t f, int64_t i) {
        const int64_t place = (n * f + i) * p.slots;
        int64_t found = 0;
        for (int64_t slot = place; slot < place + p.slots; slot++) {
            const int64_t j = p.neighbours[slot] - n * f;
            if (j <= i) continue;
            for (int a = 0; a < 3; a++) d[a][found] = x[3 * j + a] - x[3 * i + a] + p.shifts[3 * slot + a];
            charge[found] = p.charges[j], other[found++] = j;
        }
        return found;
    }

    double pairs(int64_t i, int64_t found, double alpha, double reach) {
        const double own = p.charges[i], slope = 2 * alpha / std::sqrt(M_PI), far = reach * reach;
        const double *dx = d[0].data(), *dy = d[1].data(), *dz = d[2].data(), *charges = charge.data(), *erfcx = p.erfcx;
        double energy = 0, *pushes = push.data();
        // erfc(u) = exp(-u^2) erfcx(u), the latter a polynomial of t
#pragma omp simd reduction(+ : energy)
        for (int64_t k = 0; k < found; k++) {
            const double square = dx[k] * dx[k] + dy[k] * dy[k] + dz[k] * dz[k], r = std::sqrt(square);
            const double u = alpha * r, t = (3 - u) / (3 + u), gauss = std::exp(-u * u), q = square < far ? own * charges[k] : 0;
            double series = 0;
#pragma GCC unroll 32
            for (int m = 0; m < N_ERFCX; m++) series = series * t + erfcx[m];
            const double pair = q * gauss * series / r;
            energy += pair;
            pushes[k] = (pair + q * slope * gauss) / square;
        }
        for (int a = 0; a < 3; a++) {
            const double* along = d[a].data();
            double *onto = &force[a][0], total = 0;
            if (p.slots) for (int64_t k = 0; k < found; k++) onto[other[k]] += pushes[k] * along[k];
            else
#pragma omp simd
                for (int64_t k = 0; k < found; k++) onto[i + 1 + k] += pushes[k] * along[k];
            for (int64_t k = 0; k < found; k++) total += pushes[k] * along[k];
            onto[i] -= total;
        }
        return energy;
    }

    // ---- reciprocal space ----------------------------------------------------------------------------------------------

    // Powers of the phase factors of every site, the charge in those along x.
    void phases() {
        const int64_t top[3] = {p.top_x, p.top_y, p.top_z};
        std::vector<double> angle(sites), cosine(sites), sine(sites);
        for (int a = 0; a < 3; a++) {
            for (int64_t i = 0; i < sites; i++) angle[i] = 2 * M_PI * (s[a][i] - std::rint(s[a][i]));
            for (int64_t i = 0; i < sites; i++) cosine[i] = std::cos(angle[i]);
            for (int64_t i = 0; i < sites; i++) sine[i] = std::sin(angle[i]);
            for (int64_t i = 0; i < sites; i++) c[a][i] = i < n ? (a ? 1 : p.charges[i]) : 0, z[a][i] = 0;
            for (int64_t to = sites; to < (top[a] + 1) * sites; to += sites)
                for (int64_t i = 0; i < sites; i++) {
                    const double u = c[a][to - sites + i], v = z[a][to - sites + i];
                    c[a][to + i] = u * cosine[i] - v * sine[i], z[a][to + i] = u * sine[i] + v * cosine[i];
                }
        }
        for (int64_t k = 0; k < p.top_z; k++)
            for (int64_t i = 0; i < n; i++) turned[0][i * levels + k] = c[2][(k + 1) * sites + i], turned[1][i * levels + k] = z[2][(k + 1) * sites + i];
    }

    // ROWS rows from `first`: energy of their waves, whose pull on every site is added.
    double waves(int64_t first, const double* weights) {
        const int64_t* which = p.rows + 3 * first;
        int64_t depth = 0;
        double energy = 0, flat[ROWS][2];  // 2 G conj(S) of the waves with z = 0
        for (int r = 0; r < ROWS; r++) {
            const int64_t x = which[3 * r] * sites, y = std::abs(which[3 * r + 1]) * sites;
            const double sign = which[3 * r + 1] < 0 ? -1 : 1, weight = weights[(first + r) * (2 * levels + 1) + 2 * levels];
            vec real{}, imaginary{};
            for (int64_t i = 0; i < sites; i += LANES) {
                const vec ca = at(c[0], x + i), sa = at(z[0], x + i), cb = at(c[1], y + i), sb = sign * at(z[1], y + i);
                const vec a = ca * cb - sa * sb, b = ca * sb + sa * cb;
                at(row[0], r * sites + i) = a, at(row[1], r * sites + i) = b;
                real += a, imaginary += b;
            }
            const double u = sum(real), v = sum(imaginary);
            energy += weight * (u * u + v * v), flat[r][0] = 2 * weight * u, flat[r][1] = -2 * weight * v;
            depth = std::max(depth, which[3 * r + 2]);
        }
        for (int64_t level = 0; level < depth; level += LANES) energy += structure(first, level, weights);
        for (int64_t i = 0; i < sites; i += STEP) act(which, i, depth, flat);
        return energy;
    }

    // Structure factors S of LANES levels, turned into what acts on the sites: with W = 2 G conj(S) of +z and -z their sum U
    // and difference D, and z times both.
    double structure(int64_t first, int64_t level, const double* weights) {
        vec ac[ROWS]{}, bs[ROWS]{}, as[ROWS]{}, bc[ROWS]{};
        for (int64_t i = 0; i < n; i++) {
            const vec cosine = at(turned[0], i * levels + level), sine = at(turned[1], i * levels + level);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                const double a = row[0][r * sites + i], b = row[1][r * sites + i];
                ac[r] += a * cosine, bs[r] += b * sine, as[r] += a * sine, bc[r] += b * cosine;
            }
        }
        vec energy{};
        for (int r = 0; r < ROWS; r++) {
            const double* weight = weights + (first + r) * (2 * levels + 1) + level;
            const vec up = *reinterpret_cast<const vec*>(weight), down = *reinterpret_cast<const vec*>(weight + levels);
            const vec ur = ac[r] - bs[r], ui = as[r] + bc[r], dr = ac[r] + bs[r], di = bc[r] - as[r];
            energy += up * (ur * ur + ui * ui) + down * (dr * dr + di * di);
            const vec part[4] = {2 * (up * ur + down * dr), -2 * (up * ui + down * di), 2 * (up * ur - down * dr), -2 * (up * ui - down * di)};
            for (int l = 0; l < LANES; l++)
                for (int m = 0; m < 4; m++) {
                    double* to = &wave[(r * levels + level + l) * PARTS];
                    to[m] = part[m][l], to[4 + m] = (level + l + 1) * part[m][l];
                }
        }
        return sum(energy);
    }

    // With H = sum_z W ez, the pull along x and y is x and y times Im(ex ey H).
    void act(const int64_t* which, int64_t i, int64_t depth, const double (*flat)[2]) {
        vec hr[ROWS][WIDE], hi[ROWS][WIDE], zr[ROWS][WIDE]{}, zi[ROWS][WIDE]{};
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < WIDE; v++) hr[r][v] = vec{} + flat[r][0], hi[r][v] = vec{} + flat[r][1];
        for (int64_t k = 0; k < depth; k++) {
            vec cosine[WIDE], sine[WIDE];
            for (int v = 0; v < WIDE; v++) cosine[v] = at(c[2], (k + 1) * sites + i + v * LANES), sine[v] = at(z[2], (k + 1) * sites + i + v * LANES);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                const double* w = &wave[(r * levels + k) * PARTS];
#pragma GCC unroll 4
                for (int v = 0; v < WIDE; v++) {
                    hr[r][v] += w[0] * cosine[v] - w[3] * sine[v], hi[r][v] += w[1] * cosine[v] + w[2] * sine[v];
                    zr[r][v] += w[6] * cosine[v] - w[5] * sine[v], zi[r][v] += w[7] * cosine[v] + w[4] * sine[v];
                }
            }
        }
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < WIDE; v++) {
                const int64_t to = i + v * LANES;
                const vec a = at(row[0], r * sites + to), b = at(row[1], r * sites + to), along = a * hi[r][v] + b * hr[r][v];
                at(pull[0], to) += double(which[3 * r]) * along, at(pull[1], to) += double(which[3 * r + 1]) * along;
                at(pull[2], to) += a * zi[r][v] + b * zr[r][v];
            }
    }
};

extern "C" void coulomb(const Problem* p) {
    const int threads = std::min(p->threads, p->n_frames);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Frame frame(*p);
#pragma omp for schedule(dynamic)
        for (int64_t f = 0; f < p->n_frames; f++) frame.evaluate(f);
    }
}
