// The padded neighbour table of graph.py: for periodic boxes at least 2 * reach wide, so that a pair meets once, and for
// open systems.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

struct Box {
    double rows[3][3], inverse[3][3];
    double narrowest = 1e300, volume = 0;
    int cells[3];  // along each lattice vector, none narrower than the reach
};

Box read(const double* rows, double reach) {
    Box b;
    for (int i = 0; i < 9; i++) b.rows[i / 3][i % 3] = rows[i];
    double cross[3][3];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            const double *u = b.rows[(i + 1) % 3], *v = b.rows[(i + 2) % 3];
            cross[i][k] = u[(k + 1) % 3] * v[(k + 2) % 3] - u[(k + 2) % 3] * v[(k + 1) % 3];
        }
    for (int k = 0; k < 3; k++) b.volume += b.rows[0][k] * cross[0][k];
    for (int i = 0; i < 3; i++) {
        double area = 0;
        for (int k = 0; k < 3; k++) b.inverse[k][i] = cross[i][k] / b.volume, area += cross[i][k] * cross[i][k];
        const double width = std::abs(b.volume) / std::sqrt(area);
        b.narrowest = std::min(b.narrowest, width), b.cells[i] = std::max(1, int(width / reach));
    }
    return b;
}

// Sites sorted by cell: fractional coordinates in [0, 1), and how many boxes each was moved to get there.
struct Sorted {
    std::vector<int64_t> site, first;
    std::vector<double> s[3], moved[3];

    Sorted(const Box& box, const double* x, int64_t n) : site(n), first(int64_t(box.cells[0]) * box.cells[1] * box.cells[2] + 1) {
        std::vector<double> found[3], floors[3];
        std::vector<int64_t> cell(n);
        for (int a = 0; a < 3; a++) found[a].resize(n), floors[a].resize(n), s[a].resize(n), moved[a].resize(n);
        for (int64_t i = 0; i < n; i++) {
            for (int a = 0; a < 3; a++) {
                const double f = x[3 * i] * box.inverse[0][a] + x[3 * i + 1] * box.inverse[1][a] + x[3 * i + 2] * box.inverse[2][a];
                floors[a][i] = std::floor(f), found[a][i] = f - floors[a][i];
                // Clamped on both sides: the position of an exploded replica may be no number.
                cell[i] = cell[i] * box.cells[a] + std::max(0, std::min(box.cells[a] - 1, int(found[a][i] * box.cells[a])));
            }
            first[cell[i] + 1]++;
        }
        for (size_t c = 1; c < first.size(); c++) first[c] += first[c - 1];
        std::vector<int64_t> next(first);
        for (int64_t i = 0; i < n; i++) {
            const int64_t place = next[cell[i]]++;
            site[place] = i;
            for (int a = 0; a < 3; a++) s[a][place] = found[a][i], moved[a][place] = floors[a][i];
        }
    }
};

// Neighbours of one sorted site in one cell are added to its row; counts all, writes those that fit.
struct Row {
    int64_t count, slots, *index;
    double* shift;
};

// Writes the places of the squares below `far` and returns their number. No branches: they could not be predicted.
int below(const double* square, int n, double far, int64_t* places) {
    int found = 0, q = 0;
#ifdef __AVX512F__
    const __m512i eight = _mm512_set1_epi64(8);
    __m512i at = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    for (; q + 8 <= n; q += 8, at = _mm512_add_epi64(at, eight)) {
        const __mmask8 near = _mm512_cmp_pd_mask(_mm512_loadu_pd(square + q), _mm512_set1_pd(far), _CMP_LT_OQ);
        _mm512_storeu_si512(places + found, _mm512_maskz_compress_epi64(near, at));
        found += __builtin_popcount(near);
    }
#endif
    for (; q < n; q++) places[found] = q, found += square[q] < far;
    return found;
}

void look(const Box& box, const Sorted& all, int64_t p, int64_t begin, int64_t end, double far, Row& row) {
    constexpr int MOST = 64;
    double shift[3][MOST], square[MOST];
    int64_t hits[MOST + 8];
    for (int64_t from = begin; from < end; from += MOST) {
        const int n = std::min<int64_t>(MOST, end - from);
        for (int q = 0; q < n; q++) {
            double d[3], boxes[3], r[3];
            for (int a = 0; a < 3; a++) {
                d[a] = all.s[a][from + q] - all.s[a][p];
                const double k = std::rint(d[a]);
                d[a] -= k, boxes[a] = all.moved[a][p] - all.moved[a][from + q] - k;
            }
            for (int a = 0; a < 3; a++) {
                r[a] = d[0] * box.rows[0][a] + d[1] * box.rows[1][a] + d[2] * box.rows[2][a];
                shift[a][q] = boxes[0] * box.rows[0][a] + boxes[1] * box.rows[1][a] + boxes[2] * box.rows[2][a];
            }
            square[q] = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
        }
        if (from <= p && p < from + n) square[p - from] = 2 * far;  // not itself
        const int found = below(square, n, far, hits);
        const int fit = std::max<int64_t>(0, std::min<int64_t>(found, row.slots - row.count));
        for (int h = 0; h < fit; h++) {
            row.index[row.count + h] = all.site[from + hits[h]];
            for (int a = 0; a < 3; a++) row.shift[3 * (row.count + h) + a] = shift[a][hits[h]];
        }
        row.count += found;
    }
}

// The sites of one open frame by cell, those of a cell in their own order. Sites whose position is no number are left out.
struct Open {
    std::vector<int64_t> site, first;
    std::vector<double> x[3];
    double low[3], width[3];  // of the grid and of a cell, nm
    int64_t cells[3] = {1, 1, 1};

    // `few`: the number of sites up to which one cell is enough.
    Open(const double* given, int64_t n, double reach, int64_t few) {
        for (int64_t i = 0; i < n; i++)
            if (is_a_place(given + 3 * i)) site.push_back(i);
        const int64_t kept = site.size();
        grid(given, reach, kept <= few);
        std::vector<int64_t> cell(kept), order(kept);
        first.assign(cells[0] * cells[1] * cells[2] + 1, 0);
        for (int64_t k = 0; k < kept; k++) {
            for (int a = 0; a < 3; a++) cell[k] = cell[k] * cells[a] + at(a, given[3 * site[k] + a]);
            first[cell[k] + 1]++;
        }
        for (size_t c = 1; c < first.size(); c++) first[c] += first[c - 1];
        std::vector<int64_t> next(first);
        for (int64_t k = 0; k < kept; k++) order[next[cell[k]]++] = site[k];
        site = order;
        for (int a = 0; a < 3; a++) {
            x[a].resize(kept);
            for (int64_t k = 0; k < kept; k++) x[a][k] = given[3 * site[k] + a];
        }
    }

    // Cell along axis a.
    int64_t at(int a, double value) const {
        return std::max<int64_t>(0, std::min<int64_t>(cells[a] - 1, int64_t((value - low[a]) / width[a])));
    }

private:
    // By its bits: the compiler takes every double for a number. Beyond 1e12 nm a double knows no distances.
    static bool is_a_place(const double* r) {
        const double most = 1e12;
        uint64_t bits, bound;
        std::memcpy(&bound, &most, 8);
        for (int a = 0; a < 3; a++) {
            std::memcpy(&bits, r + a, 8);
            if ((bits & ~(uint64_t(1) << 63)) > bound) return false;
        }
        return true;
    }

    // Cells no narrower than the reach, and no more of them than a few a site.
    void grid(const double* given, double reach, bool one) {
        const int64_t kept = site.size();
        for (int a = 0; a < 3; a++) {
            double least = 1e300, most = -1e300;
            for (int64_t i : site) least = std::min(least, given[3 * i + a]), most = std::max(most, given[3 * i + a]);
            low[a] = kept ? least : 0, width[a] = kept ? most - least : 0;
            if (!one) cells[a] = std::max(1.0, std::min(double(kept), width[a] / reach));
        }
        while (cells[0] * cells[1] * cells[2] > 4 * kept + 1) {
            int64_t& longest = *std::max_element(cells, cells + 3);
            longest = (longest + 1) / 2;
        }
        for (int a = 0; a < 3; a++) width[a] = std::max(width[a] / cells[a], reach);
    }
};

// Adds to `found` the sites of cells begin ... end - 1 closer to r than `far`, squared.
void near_in(const Open& all, int64_t begin, int64_t end, const double* r, double far, std::vector<int64_t>& found) {
    constexpr int MOST = 256;
    double square[MOST];
    int64_t hits[MOST + 8];
    for (int64_t from = all.first[begin]; from < all.first[end]; from += MOST) {
        const int n = std::min<int64_t>(MOST, all.first[end] - from);
        for (int q = 0; q < n; q++) {
            const double u = all.x[0][from + q] - r[0], v = all.x[1][from + q] - r[1], w = all.x[2][from + q] - r[2];
            square[q] = u * u + v * v + w * w;
        }
        const int here = below(square, n, far, hits);
        for (int h = 0; h < here; h++) found.push_back(all.site[from + hits[h]]);
    }
}

// Neighbours of a site at r, itself among them, in the order of sites.
void neighbours_of(const Open& all, const double* r, double far, std::vector<int64_t>& found) {
    int64_t low[3], high[3];
    for (int a = 0; a < 3; a++) {
        const int64_t own = all.at(a, r[a]);
        low[a] = std::max<int64_t>(0, own - 1), high[a] = std::min<int64_t>(all.cells[a] - 1, own + 1);
    }
    found.clear();
    for (int64_t c = low[0]; c <= high[0]; c++)
        for (int64_t d = low[1]; d <= high[1]; d++) {
            const int64_t row = (c * all.cells[1] + d) * all.cells[2];
            near_in(all, row + low[2], row + high[2] + 1, r, far, found);
        }
    if (all.first.size() > 2) std::sort(found.begin(), found.end());
}

}  // namespace

// Of open frames: x (n_frames, n, 3); index (n_frames * n, slots) and shift (..., 3) hold nothing yet, the rows are in the
// order of the sites. Returns the number of neighbours of the richest site of all: where it is more than slots, call again
// with more; with slots = 0 nothing is written. `few`: the sites up to which all distances are looked at.
extern "C" int64_t open_table(int64_t n_frames, int64_t n, const double* x, double reach, int64_t slots, double out_of_reach, int64_t few, int64_t threads, int64_t* index, double* shift) {
    int64_t richest = 0;
#pragma omp parallel for num_threads(threads) reduction(max : richest)
    for (int64_t frame = 0; frame < n_frames; frame++) {
        const int64_t base = frame * n;
        const Open all(x + 3 * base, n, reach, few);
        std::vector<int64_t> found;
        std::vector<char> placed(n, 0);
        auto write = [&](int64_t i) {
            int64_t count = 0, *to = index + (base + i) * slots;
            double* by = shift + (base + i) * slots * 3;
            for (int64_t j : found) {
                if (j == i) continue;
                if (count < slots) to[count] = base + j;
                count++;
            }
            richest = std::max(richest, count);
            const int64_t used = std::min(count, slots);
            std::fill(by, by + 3 * slots, 0.0);
            for (int64_t q = used; q < slots; q++) to[q] = base + i, by[3 * q] = out_of_reach;
        };
        for (int64_t i : all.site) neighbours_of(all, x + 3 * (base + i), reach * reach, found), write(i), placed[i] = 1;
        found.clear();
        for (int64_t i = 0; i < n; i++)
            if (!placed[i]) write(i);
    }
    return richest;
}

// Of one frame: x (n, 3), box rows (3, 3); index (n, slots) and shift (n, slots, 3) hold nothing yet. `base` is added to
// every index. Returns the number of neighbours of the richest site: where it is more than slots, call again with more;
// -1 where the box is too narrow.
extern "C" int64_t neighbour_table(int64_t n, const double* x, const double* rows, double reach, int64_t slots, int64_t base, double out_of_reach, int64_t* index, double* shift) {
    const Box box = read(rows, reach);
    if (box.narrowest < 2 * reach) return -1;
    const Sorted all(box, x, n);
    int64_t richest = 0, c[3];
    for (c[0] = 0; c[0] < box.cells[0]; c[0]++)
        for (c[1] = 0; c[1] < box.cells[1]; c[1]++)
            for (c[2] = 0; c[2] < box.cells[2]; c[2]++) {
                int64_t near[27], found = 0;  // this cell and those around it, each once
                for (int step = 0; step < 27; step++) {
                    const int by[3] = {step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1};
                    int64_t cell = 0;
                    bool again = false;
                    for (int a = 0; a < 3; a++) {
                        again |= (box.cells[a] < 3 && by[a] < 0) || (box.cells[a] == 1 && by[a] > 0);
                        cell = cell * box.cells[a] + (c[a] + by[a] + box.cells[a]) % box.cells[a];
                    }
                    if (!again) near[found++] = cell;
                }
                // Cells that follow each other in memory are looked through in one go.
                std::sort(near, near + found);
                int64_t begin[27], end[27], runs = 0;
                for (int64_t m = 0; m < found; m++)
                    if (m && near[m] == near[m - 1] + 1) end[runs - 1] = all.first[near[m] + 1];
                    else begin[runs] = all.first[near[m]], end[runs++] = all.first[near[m] + 1];
                const int64_t own = (c[0] * box.cells[1] + c[1]) * box.cells[2] + c[2];
                for (int64_t p = all.first[own]; p < all.first[own + 1]; p++) {
                    const int64_t i = all.site[p];
                    Row row{0, slots, index + i * slots, shift + i * slots * 3};
                    for (int64_t m = 0; m < runs; m++) look(box, all, p, begin[m], end[m], reach * reach, row);
                    richest = std::max(richest, row.count);
                    for (int64_t q = std::min(row.count, slots); q < slots; q++) {
                        row.index[q] = i;
                        row.shift[3 * q] = out_of_reach, row.shift[3 * q + 1] = row.shift[3 * q + 2] = 0;
                    }
                    for (int64_t q = 0; q < slots; q++) row.index[q] += base;
                }
            }
    return richest;
}
