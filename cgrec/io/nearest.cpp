// The closest two sites of every frame, by cells that are found through a table, so that an open system may be of any size.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// Rows are lattice vectors; without a box, cells are cubes of space.
struct Box {
    bool periodic = false;
    double rows[3][3], inverse[3][3], narrowest = 1e300;
    double width[3];

    explicit Box(const double* given) : periodic(given) {
        if (!periodic) return;
        for (int i = 0; i < 9; i++) rows[i / 3][i % 3] = given[i];
        double cross[3][3], volume = 0;
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 3; k++) {
                const double *u = rows[(i + 1) % 3], *v = rows[(i + 2) % 3];
                cross[i][k] = u[(k + 1) % 3] * v[(k + 2) % 3] - u[(k + 2) % 3] * v[(k + 1) % 3];
            }
        for (int k = 0; k < 3; k++) volume += rows[0][k] * cross[0][k];
        for (int i = 0; i < 3; i++) {
            double area = 0;
            for (int k = 0; k < 3; k++) inverse[k][i] = cross[i][k] / volume, area += cross[i][k] * cross[i][k];
            width[i] = std::abs(volume) / std::sqrt(area);
            narrowest = std::min(narrowest, width[i]);
        }
    }
};

// The smallest square distance, and the smallest square of a distance over the sum of two radii, with their pairs.
struct Closest {
    double square = 1e300, ratio = 1e300;
    int64_t pair[2] = {0, 0}, tight[2] = {0, 0};
};

class Frame {
  public:
    Frame(int64_t n, const double* radii) : n(n), radii(radii), x(3 * n), next(n) {
        int64_t size = 16;
        while (size < 2 * n) size *= 2;
        heads.assign(size, -1);
    }

    // Positions as they are, or as fractions of the box in [0, 1).
    template <class Real>
    void place(const Real* given, const Box& box) {
        for (int64_t i = 0; i < n; i++)
            for (int a = 0; a < 3; a++) {
                const Real* r = given + 3 * i;
                double value = r[a];
                if (box.periodic) {
                    value = r[0] * box.inverse[0][a] + r[1] * box.inverse[1][a] + r[2] * box.inverse[2][a];
                    value -= std::floor(value);
                }
                x[3 * i + a] = value;
            }
    }

    Closest all(const Box& box) {
        Closest found;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < i; j++) compare(box, i, j, found);
        return found;
    }

    // Pairs within reach are seen, and some beyond. Cells are twice as wide, so that of the cells around a site only those on
    // its own side of the middle matter: eight. Each site looks at those before it.
    Closest within(const Box& box, double reach) {
        Closest found;
        double scale[3];
        int64_t cells[3] = {0, 0, 0};
        for (int a = 0; a < 3; a++) {
            if (box.periodic) cells[a] = std::max<int64_t>(1, int64_t(box.width[a] / (2 * reach)));
            scale[a] = box.periodic ? double(cells[a]) : 1 / (2 * reach);
        }
        std::fill(heads.begin(), heads.end(), -1);
        for (int64_t i = 0; i < n; i++) {
            uint64_t part[3][2];
            for (int a = 0; a < 3; a++) {
                const double at = std::max(-1e15, std::min(1e15, x[3 * i + a] * scale[a]));
                int64_t own = int64_t(std::floor(at)), other = at - own < 0.5 ? own - 1 : own + 1;
                if (box.periodic) own = wrapped(own, cells[a]), other = wrapped(other, cells[a]);
                part[a][0] = hashed(own, a), part[a][1] = hashed(other, a);
            }
            for (const uint64_t p : part[0])
                for (const uint64_t q : part[1])
                    for (const uint64_t r : part[2])
                        for (int32_t j = heads[slot(p ^ q ^ r)]; j >= 0; j = next[j]) compare(box, i, j, found);
            int32_t& head = heads[slot(part[0][0] ^ part[1][0] ^ part[2][0])];
            next[i] = head, head = int32_t(i);
        }
        return found;
    }

  private:
    int64_t n;
    const double* radii;
    std::vector<double> x;
    std::vector<int32_t> next, heads;

    static int64_t wrapped(int64_t c, int64_t cells) { return c < 0 ? c + cells : c >= cells ? c - cells : c; }

    static uint64_t hashed(int64_t c, int axis) {
        constexpr uint64_t odd[3] = {0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u};
        return uint64_t(c) * odd[axis];
    }

    // Two cells may share a slot: their sites are then compared as well, which does no harm.
    size_t slot(uint64_t hash) const { return (hash ^ hash >> 32) & (heads.size() - 1); }

    void compare(const Box& box, int64_t i, int64_t j, Closest& found) const {
        double d[3], v[3];
        for (int a = 0; a < 3; a++) v[a] = d[a] = x[3 * i + a] - x[3 * j + a];
        if (box.periodic) {
            for (int a = 0; a < 3; a++) d[a] -= std::rint(d[a]);
            for (int a = 0; a < 3; a++) v[a] = d[0] * box.rows[0][a] + d[1] * box.rows[1][a] + d[2] * box.rows[2][a];
        }
        const double square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        if (square < found.square) found.square = square, found.pair[0] = j, found.pair[1] = i;
        if (!(radii[i] > 0 && radii[j] > 0)) return;
        const double total = radii[i] + radii[j], ratio = square / (total * total);
        if (ratio < found.ratio) found.ratio = ratio, found.tight[0] = j, found.tight[1] = i;
    }
};

template <class Real>
void closest(int64_t n_frames, int64_t n, const Real* x, const double* boxes, int64_t stride, const double* radii, double least, double most, double* found, int64_t* pairs) {
    Frame frame(n, radii);
    double reach = least;
    for (int64_t t = 0; t < n_frames; t++) {
        const Box box(boxes ? boxes + t * stride : nullptr);
        frame.place(x + 3 * n * t, box);
        Closest one;
        if (most <= 0) one = frame.all(box);
        else {
            // Frames are alike, so the reach that served the last one mostly serves the next; it grows where it does not.
            for (reach = std::min(reach, most);; reach = std::min(1.5 * reach, most)) {
                if (2 * reach > box.narrowest) { one.square = -1; break; }
                one = frame.within(box, reach);
                if (one.square <= reach * reach || reach >= most) break;
            }
            if (one.square > most * most) one.square = 1e300;
        }
        found[2 * t] = one.square < 0 ? -1 : std::sqrt(one.square), found[2 * t + 1] = std::sqrt(one.ratio);
        for (int k = 0; k < 2; k++) pairs[4 * t + k] = one.pair[k], pairs[4 * t + 2 + k] = one.tight[k];
        reach = one.square < 0 || one.square > most * most ? least : std::max(least, 1.2 * std::sqrt(one.square));
    }
}

}  // namespace

// x (n_frames, n, 3) float32 or float64; boxes (3, 3) with stride 0, (n_frames, 3, 3) with stride 9, or null; radii (n,), 0
// where there is none. Pairs up to `least` are always seen, up to `most` where there are none nearer; most = 0: all.
// found (n_frames, 2): the smallest distance (over 1e100: none within reach; -1: the box is too narrow to tell) and the
// smallest ratio of a distance to the sum of both radii, right where it is below `least` over the largest such sum.
// pairs (n_frames, 2, 2): the sites of both.
extern "C" void closest_pairs_float(int64_t n_frames, int64_t n, const float* x, const double* boxes, int64_t stride, const double* radii, double least, double most, double* found, int64_t* pairs) {
    closest(n_frames, n, x, boxes, stride, radii, least, most, found, pairs);
}

extern "C" void closest_pairs_double(int64_t n_frames, int64_t n, const double* x, const double* boxes, int64_t stride, const double* radii, double least, double most, double* found, int64_t* pairs) {
    closest(n_frames, n, x, boxes, stride, radii, least, most, found, pairs);
}
