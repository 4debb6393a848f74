// Pairs of sites in a periodic box, counted by distance and by the kinds of their sites, each pair once.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

struct Box {
    double rows[3][3], inverse[3][3], width[3];
    bool right_angled = true;
    int cells[3], span[3];  // cells along each lattice vector, and how many of them the reach covers on either side
};

// Cells half of the reach wide, or wider where they would hold fewer than eight sites on average.
Box read(const double* rows, double reach, int64_t n) {
    Box b;
    for (int i = 0; i < 9; i++) {
        b.rows[i / 3][i % 3] = rows[i];
        if (i % 4 && rows[i] != 0) b.right_angled = false;
    }
    double volume = 0, cross[3][3];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            const double *u = b.rows[(i + 1) % 3], *v = b.rows[(i + 2) % 3];
            cross[i][k] = u[(k + 1) % 3] * v[(k + 2) % 3] - u[(k + 2) % 3] * v[(k + 1) % 3];
        }
    for (int k = 0; k < 3; k++) volume += b.rows[0][k] * cross[0][k];
    const double edge = std::max(reach / 2, std::cbrt(8 * std::abs(volume) / double(n)));
    for (int i = 0; i < 3; i++) {
        double area = 0;
        for (int k = 0; k < 3; k++) {
            b.inverse[k][i] = cross[i][k] / volume;
            area += cross[i][k] * cross[i][k];
        }
        b.width[i] = std::abs(volume) / std::sqrt(area);
        b.cells[i] = std::max(1, int(b.width[i] / edge));
        b.span[i] = int(reach * b.cells[i] / b.width[i]) + 1;
    }
    return b;
}

// Sites sorted by cell: fractional coordinates, kinds and owners.
struct Sorted {
    std::vector<int64_t> kind, owner, first;
    std::vector<double> s[3];

    Sorted(const Box& box, const double* x, int64_t n, const int64_t* kinds, const int64_t* owners)
        : kind(n), owner(n), first(int64_t(box.cells[0]) * box.cells[1] * box.cells[2] + 1) {
        std::vector<double> found[3];
        std::vector<int64_t> cell(n);
        for (int a = 0; a < 3; a++) found[a].resize(n), s[a].resize(n);
        for (int64_t i = 0; i < n; i++) {
            for (int a = 0; a < 3; a++) {
                double f = 0;
                for (int k = 0; k < 3; k++) f += x[3 * i + k] * box.inverse[k][a];
                found[a][i] = f - std::floor(f);
                const int place = int(found[a][i] * box.cells[a]);
                cell[i] = cell[i] * box.cells[a] + std::max(0, std::min(box.cells[a] - 1, place));
            }
            first[cell[i] + 1]++;
        }
        for (size_t c = 1; c < first.size(); c++) first[c] += first[c - 1];
        std::vector<int64_t> next(first);
        for (int64_t i = 0; i < n; i++) {
            const int64_t place = next[cell[i]]++;
            kind[place] = kinds[i];
            owner[place] = owners ? owners[i] : i;
            for (int a = 0; a < 3; a++) s[a][place] = found[a][i];
        }
    }
};

// Sites of one cell, then of those cells after it in memory that the reach may cover, each cell once: in nm on the side of
// the box where they are nearest where the box is wide enough to know (`unwrapped`), else in fractional coordinates.
struct Around {
    struct Near {
        int64_t cell;
        double boxes[3];  // how far off, in boxes, the cell lies where it is met
    };
    bool unwrapped;
    std::vector<Near> near;
    std::vector<int64_t> kind, owner;
    std::vector<double> s[3];

    void gather(const Box& box, const Sorted& all, const int* c, double reach) {
        find_cells(box, c, reach);
        kind.clear(), owner.clear();
        for (auto& along : s) along.clear();
        for (const Near& one : near) {
            const int64_t begin = all.first[one.cell], end = all.first[one.cell + 1], old = kind.size();
            kind.insert(kind.end(), all.kind.begin() + begin, all.kind.begin() + end);
            owner.insert(owner.end(), all.owner.begin() + begin, all.owner.begin() + end);
            for (int a = 0; a < 3; a++) s[a].insert(s[a].end(), all.s[a].begin() + begin, all.s[a].begin() + end);
            for (int64_t q = old; unwrapped && q < old + end - begin; q++) {
                double f[3];
                for (int a = 0; a < 3; a++) f[a] = s[a][q] + one.boxes[a];
                for (int a = 0; a < 3; a++)
                    s[a][q] = f[0] * box.rows[0][a] + f[1] * box.rows[1][a] + f[2] * box.rows[2][a];
            }
        }
    }

    void find_cells(const Box& box, const int* c, double reach) {
        const int64_t own = (int64_t(c[0]) * box.cells[1] + c[1]) * box.cells[2] + c[2];
        int low[3], high[3], by[3];
        unwrapped = true;
        for (int a = 0; a < 3; a++) {
            const bool every = 2 * box.span[a] + 1 >= box.cells[a];
            unwrapped = unwrapped && !every;
            low[a] = every ? -c[a] : -box.span[a];
            high[a] = every ? box.cells[a] - 1 - c[a] : box.span[a];
        }
        auto gap = [&](int a) {  // least distance along an axis
            const int steps = std::min(std::abs(by[a]), box.cells[a] - std::abs(by[a]));
            return std::max(0, steps - 1) * box.width[a] / box.cells[a];
        };
        near.assign(1, {own, {0, 0, 0}});
        for (by[0] = low[0]; by[0] <= high[0]; by[0]++)
            for (by[1] = low[1]; by[1] <= high[1]; by[1]++)
                for (by[2] = low[2]; by[2] <= high[2]; by[2]++) {
                    double square = 0;
                    Near one{0, {0, 0, 0}};
                    for (int a = 0; a < 3; a++) {
                        const int place = c[a] + by[a];
                        square += gap(a) * gap(a);
                        one.boxes[a] = place < 0 ? -1 : place >= box.cells[a] ? 1 : 0;
                        one.cell = one.cell * box.cells[a] + place - int(one.boxes[a]) * box.cells[a];
                    }
                    if (one.cell > own && !(box.right_angled && square > reach * reach)) near.push_back(one);
                }
    }
};

// Moves the squares up to `far` to the front, with their places, and returns their number. No branches: they could not be
// predicted.
int below(const double* square, int n, double far, double* kept, int64_t* places) {
    int found = 0, q = 0;
#ifdef __AVX512F__
    const __m512i eight = _mm512_set1_epi64(8);
    __m512i at = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    for (; q + 8 <= n; q += 8, at = _mm512_add_epi64(at, eight)) {
        const __m512d some = _mm512_loadu_pd(square + q);
        const __mmask8 near = _mm512_cmp_pd_mask(some, _mm512_set1_pd(far), _CMP_LE_OQ);
        _mm512_storeu_pd(kept + found, _mm512_maskz_compress_pd(near, some));
        _mm512_storeu_si512(places + found, _mm512_maskz_compress_epi64(near, at));
        found += __builtin_popcount(near);
    }
#endif
    for (; q < n; q++) kept[found] = square[q], places[found] = q, found += square[q] <= far;
    return found;
}

struct Histogram {
    int64_t bins, kinds;
    const double* edges;
    const int64_t* row;  // row of counts for two kinds, -1 where such pairs are not wanted
    int64_t* counts;
    bool every;  // one kind and no owners: every pair counts
    std::vector<double> squares;  // of the edges

    Histogram(int64_t bins, int64_t kinds, const double* edges, const int64_t* row, int64_t* counts, bool every)
        : bins(bins), kinds(kinds), edges(edges), row(row), counts(counts), every(every), squares(edges, edges + bins + 1) {
        for (double& edge : squares) edge *= edge;
    }

    // The bin of a square distance below the last edge, from a guess that is nearly right for evenly spaced edges.
    int64_t bin(double square, int guess) const {
        int64_t b = std::min<int64_t>(guess, bins - 1);
        while (square < squares[b]) b--;
        while (b + 1 < bins && square >= squares[b + 1]) b++;
        return b;
    }
};

// Pairs of site p of `around` with those behind it.
template <bool UNWRAPPED>
void count(const Box& box, const Around& around, int64_t p, const Histogram& h) {
    constexpr int MOST = 256;
    double square[MOST], kept[MOST + 8];
    int64_t hits[MOST + 8];
    int guess[MOST + 8];
    const double bottom = h.squares[0], top = h.squares[h.bins];
    const float low = float(h.edges[0]), per_bin = float(h.bins / (h.edges[h.bins] - h.edges[0]));
    const int64_t own = around.owner[p], last = around.kind.size(), *row = h.row + around.kind[p] * h.kinds;
    for (int64_t from = p + 1; from < last; from += MOST) {
        const int n = std::min<int64_t>(MOST, last - from);
        for (int q = 0; q < n; q++) {
            double d[3], v[3];
            for (int a = 0; a < 3; a++) {
                d[a] = around.s[a][from + q] - around.s[a][p];
                if (!UNWRAPPED) d[a] -= std::rint(d[a]);
            }
            for (int a = 0; a < 3; a++)
                v[a] = UNWRAPPED ? d[a]
                                 : d[0] * box.rows[0][a] + d[1] * box.rows[1][a] + d[2] * box.rows[2][a];
            square[q] = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        }
        const int found = below(square, n, top, kept, hits);
        for (int m = 0; m < found; m++) guess[m] = std::max(0, int((std::sqrt(float(kept[m])) - low) * per_bin));
        if (h.every && bottom == 0) {
            for (int m = 0; m < found; m++) h.counts[h.bin(kept[m], guess[m])]++;
            continue;
        }
        for (int m = 0; m < found; m++) {
            const int64_t other = from + hits[m], to = row[around.kind[other]];
            if (to < 0 || around.owner[other] == own || kept[m] < bottom) continue;
            h.counts[to * h.bins + h.bin(kept[m], guess[m])]++;
        }
    }
}

}  // namespace

// x (n, 3), box (3, 3), its rows the lattice vectors; edges (bins + 1,) rising, the last at most half the smallest width
// of the box, the last bin closed; kind (n,) in 0 .. kinds - 1; owner (n,): pairs within one owner are left out, null: none
// are; row (kinds, kinds), symmetric: where pairs of two kinds are counted, -1: nowhere; counts (rows, bins) are added to.
extern "C" void pair_counts(
    int64_t n, const double* x, const double* rows, int64_t bins, const double* edges, int64_t kinds, const int64_t* kind,
    const int64_t* owner, const int64_t* row, int64_t* counts) {
    const double reach = edges[bins] * (1 + 1e-9);
    const Box box = read(rows, reach, n);
    const Sorted all(box, x, n, kind, owner);
    const Histogram h(bins, kinds, edges, row, counts, kinds == 1 && !owner && row[0] == 0);
    Around around;
    int c[3];
    for (c[0] = 0; c[0] < box.cells[0]; c[0]++)
        for (c[1] = 0; c[1] < box.cells[1]; c[1]++)
            for (c[2] = 0; c[2] < box.cells[2]; c[2]++) {
                const int64_t own = (int64_t(c[0]) * box.cells[1] + c[1]) * box.cells[2] + c[2];
                const int64_t sites = all.first[own + 1] - all.first[own];
                if (!sites) continue;
                around.gather(box, all, c, reach);
                for (int64_t p = 0; p < sites; p++)
                    if (around.unwrapped) count<true>(box, around, p, h);
                    else count<false>(box, around, p, h);
            }
}
