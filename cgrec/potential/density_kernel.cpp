// Energy, force and parameter gradient of a DensityNetwork (network.py, which says what is computed) on a CPU.
//
// The same first-order reverse pass serves both purposes. With plain numbers its pair part gives the forces. With dual
// numbers {value, derivative along a displacement of the sites} the derivative of the parameter gradient is
// d/de grad_theta E(x + e t) = -grad_theta (t . F): all a loss on forces needs, without a second reverse pass.
//
// Channels and hidden units are the lanes of a vector; in the geometry of pairs, neighbours are. Sizes are constants of
// the command line; harmonics and couplings are written out as straight code in a header. Both come from kernel.py.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

using real = REAL;
constexpr int LANES = VECTOR / sizeof(real);
constexpr int NL = L_MAX + 1, NLM = NL * NL, CV = CHANNELS / LANES, MV = 3 * CV, NF = CHANNELS * (1 + NL + N_TRIPLES);
constexpr int TYPES_AT_ONCE = 8, RV = (N_RADIAL + LANES - 1) / LANES, N_MOMENTS = NLM * N_RADIAL;
constexpr int FV = NF / LANES, WV = WIDTH / LANES, OUT = CHANNELS + LANES, OV = OUT / LANES, BLOCK = 8, PARTS = 8, SOME = 64, MANY = 128;

constexpr bool FLOAT = sizeof(real) == 4;
typedef real vec __attribute__((vector_size(VECTOR)));
typedef real quad __attribute__((vector_size(4 * sizeof(real))));
typedef std::conditional_t<FLOAT, int32_t, int64_t> ints __attribute__((vector_size(VECTOR)));

template <class S> struct Dual { S v, d; };

template <class A, class B> inline auto operator+(Dual<A> a, Dual<B> b) { return Dual<decltype(a.v + b.v)>{a.v + b.v, a.d + b.d}; }
template <class A, class B> inline auto operator-(Dual<A> a, Dual<B> b) { return Dual<decltype(a.v - b.v)>{a.v - b.v, a.d - b.d}; }
template <class A, class B> inline auto operator*(Dual<A> a, Dual<B> b) { return Dual<decltype(a.v * b.v)>{a.v * b.v, a.v * b.d + a.d * b.v}; }
template <class A> inline auto operator*(Dual<A> a, vec b) { return Dual<vec>{a.v * b, a.d * b}; }
template <class A> inline Dual<A> operator*(real a, Dual<A> b) { return {a * b.v, a * b.d}; }
template <class A> inline Dual<A> operator-(Dual<A> a) { return {-a.v, -a.d}; }
template <class A, class B> inline void operator+=(Dual<A>& a, B b) { a = a + b; }

template <class V> constexpr bool is_dual = !std::is_same_v<V, vec>;
template <class V> using Scalar = std::conditional_t<is_dual<V>, Dual<real>, real>;

// Element k of a row of vectors.
inline real element(const vec* row, int k) { return reinterpret_cast<const real*>(row)[k]; }
inline Dual<real> element(const Dual<vec>* row, int k) {
    const real* pair = reinterpret_cast<const real*>(row + k / LANES);
    return {pair[k % LANES], pair[k % LANES + LANES]};
}

#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
// In every four lanes those that A, B, C, D name: 0 to 3 of a, 4 to 7 of b.
template <int A, int B, int C, int D, std::size_t... I> inline vec lanes(vec a, vec b, std::index_sequence<I...>) {
    constexpr int picked[4] = {A, B, C, D};
    return __builtin_shufflevector(a, b, (int(I) / 4 * 4 + picked[I % 4] % 4 + picked[I % 4] / 4 * LANES)...);
}
template <int A, int B, int C, int D> inline vec lanes(vec a, vec b) { return lanes<A, B, C, D>(a, b, std::make_index_sequence<LANES>{}); }

// What the lanes of each of four vectors add up to.
inline quad sums(const vec* four) {
    vec two[2];
    for (int i = 0; i < 2; i++) {
        const vec a = four[2 * i], b = four[2 * i + 1];
        two[i] = lanes<0, 4, 1, 5>(a, b) + lanes<2, 6, 3, 7>(a, b);
    }
    const vec one = lanes<0, 1, 4, 5>(two[0], two[1]) + lanes<2, 3, 6, 7>(two[0], two[1]);
    quad total{};
    for (int q = 0; q < LANES / 4; q++) total += reinterpret_cast<const quad*>(&one)[q];
    return total;
}
#else
inline quad sums(const vec* four) {
    quad total{};
    for (int i = 0; i < 4; i++)
        for (int lane = 0; lane < LANES; lane++) total[i] += four[i][lane];
    return total;
}
#endif

template <class F> inline vec map(vec a, F f) {
    vec out;
    for (int i = 0; i < LANES; i++) out[i] = f(a[i]);
    return out;
}

#include GENERATED  // N_GRADIENTS, harmonics, harmonic_gradients, turning; couple, couple_back

// ---- small matrix products -------------------------------------------------------------------------------------------

// R rows of x times N columns of w. Few sums would wait for each other: then some go side by side, each over a part of k.
template <int R, int N, int KV, int NV, class V> inline void tile(const V* x, const vec* w, V* y, bool add) {
    constexpr int SUMS = R * N * (is_dual<V> ? 2 : 1), U = SUMS < 4 ? 4 : SUMS < 8 ? 2 : 1;
    V acc[U][R][N];
    for (int u = 0; u < U; u++)
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) acc[u][r][n] = add && u == 0 ? y[r * NV + n] : V{};
    for (int k = 0; k < KV * LANES; k += U)
#pragma GCC unroll 4
        for (int u = 0; u < U; u++)
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const Scalar<V> a = element(x + r * KV, k + u);
#pragma GCC unroll 4
                for (int n = 0; n < N; n++) acc[u][r][n] += a * w[(k + u) * NV + n];
            }
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) {
            y[r * NV + n] = acc[0][r][n];
            for (int u = 1; u < U; u++) y[r * NV + n] += acc[u][r][n];
        }
}

// y = x w (+ y): x (rows, KV * LANES), w (KV * LANES, NV * LANES); of w and y the columns from FROM * LANES on.
template <int KV, int NV, int FROM = 0, class V> inline void multiply(int rows, const V* x, const vec* w, V* y, bool add = false) {
    constexpr int M = NV - FROM, N = M % 3 == 0 ? 3 : M % 2 == 0 ? 2 : 1, R = is_dual<V> ? 2 : 4;
    for (int n = FROM; n < NV; n += N) {  // the columns of w stay in the nearest cache for all rows
        int r = 0;
        auto some = [&](auto many) {
            tile<decltype(many)::value, N, KV, NV>(x + r * KV, w + n, y + r * NV + n, add);
            r += many;
        };
        while (r + R <= rows) some(std::integral_constant<int, R>{});
        if (R > 3 && r + 3 <= rows) some(std::integral_constant<int, 3>{});
        if (R > 2 && r + 2 <= rows) some(std::integral_constant<int, 2>{});
        if (r < rows) some(std::integral_constant<int, 1>{});
    }
}

// g += derivative of x^T y, K rows of g times N columns at once: few enough for registers, enough that loads keep up.
template <int KV, int NV> inline void outer(int rows, const Dual<vec>* x, const Dual<vec>* y, vec* g) {
    constexpr int N = NV % 2 == 0 ? 2 : NV % 3 == 0 ? 3 : 1, K = N == 3 ? 2 : 4;
    for (int k = 0; k < KV * LANES; k += K)
        for (int n = 0; n < NV; n += N) {
            vec acc[K][N];
            for (int u = 0; u < K; u++)
                for (int i = 0; i < N; i++) acc[u][i] = g[(k + u) * NV + n + i];
            for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
                for (int u = 0; u < K; u++) {
                    const Dual<real> a = element(x + r * KV, k + u);
#pragma GCC unroll 4
                    for (int i = 0; i < N; i++) acc[u][i] += a.v * y[r * NV + n + i].d + a.d * y[r * NV + n + i].v;
                }
            for (int u = 0; u < K; u++)
                for (int i = 0; i < N; i++) g[(k + u) * NV + n + i] = acc[u][i];
        }
}

// exp(a), |a| cut to MOST: 2^n times the series of the rest, which is at most log(2) / 2.
inline vec exponential(vec a) {
    constexpr int TERMS = FLOAT ? 7 : 13, BITS = FLOAT ? 23 : 52, BIAS = FLOAT ? 127 : 1023;
    constexpr real MOST = FLOAT ? 80 : 700;
    a = a < -MOST ? vec{} - MOST : a;
    a = a > MOST ? vec{} + MOST : a;
    // Truncation rounds a positive number down.
    const ints n = __builtin_convertvector(a * real(1.4426950408889634) + real(BIAS + 0.5), ints);
    const vec rest = a - __builtin_convertvector(n - BIAS, vec) * real(0.6931471805599453);
    vec series = vec{} + 1;
    for (int k = TERMS; k > 0; k--) series = 1 + series * rest * real(1.0 / k);
    const ints power = n << BITS;
    return series * reinterpret_cast<const vec&>(power);
}

// Finite for every z: with -ffast-math, 1 / inf need not be 0.
inline vec logistic(vec z) { return 1 / (1 + exponential(-z)); }

// h = silu(z), slope = silu'(z).
inline void silu(vec z, vec& h, vec& slope) {
    const vec s = logistic(z);
    h = z * s;
    slope = s + h * (1 - s);
}
inline void silu(Dual<vec> z, Dual<vec>& h, Dual<vec>& slope) {
    const vec s = logistic(z.v);
    const Dual<vec> sigma{s, s * (1 - s) * z.d}, one{vec{} + 1, vec{}};
    h = z * sigma;
    slope = sigma + h * (one - sigma);
}

// ---- what is given ---------------------------------------------------------------------------------------------------

struct Layer {  // in the order kernel.py packs them; a ...T is the transpose
    const vec *radial, *mix, *mixT, *first, *firstT, *bias, *second, *secondT, *second_bias, *out, *outT;
};
struct LayerGradient { vec *radial, *mix, *first, *bias, *second, *second_bias, *out; };

// Another program's processes that share the sites of one system. Every one has images of sites that others own behind its own.
struct Shared {
    virtual void spread(vec* states) = 0;   // of sites to their images
    virtual void gather(vec* gradients) = 0;  // of images added to those of their sites
};

struct Problem {
    int64_t n_frames, n_sites, own, slots, n_layers, n_types, threads;  // own: sites whose energies are asked for, the first ones
    const int64_t *species, *neighbours;
    const double *positions, *shifts, *tangent, *energy_gradient;
    double cutoff, norm, scale;
    const double* site_energy;  // of each type, beside the network
    const vec* embedding;
    const Layer* layers;
    double *energies, *forces;
    real* descriptors;
    vec* embedding_gradient;
    const LayerGradient* gradients;
    double* site_energies;        // (own,) added to; may be null
    const int *const *lists;      // of LISTS: neighbours of each site, and how many
    const int* lengths;
    Shared* shared;               // null where one process has all sites
};

// The neighbours of a site: a row of `slots` in a table with shifts to images, or lists in which images are sites of their own.
#ifdef LISTS
inline int64_t how_many(const Problem& p, int64_t site) { return p.lengths[site]; }
inline int64_t neighbour(const Problem& p, int64_t site, int64_t k) { return p.lists[site][k] & LISTS; }
inline double shift(const Problem&, int64_t, int64_t, int) { return 0; }
#else
inline int64_t how_many(const Problem& p, int64_t) { return p.slots; }
inline int64_t neighbour(const Problem& p, int64_t site, int64_t k) { return p.neighbours[site * p.slots + k]; }
inline double shift(const Problem& p, int64_t site, int64_t k, int axis) { return p.shifts[3 * (site * p.slots + k) + axis]; }
#endif

// The states of the first layer are those of types, so sums over neighbours of one type need no channels: with their moments
//     A[m][n] = sum over neighbours of (harmonic m) (radial function n)
// a density is sum over types and n of A[m][n] (state of the type) (radial weight n), and the forces take the same weights once a site.
struct OfTypes {
    std::vector<vec> weights;     // (types, NL, N_RADIAL, CV): radial weights times states
    std::vector<vec> transposed;  // (types, NL, CHANNELS, RV): the same, functions in the lanes

    explicit OfTypes(const Problem& p) {
        if (p.n_types > TYPES_AT_ONCE) return;
        weights.resize(p.n_types * NL * N_RADIAL * CV), transposed.resize(p.n_types * NL * CHANNELS * RV);
        for (int64_t row = 0; row < p.n_types * NL; row++)
            for (int n = 0; n < N_RADIAL; n++)
                for (int c = 0; c < CV; c++) {
                    const vec w = p.layers[0].radial[(row % NL * N_RADIAL + n) * CV + c] * p.embedding[row / NL * CV + c];
                    weights[(row * N_RADIAL + n) * CV + c] = w;
                    for (int i = 0; i < LANES; i++) reinterpret_cast<real*>(&transposed[(row * CHANNELS + c * LANES + i) * RV])[n] = w[i];
                }
    }
};

// ---- pairs -----------------------------------------------------------------------------------------------------------

// sin(pi x) and cos(pi x) of 0 < x < 1, by the series of half the angle.
inline void half_turn(vec x, vec& sine, vec& cosine) {
    constexpr int TERMS = FLOAT ? 7 : 11;
    const vec half = real(1.5707963267948966) * x, z = half * half;
    vec odd = vec{} + 1, even = vec{} + 1;
    for (int k = TERMS; k > 0; k--) odd = 1 - z * odd * real(1.0 / (2 * k * (2 * k + 1))), even = 1 - z * even * real(1.0 / ((2 * k - 1) * 2 * k));
    odd *= half;
    sine = 2 * odd * even, cosine = 1 - 2 * odd * odd;
}

struct Group { int64_t type; int begin, end; };  // blocks of neighbours of one type

template <class V> struct Pairs {
    int count = 0;
    std::vector<int64_t> other;
    std::vector<double> raw;         // x y z (and their tangents) of each neighbour within reach
    std::vector<Group> groups;       // empty where moments do not pay
    std::vector<int64_t> unsorted_other;
    std::vector<double> unsorted;
    std::vector<Scalar<V>> moments;  // (groups, NLM, N_RADIAL)
    std::vector<V> direction, harmonic, bessel;
    std::vector<vec> slope, gradient, inverse, radial, change;  // of plain numbers only

    explicit Pairs(int64_t slots) {
        const int most = (slots + LANES - 1) / LANES + 1 + TYPES_AT_ONCE;  // each group begins a block of its own
        other.resize(most * LANES), raw.resize(most * LANES * 6);
        direction.resize(most * 3), harmonic.resize(most * NLM), bessel.resize(most * N_RADIAL);
        if (is_dual<V>) return;
        slope.resize(most * N_RADIAL), gradient.resize(most * N_GRADIENTS), inverse.resize(most);
        radial.resize(most * LANES * NL * CV), change.resize(most * LANES * NL * CV);
    }

    void find(const Problem& p, int64_t site, bool of_types) {
        const double far = p.cutoff * p.cutoff, x = p.positions[3 * site], y = p.positions[3 * site + 1], z = p.positions[3 * site + 2];
        const int64_t many = how_many(p, site);
        int64_t* who = other.data();
        double* to = raw.data();
        for (int64_t k = 0; k < many; k++) {
            const int64_t j = neighbour(p, site, k);
            const double* at = p.positions + 3 * j;
            const double d[3] = {at[0] - x + shift(p, site, k, 0), at[1] - y + shift(p, site, k, 1), at[2] - z + shift(p, site, k, 2)};
            // Written first, counted then: a branch on the distance of moving sites could not be predicted.
            to[0] = d[0], to[1] = d[1], to[2] = d[2], *who = j;
            if constexpr (is_dual<V>)
                for (int a = 0; a < 3; a++) to[3 + a] = p.tangent[3 * j + a] - p.tangent[3 * site + a];
            const bool near = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < far;
            who += near, to += near ? 6 : 0;
        }
        count = who - other.data();
        groups.clear();
        if (of_types && p.n_types <= TYPES_AT_ONCE) group(p, site);
        for (int k = count; k % LANES; k++) far_away(p, site, k);
        for (int block = 0; block * LANES < count; block++) functions(p, block);
    }

    // Fills a vector with what is just out of reach.
    void far_away(const Problem& p, int64_t site, int k) {
        for (int a = 0; a < 6; a++) raw[6 * k + a] = a == 0 ? p.cutoff : 0;
        other[k] = site;
    }

    // Neighbours type by type, each from a new block on, where there are enough of each.
    void group(const Problem& p, int64_t site) {
        int many[TYPES_AT_ONCE] = {}, types = 0;
        for (int k = 0; k < count; k++) many[p.species[other[k]]]++;
        for (int t = 0; t < TYPES_AT_ONCE; t++) types += many[t] > 0;
        if (2 * count < LANES * types || count == 0) return;
        int place[TYPES_AT_ONCE], blocks = 0;
        for (int t = 0; t < TYPES_AT_ONCE; t++) {
            place[t] = blocks * LANES;
            if (many[t]) groups.push_back({t, blocks, blocks + (many[t] + LANES - 1) / LANES}), blocks = groups.back().end;
        }
        if (types == 1) return;
        unsorted.assign(raw.begin(), raw.begin() + 6 * count), unsorted_other.assign(other.begin(), other.begin() + count);
        for (const Group& one : groups)
            for (int k = one.begin * LANES; k < one.end * LANES; k++) far_away(p, site, k);
        for (int k = 0; k < count; k++) {
            const int to = place[p.species[unsorted_other[k]]]++;
            std::copy_n(&unsorted[6 * k], 6, &raw[6 * to]), other[to] = unsorted_other[k];
        }
        count = blocks * LANES;
    }

    // Moments of each group.
    void find_moments() {
        constexpr int WHOLE = (N_RADIAL + 3) / 4 * 4, NUMBERS = is_dual<V> ? 2 : 1;
        moments.resize(groups.size() * N_MOMENTS);
        Scalar<V>* out = moments.data();
        for (const Group& one : groups)
            for (int m = 0; m < NLM; m++, out += N_RADIAL) {
                V acc[N_RADIAL] = {};
                for (int block = one.begin; block < one.end; block++)
#pragma GCC unroll 8
                    for (int n = 0; n < N_RADIAL; n++) acc[n] += harmonic[block * NLM + m] * bessel[block * N_RADIAL + n];
                for (int part = 0; part < NUMBERS; part++) {  // values, then derivatives
                    vec some[WHOLE] = {};
                    for (int n = 0; n < N_RADIAL; n++) some[n] = reinterpret_cast<const vec*>(acc)[n * NUMBERS + part];
                    for (int n = 0; n < WHOLE; n += 4) {
                        const quad four = sums(some + n);
                        for (int i = 0; i < 4 && n + i < N_RADIAL; i++) reinterpret_cast<real*>(out)[(n + i) * NUMBERS + part] = four[i];
                    }
                }
            }
    }

    void functions(const Problem& p, int block) {
        vec d[6];
        for (int i = 0; i < LANES; i++)
            for (int a = 0; a < 6; a++) d[a][i] = raw[6 * (block * LANES + i) + a];
        const vec r = map(d[0] * d[0] + d[1] * d[1] + d[2] * d[2], [](real a) { return std::sqrt(a); });
        const vec near = 1 / r;
        const vec u[3] = {d[0] * near, d[1] * near, d[2] * near};
        V* towards = &direction[block * 3];
        [[maybe_unused]] vec speed{};
        if constexpr (is_dual<V>) {
            speed = u[0] * d[3] + u[1] * d[4] + u[2] * d[5];
            for (int a = 0; a < 3; a++) towards[a] = {u[a], (d[3 + a] - u[a] * speed) * near};
        } else {
            for (int a = 0; a < 3; a++) towards[a] = u[a];
            harmonic_gradients(u[0], u[1], u[2], &gradient[block * N_GRADIENTS]);
            inverse[block] = near;
        }
        harmonics(towards[0], towards[1], towards[2], &harmonic[block * NLM]);

        // sin(n pi x) and cos(n pi x), each turned from the last, under the envelope of network.py over x.
        const real pi = 3.14159265358979323846, inverse_cutoff = 1 / p.cutoff;
        const vec x = r * inverse_cutoff, left = 1 - x, x2 = x * x;
        const vec poly = 1 + 3 * x + 6 * x2 + x2 * x * (10 + 15 * x + 21 * x2);
        const vec height = real(p.norm * p.cutoff) * left * left * left * poly * near;
        const vec fall = real(-168 * p.norm) * inverse_cutoff * x2 * x2 * left * left - height * near;
        vec s1, c1;
        half_turn(x, s1, c1);
        vec s = s1, c = c1;
        for (int n = 0; n < N_RADIAL; n++) {
            const vec value = s * height, change = (n + 1) * pi * inverse_cutoff * c * height + s * fall;
            if constexpr (is_dual<V>) bessel[block * N_RADIAL + n] = {value, change * speed};
            else bessel[block * N_RADIAL + n] = value, slope[block * N_RADIAL + n] = change;
            const vec turned = s * c1 + c * s1;
            c = c * c1 - s * s1, s = turned;
        }
    }

    // Radial functions of all pairs, or their slopes: (count, NL, CV) from N_RADIAL functions of each. Some pairs at once, so that weights
    // are loaded for several and sums do not wait for each other.
    static void radials(int count, const vec* functions, const Layer& layer, vec* out) {
        constexpr int R = CV > 3 ? 2 : CV > 1 || LANES < 8 ? 4 : 8;
        for (int k = 0; k < count; k += R) {
            const real* row = reinterpret_cast<const real*>(functions + k / LANES * N_RADIAL) + k % LANES;
            for (int l = 0; l < NL; l++) {
                vec acc[R][CV] = {};
                for (int n = 0; n < N_RADIAL; n++)
#pragma GCC unroll 8
                    for (int r = 0; r < R; r++)
                        for (int c = 0; c < CV; c++) acc[r][c] += row[n * LANES + r] * layer.radial[(l * N_RADIAL + n) * CV + c];
                for (int r = 0; r < R; r++)
                    for (int c = 0; c < CV; c++) out[((k + r) * NL + l) * CV + c] = acc[r][c];
            }
        }
    }

    // Lane `pair` of function k among n in `all`.
    template <class T> static auto at(const std::vector<T>& all, int n, int k, int pair) {
        return element(&all[pair / LANES * n + k], pair % LANES);
    }
};

template <class F> inline void each_degree(F one) {
    one(std::integral_constant<int, 0>{});
    one(std::integral_constant<int, 1>{});
    if constexpr (L_MAX > 1) one(std::integral_constant<int, 2>{});
    if constexpr (L_MAX > 2) one(std::integral_constant<int, 3>{});
}

// a (NLM, CV) = densities of one site.
template <class V> void density(const Pairs<V>& pairs, const Layer& layer, const V* state, V* a) {
    auto one = [&](auto degree) {
        constexpr int l = decltype(degree)::value, M = 2 * l + 1;
        V acc[M][CV] = {};
        for (int k = 0; k < pairs.count; k++) {
            V radial[CV] = {};
            if constexpr (is_dual<V>)
                for (int n = 0; n < N_RADIAL; n++) {
                    const auto b = Pairs<V>::at(pairs.bessel, N_RADIAL, n, k);
                    for (int c = 0; c < CV; c++) radial[c] += b * layer.radial[(l * N_RADIAL + n) * CV + c];
                }
            else
                for (int c = 0; c < CV; c++) radial[c] = pairs.radial[(k * NL + l) * CV + c];
            for (int c = 0; c < CV; c++) radial[c] = radial[c] * state[pairs.other[k] * CV + c];
#pragma GCC unroll 8
            for (int m = 0; m < M; m++) {
                const auto y = Pairs<V>::at(pairs.harmonic, NLM, l * l + m, k);
                for (int c = 0; c < CV; c++) acc[m][c] += y * radial[c];
            }
        }
        for (int m = 0; m < M; m++)
            for (int c = 0; c < CV; c++) a[(l * l + m) * CV + c] = acc[m][c];
    };
    each_degree(one);
}

// The same from moments.
template <class V> void density_by_moments(const Pairs<V>& pairs, const OfTypes& of, V* a) {
    std::fill(a, a + NLM * CV, V{});
    const Scalar<V>* moments = pairs.moments.data();
    for (const Group& group : pairs.groups) {
        auto one = [&](auto degree) {
            constexpr int l = decltype(degree)::value, M = 2 * l + 1;
            const vec* weights = &of.weights[(group.type * NL + l) * N_RADIAL * CV];
            for (int c = 0; c < CV; c++) {
                V acc[M];
                for (int m = 0; m < M; m++) acc[m] = a[(l * l + m) * CV + c];
                for (int n = 0; n < N_RADIAL; n++)
#pragma GCC unroll 8
                    for (int m = 0; m < M; m++) acc[m] += moments[(l * l + m) * N_RADIAL + n] * weights[n * CV + c];
                for (int m = 0; m < M; m++) a[(l * l + m) * CV + c] = acc[m];
            }
        };
        each_degree(one);
        moments += N_MOMENTS;
    }
}

// What the neighbours of a block do to a site and it to them. pulls: dE/dharmonic; in place of that of the first harmonic, which is
// constant: of the distance by the radial functions.
inline void push(const Pairs<vec>& pairs, int block, int n, const vec* pulls, double* own, double* forces) {
    const vec *harmonic = &pairs.harmonic[block * NLM], *direction = &pairs.direction[block * 3], near = pairs.inverse[block];
    vec along = pulls[0], turn[3];
    for (int l = 1; l < NL; l++)
        for (int m = l * l; m < (l + 1) * (l + 1); m++) along -= real(l) * near * harmonic[m] * pulls[m];
    turning(&pairs.gradient[block * N_GRADIENTS], pulls, turn);
    for (int a = 0; a < 3; a++) turn[a] = direction[a] * along + near * turn[a];
    const int64_t* who = &pairs.other[block * LANES];
    for (int k = 0; k < n; k++) {
        double* other = forces + 3 * who[k];
        for (int a = 0; a < 3; a++) {
            const double force = turn[a][k];
            own[a] += force, other[a] -= force;
        }
    }
}

// Forces of one site's densities from g = dE/da, by moments: dE/dA first, then pairs are the lanes.
inline void back_by_moments(const Pairs<vec>& pairs, const OfTypes& of, const vec* g, int64_t site, double* forces) {
    double own[3] = {};
    for (const Group& group : pairs.groups) {
        vec rows[NLM * RV];  // dE/dA[m][n]
        auto one = [&](auto degree) {
            constexpr int l = decltype(degree)::value, M = 2 * l + 1, U = l == 0 ? 4 : l == 1 ? 2 : 1;  // as in `tile`
            const vec* weights = &of.transposed[(group.type * NL + l) * CHANNELS * RV];
            vec acc[U][M * RV] = {};
            for (int c = 0; c < CHANNELS; c += U)
#pragma GCC unroll 4
                for (int u = 0; u < U; u++)
#pragma GCC unroll 8
                    for (int m = 0; m < M; m++)
                        for (int i = 0; i < RV; i++) acc[u][m * RV + i] += element(g + (l * l + m) * CV, c + u) * weights[(c + u) * RV + i];
            for (int m = 0; m < M * RV; m++) {
                rows[l * l * RV + m] = acc[0][m];
                for (int u = 1; u < U; u++) rows[l * l * RV + m] += acc[u][m];
            }
        };
        each_degree(one);
        for (int block = group.begin; block < group.end; block++) {
            const vec *harmonic = &pairs.harmonic[block * NLM], *value = &pairs.bessel[block * N_RADIAL], *slope = &pairs.slope[block * N_RADIAL];
            vec pulls[NLM] = {};
            for (int n = 0; n < N_RADIAL; n++) {
                vec total{};
#pragma GCC unroll 16
                for (int m = 0; m < NLM; m++) {
                    const real h = element(rows + m * RV, n);
                    total += harmonic[m] * h;
                    if (m) pulls[m] += value[n] * h;
                }
                pulls[0] += slope[n] * total;
            }
            push(pairs, block, std::min(LANES, pairs.count - block * LANES), pulls, own, forces);
        }
    }
    for (int a = 0; a < 3; a++) forces[3 * site + a] += own[a];
}

// Gradient of the radial weights from g = dE/da, by moments, with dE/dstate of a neighbour of each type for all of them.
inline void back_by_moments(const Pairs<Dual<vec>>& pairs, const Layer& layer, const Dual<vec>* state, const Dual<vec>* g, vec* radial_gradient, Dual<vec>* state_gradient) {
    const Dual<real>* moments = pairs.moments.data();
    for (const Group& group : pairs.groups) {
        const int64_t j = pairs.other[group.begin * LANES];
        for (int c = 0; c < CV; c++) {
            const vec s = state[j * CV + c].v;
            Dual<vec> back{};
            auto one = [&](auto degree) {
                constexpr int l = decltype(degree)::value, M = 2 * l + 1;
                Dual<vec> pull[M];
                for (int m = 0; m < M; m++) pull[m] = g[(l * l + m) * CV + c];
                for (int n = 0; n < N_RADIAL; n++) {
                    const int64_t row = (l * N_RADIAL + n) * CV + c;
                    Dual<vec> total{};
#pragma GCC unroll 8
                    for (int m = 0; m < M; m++) total += moments[(l * l + m) * N_RADIAL + n] * pull[m];
                    radial_gradient[row] += total.d * s;
                    back += total * layer.radial[row];
                }
            };
            each_degree(one);
            state_gradient[j * CV + c] += back;
        }
        moments += N_MOMENTS;
    }
}

// Forces of one site's densities from g = dE/da; dE/dstate of its neighbours. Channels are the lanes until they are summed up, then pairs.
inline void density_back(Pairs<vec>& pairs, const Layer& layer, const vec* state, const vec* g, int64_t site, double* forces, vec* state_gradient) {
    Pairs<vec>::radials(pairs.count, pairs.slope.data(), layer, pairs.change.data());
    double own[3] = {};
    for (int begin = 0; begin < pairs.count; begin += LANES) {
        const vec* harmonic = &pairs.harmonic[begin / LANES * NLM];
        const int n = std::min(LANES, pairs.count - begin);
        vec pulls[NLM] = {};
        for (int k = begin; k < begin + n; k++) {
            const real* y = reinterpret_cast<const real*>(harmonic) + (k - begin);
            vec parts[(NLM + 3) / 4 * 4];
#pragma GCC unroll 16
            for (int m = 0; m < (NLM + 3) / 4 * 4; m++) parts[m] = vec{};
            for (int c = 0; c < CV; c++) {
                const vec s = state[pairs.other[k] * CV + c];
                vec back{};
#pragma GCC unroll 4
                for (int l = 0; l < NL; l++) {
                    const vec radial = pairs.radial[(k * NL + l) * CV + c], change = pairs.change[(k * NL + l) * CV + c];
                    vec total{};
#pragma GCC unroll 8
                    for (int m = l * l; m < (l + 1) * (l + 1); m++) {
                        total += y[m * LANES] * g[m * CV + c];
                        if (m) parts[m] += s * radial * g[m * CV + c];
                    }
                    parts[0] += s * change * total;
                    back += radial * total;
                }
                if (state_gradient) state_gradient[pairs.other[k] * CV + c] += back;
            }
#pragma GCC unroll 4
            for (int m = 0; m < NLM; m += 4) {
                const quad four = sums(parts + m);
                for (int i = 0; i < 4 && m + i < NLM; i++) reinterpret_cast<real*>(pulls + m + i)[k - begin] = four[i];
            }
        }
        push(pairs, begin / LANES, n, pulls, own, forces);
    }
    for (int a = 0; a < 3; a++) forces[3 * site + a] += own[a];
}

// Gradient of the radial weights from g = dE/da, with dE/dstate of the neighbours.
inline void density_back(const Pairs<Dual<vec>>& pairs, const Layer& layer, const Dual<vec>* state, const Dual<vec>* g, vec* radial_gradient, Dual<vec>* state_gradient) {
    using P = Pairs<Dual<vec>>;
    for (int k = 0; k < pairs.count; k++) {
        const int64_t j = pairs.other[k];
        Dual<real> b[N_RADIAL];
        for (int n = 0; n < N_RADIAL; n++) b[n] = P::at(pairs.bessel, N_RADIAL, n, k);
        for (int c = 0; c < CV; c++) {
            const Dual<vec> s = state[j * CV + c];
            Dual<vec> back{};
            for (int l = 0; l < NL; l++) {
                Dual<vec> total{}, radial{};
                for (int m = l * l; m < (l + 1) * (l + 1); m++) total += P::at(pairs.harmonic, NLM, m, k) * g[m * CV + c];
                const Dual<vec> pull = total * s;
                vec* rows = radial_gradient + l * N_RADIAL * CV + c;
                const vec* weights = layer.radial + l * N_RADIAL * CV + c;
                for (int n = 0; n < N_RADIAL; n++) {
                    radial += b[n] * Dual<vec>{weights[n * CV], vec{}};
                    rows[n * CV] += b[n].v * pull.d + b[n].d * pull.v;
                }
                back += radial * total;
            }
            state_gradient[j * CV + c] += back;
        }
    }
}

// ---- sites -----------------------------------------------------------------------------------------------------------

template <class V> struct Sites {  // the work of a block of sites between densities and output
    V mixed[BLOCK * NLM * MV], features[BLOCK * FV], h1[BLOCK * WV], slope1[BLOCK * WV], h2[BLOCK * WV], slope2[BLOCK * WV], out[BLOCK * OV];

    // `top`: of the last layer, whose states nobody asks for.
    void forward(const Layer& layer, const V* a, const int64_t* species, int n, bool top) {
        V z[BLOCK * WV];
        for (int i = 0; i < n; i++) {
            for (int l = 0; l < NL; l++)
                multiply<CV, MV>(2 * l + 1, a + (i * NLM + l * l) * CV, layer.mix + (species[i] * NL + l) * CHANNELS * MV, mixed + (i * NLM + l * l) * MV);
            products(mixed + i * NLM * MV, features + i * FV);
            for (int w = 0; w < WV; w++) z[i * WV + w] = plain(layer.bias[species[i] * WV + w]);
        }
        multiply<FV, WV>(n, features, layer.first, z, true);
        for (int w = 0; w < n * WV; w++) silu(z[w], h1[w], slope1[w]), z[w] = plain(layer.second_bias[w % WV]);
        multiply<WV, WV>(n, h1, layer.second, z, true);
        for (int w = 0; w < n * WV; w++) silu(z[w], h2[w], slope2[w]);
        if (top) multiply<WV, OV, CV>(n, h2, layer.out, out);
        else multiply<WV, OV>(n, h2, layer.out, out);
    }

    // g = dE/da from go = dE/dout.
    void back(const Layer& layer, const V* a, const int64_t* species, int n, bool top, const V* go, V* g, [[maybe_unused]] const LayerGradient* gradient) {
        V gz[BLOCK * WV], gh[BLOCK * WV], gf[BLOCK * FV], gm[NLM * MV];
        if (top)
            for (int w = 0; w < n * WV; w++) gz[w] = element(go + w / WV * OV, CHANNELS) * plain(layer.outT[CHANNELS * WV + w % WV]);
        else multiply<OV, WV>(n, go, layer.outT, gz);
        for (int w = 0; w < n * WV; w++) gz[w] = gz[w] * slope2[w];
        if constexpr (is_dual<V>) {
            outer<WV, OV>(n, h2, go, gradient->out);
            outer<WV, WV>(n, h1, gz, gradient->second);
            for (int w = 0; w < n * WV; w++) gradient->second_bias[w % WV] += gz[w].d;
        }
        multiply<WV, WV>(n, gz, layer.secondT, gh);
        for (int w = 0; w < n * WV; w++) gh[w] = gh[w] * slope1[w];
        if constexpr (is_dual<V>) {
            outer<FV, WV>(n, features, gh, gradient->first);
            for (int w = 0; w < n * WV; w++) gradient->bias[species[w / WV] * WV + w % WV] += gh[w].d;
        }
        multiply<WV, FV>(n, gh, layer.firstT, gf);
        for (int i = 0; i < n; i++) {
            products_back(mixed + i * NLM * MV, gf + i * FV, gm);
            for (int l = 0; l < NL; l++) {
                const int64_t place = (species[i] * NL + l) * CHANNELS * MV;
                const V* own = a + (i * NLM + l * l) * CV;
                if constexpr (is_dual<V>) outer<CV, MV>(2 * l + 1, own, gm + l * l * MV, gradient->mix + place);
                multiply<MV, CV>(2 * l + 1, gm + l * l * MV, layer.mixT + place, g + (i * NLM + l * l) * CV);
            }
        }
    }

    static V plain(vec a) {
        if constexpr (is_dual<V>) return {a, vec{}};
        else return a;
    }

    static real norm(int l) { return 1 / std::sqrt(real(2 * l + 1)); }

    static void products(const V* m, V* f) {
        for (int c = 0; c < CV; c++) {
            f[c] = m[c];
            for (int l = 0; l < NL; l++) {
                V total{};
                for (int k = l * l; k < (l + 1) * (l + 1); k++) total += m[k * MV + c] * m[k * MV + CV + c];
                f[(1 + l) * CV + c] = norm(l) * total;
            }
            couple(m + c, f + (1 + NL) * CV + c);
        }
    }

    static void products_back(const V* m, const V* gf, V* gm) {
        for (int c = 0; c < CV; c++) {
            for (int l = 0; l < NL; l++) {
                const V pull = norm(l) * gf[(1 + l) * CV + c];
                for (int k = l * l; k < (l + 1) * (l + 1); k++) {
                    gm[k * MV + c] = pull * m[k * MV + CV + c];
                    gm[k * MV + CV + c] = pull * m[k * MV + c];
                    gm[k * MV + 2 * CV + c] = V{};
                }
            }
            gm[c] += gf[c];
            couple_back(m + c, gf + (1 + NL) * CV + c, gm + c);
        }
    }
};

// ---- the network -----------------------------------------------------------------------------------------------------

// Energies (and descriptors) of a block.
template <class V> void deliver(const Problem& p, const Sites<V>& work, int k, int64_t first, int n, double* energies) {
    if constexpr (!is_dual<V>) {
        for (int i = 0; i < n; i++) energies[first + i] += p.scale * element(work.out + i * OV, CHANNELS);
        if (k == 0 && p.descriptors) std::copy_n(reinterpret_cast<const real*>(work.features), n * NF, p.descriptors + first * NF);
    }
}

// dE/dout of a block.
template <class V> void seed(const Problem& p, const V* pull, int64_t first, int n, V* go) {
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < CV; c++) go[i * OV + c] = pull ? pull[i * CV + c] : V{};
        V energy{};
        if constexpr (is_dual<V>) energy.v[0] = p.scale, energy.d[0] = p.scale * p.energy_gradient[(first + i) / p.n_sites];
        else energy[0] = p.scale;
        go[i * OV + CV] = energy;
    }
}

inline std::vector<int64_t> gradient_sizes(const Problem& p) {
    return {NL * N_RADIAL * CV, p.n_types * NL * CHANNELS * MV, int64_t(NF) * WV, p.n_types * WV, int64_t(WIDTH) * WV, WV, int64_t(WIDTH) * OV};
}

inline LayerGradient private_gradient(const Problem& p, std::vector<vec>& memory) {
    vec* at[7];
    const auto sizes = gradient_sizes(p);
    int64_t total = 0;
    for (int64_t s : sizes) total += s;
    memory.assign(total, vec{});
    vec* place = memory.data();
    for (int i = 0; i < 7; i++) at[i] = place, place += sizes[i];
    return {at[0], at[1], at[2], at[3], at[4], at[5], at[6]};
}

inline void collect(const Problem& p, const LayerGradient& g, const std::vector<vec>& part) {
    vec* const at[7] = {g.radial, g.mix, g.first, g.bias, g.second, g.second_bias, g.out};
    const auto sizes = gradient_sizes(p);
    const vec* place = part.data();
    for (int i = 0; i < 7; place += sizes[i++])
        for (int64_t t = 0; t < sizes[i]; t++) at[i][t] += place[t];
}

// What one thread sums up over the sites of a part: what they do to their neighbours, and gradients of weights.
template <class V> struct Sums {
    std::vector<V> pulls;        // dE/dstate
    std::vector<double> pushes;  // forces
    std::vector<vec> weights;    // what `gradient` points to
    LayerGradient gradient{};

    Sums(const Problem& p, bool wants_states) {
        const int64_t sites = p.n_frames * p.n_sites;
        if (wants_states) pulls.assign(sites * CV, V{});
        if constexpr (is_dual<V>) gradient = private_gradient(p, weights);
        else pushes.assign(sites * 3, 0.0);
    }

    // Add all to the totals and begin anew. Sites first to last - 1 have their neighbours in their own frames.
    void hand_over(const Problem& p, int k, int64_t first, int64_t last, V* pull) {
        const int64_t from = first / p.n_sites * p.n_sites, to = ((last - 1) / p.n_sites + 1) * p.n_sites;
        if (!pulls.empty()) move(pulls, pull, from * CV, to * CV);
        if (!pushes.empty()) move(pushes, p.forces, from * 3, to * 3);
        if constexpr (is_dual<V>) {
            collect(p, p.gradients[k], weights);
            std::fill(weights.begin(), weights.end(), vec{});
        }
    }

    template <class T> static void move(std::vector<T>& part, T* __restrict total, int64_t from, int64_t to) {
        T* __restrict own = part.data();
        for (int64_t i = from; i < to; i++) total[i] += own[i];
        std::fill(own + from, own + to, T{});
    }
};

template <class V> void run(const Problem& p) {
    const int64_t sites = p.n_frames * p.n_sites, blocks = (p.own + BLOCK - 1) / BLOCK;
    const int top = p.n_layers - 1;
    // Sums are made part by part, and the parts added in their order: the same bits for any number of threads. To add up gradients of
    // all weights costs as much as those of a few sites, so a part of these has many.
    const int64_t parts = std::clamp<int64_t>(p.own / (is_dual<V> ? MANY : SOME), 1, PARTS);
    const int threads = std::min<int64_t>(p.threads, parts);
    std::vector<std::vector<V>> states(p.n_layers), densities(p.n_layers);
    std::vector<V> pull, pull_below;  // dE/dstate of the layer above, and of this one
    std::vector<double> energies(sites);
    const OfTypes of_types(p);
    states[0].resize(sites * CV);
    for (int64_t i = 0; i < sites * CV; i++) states[0][i] = Sites<V>::plain(p.embedding[p.species[i / CV] * CV + i % CV]);

    // One layer, upwards (states of the next) or downwards (gradients).
    auto sweep = [&](int k, bool down) {
        const Layer& layer = p.layers[k];
        const bool wants_states = down && (k > 0 || is_dual<V>);
        if (!down) densities[k].resize(sites * NLM * CV), states[k + 1].resize(sites * CV);
        if (wants_states) pull_below.assign(sites * CV, V{});
#pragma omp parallel num_threads(threads)
        {
            std::vector<Pairs<V>> pairs(BLOCK, Pairs<V>(p.slots));
            const auto work = std::make_unique<Sites<V>>();
            const auto sums = down ? std::make_unique<Sums<V>>(p, wants_states) : nullptr;
            std::vector<V> a(BLOCK * NLM * CV), g(BLOCK * NLM * CV), go(BLOCK * OV);
            auto visit = [&](int64_t block) {
                const int64_t first = block * BLOCK;
                const int n = std::min<int64_t>(BLOCK, p.own - first);
                const bool known = down && k < top;
                V* own_a = known ? &densities[k][first * NLM * CV] : a.data();
                for (int i = 0; i < n; i++) {
                    Pairs<V>& own = pairs[i];
                    own.find(p, first + i, k == 0);
                    if (!own.groups.empty()) {
                        if (!known || is_dual<V>) own.find_moments();
                        if (!known) density_by_moments(own, of_types, own_a + i * NLM * CV);
                        continue;
                    }
                    if constexpr (!is_dual<V>) own.radials(own.count, own.bessel.data(), layer, own.radial.data());
                    if (!known) density(own, layer, states[k].data(), own_a + i * NLM * CV);
                }
                work->forward(layer, own_a, p.species + first, n, k == top);
                if (k == top || !down) deliver(p, *work, k, first, n, energies.data());
                if (!down) {
                    std::copy(own_a, own_a + n * NLM * CV, &densities[k][first * NLM * CV]);
                    for (int i = 0; i < n * CV; i++) states[k + 1][first * CV + i] = work->out[i / CV * OV + i % CV];
                    return;
                }
                seed(p, k < top ? &pull[first * CV] : nullptr, first, n, go.data());
                work->back(layer, own_a, p.species + first, n, k == top, go.data(), g.data(), &sums->gradient);
                for (int i = 0; i < n; i++) {
                    const V* pull_a = &g[i * NLM * CV];
                    const bool moments = !pairs[i].groups.empty();
                    if constexpr (is_dual<V>) {
                        if (moments) back_by_moments(pairs[i], layer, states[k].data(), pull_a, sums->gradient.radial, sums->pulls.data());
                        else density_back(pairs[i], layer, states[k].data(), pull_a, sums->gradient.radial, sums->pulls.data());
                    } else if (moments) back_by_moments(pairs[i], of_types, pull_a, first + i, sums->pushes.data());
                    else density_back(pairs[i], layer, states[k].data(), pull_a, first + i, sums->pushes.data(), wants_states ? sums->pulls.data() : nullptr);
                }
            };
            // Part after part to whoever is free: a thread that another program holds up holds up nobody before its first part.
#pragma omp for ordered schedule(dynamic, 1)
            for (int64_t part = 0; part < parts; part++) {
                const int64_t begin = blocks * part / parts, end = blocks * (part + 1) / parts;
                for (int64_t block = begin; block < end; block++) visit(block);
#pragma omp ordered
                if (down && begin < end) sums->hand_over(p, k, begin * BLOCK, std::min(end * BLOCK, p.own), pull_below.data());
            }
        }
        if (wants_states) pull.swap(pull_below);
        if constexpr (!is_dual<V>)
            if (p.shared && !down) p.shared->spread(states[k + 1].data());
            else if (p.shared && wants_states) p.shared->gather(pull.data());
    };
    for (int k = 0; k < top; k++) sweep(k, false);
    for (int k = top; k >= 0; k--) sweep(k, true);
    if constexpr (!is_dual<V>)
        for (int64_t i = 0; i < p.own; i++) {
            const double energy = energies[i] + p.site_energy[p.species[i]];
            p.energies[i / p.n_sites] += energy;
            if (p.site_energies) p.site_energies[i] += energy;
        }
    else
        for (int64_t i = 0; i < sites * CV; i++) p.embedding_gradient[p.species[i / CV] * CV + i % CV] += pull[i].d;
}

extern "C" void forces(const Problem* p) { run<vec>(*p); }
extern "C" void gradient(const Problem* p) { run<Dual<vec>>(*p); }
