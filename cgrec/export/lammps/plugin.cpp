// A level of cgrec inside LAMMPS, loaded by its command `plugin`: pair styles cgrec (the network), cgrec/bonded, and cgrec/wall
// (what keeps sites apart), fix cgrec/volume, and compute cgrec/guard (how far out the system is of what the network was trained on).
//
// The network is the kernel that cgrec itself runs, compiled for its sizes. Every process computes its own atoms. With message passing
// it sends their states to the processes that have images of them, and gets gradients back, so neighbours are needed to one cutoff.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "fix.h"
#include "force.h"
#include "lammps.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

#define LISTS NEIGHMASK
namespace {
using namespace LAMMPS_NS;
#include "density_kernel.cpp"
namespace bonded {
#include "bonded_generated.h"
#include "bonded_shapes.h"
}
constexpr double NANOMETRE = 0.1, KJ_PER_MOL = 1 / 4.184;  // an Angstrom in nm, a kJ/mol in kcal/mol

// What a file of the exporter says, word by word.
class Words {
  public:
    Words(LAMMPS* lmp, const std::string& name, const std::string& kind) : lammps(lmp), path(name), file(name) {
        if (!file) lammps->error->all(FLERR, "cgrec: there is no file {}", path);
        if (word() != kind) lammps->error->all(FLERR, "cgrec: expected a file of {} in {}", kind, path);
    }
    std::string word() {
        std::string found;
        if (!(file >> found)) lammps->error->all(FLERR, "cgrec: {} ends early: write it anew with cgrec export lammps", path);
        return found;
    }
    double number() { return std::stod(word()); }
    int64_t whole() { return std::stoll(word()); }
    std::vector<std::string> words(int64_t n) {
        std::vector<std::string> found;
        for (int64_t i = 0; i < n; i++) found.push_back(word());
        return found;
    }
    template <class T = double> std::vector<T> numbers(int64_t n) {
        std::vector<T> found(n);
        for (auto& x : found) x = T(number());
        return found;
    }

  private:
    LAMMPS* lammps;
    std::string path;
    std::ifstream file;
};

// Rows of numbers as the vectors of the kernel.
std::vector<vec> packed(const std::vector<real>& numbers) {
    std::vector<vec> found(numbers.size() / LANES);
    std::copy(numbers.begin(), numbers.end(), reinterpret_cast<real*>(found.data()));
    return found;
}

// `count` matrices (rows, columns), each turned.
std::vector<real> turned(const std::vector<real>& m, int64_t count, int64_t rows, int64_t columns) {
    std::vector<real> found(m.size());
    for (int64_t k = 0; k < count; k++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++) found[(k * columns + c) * rows + r] = m[(k * rows + r) * columns + c];
    return found;
}

// The parameters of a network, as the kernel wants them.
class Network {
  public:
    std::vector<std::string> types;
    double cutoff, norm, scale;
    std::vector<double> site_energy;
    std::vector<vec> embedding;
    std::vector<Layer> layers;

    Network(LAMMPS* lmp, const std::string& path) {
        Words file(lmp, path, "network");
        const int64_t made[] = {CHANNELS, WIDTH, L_MAX, N_RADIAL, N_TRIPLES};
        for (int64_t size : made)
            if (file.whole() != size) lmp->error->all(FLERR, "cgrec: {} belongs to another plugin: run build.sh beside it", path);
        const int64_t n_layers = file.whole(), n = file.whole();
        types = file.words(n);
        cutoff = file.number(), norm = file.number(), scale = file.number();
        site_energy = file.numbers(n);
        embedding = packed(file.numbers<real>(n * CHANNELS));
        for (int64_t k = 0; k < n_layers; k++) layers.push_back(layer(file, n));
    }

  private:
    std::vector<std::unique_ptr<std::vector<vec>>> held;  // what the layers point to

    const vec* keep(const std::vector<real>& numbers) {
        held.push_back(std::make_unique<std::vector<vec>>(packed(numbers)));
        return held.back()->data();
    }

    Layer layer(Words& file, int64_t n) {
        const auto radial = file.numbers<real>(NL * N_RADIAL * CHANNELS), mix = file.numbers<real>(n * NL * CHANNELS * 3 * CHANNELS);
        const auto first = file.numbers<real>(int64_t(NF) * WIDTH), bias = file.numbers<real>(n * WIDTH);
        const auto second = file.numbers<real>(int64_t(WIDTH) * WIDTH), second_bias = file.numbers<real>(WIDTH);
        const auto plain = file.numbers<real>(int64_t(WIDTH) * (CHANNELS + 1));
        std::vector<real> out(int64_t(WIDTH) * OUT);  // states, energy, zeros
        for (int64_t w = 0; w < WIDTH; w++) {
            const real* row = &plain[w * (CHANNELS + 1)];
            std::copy(row + 1, row + 1 + CHANNELS, &out[w * OUT]);
            out[w * OUT + CHANNELS] = row[0];
        }
        Layer made;
        made.radial = keep(radial);
        made.mix = keep(mix), made.mixT = keep(turned(mix, n * NL, CHANNELS, 3 * CHANNELS));
        made.first = keep(first), made.firstT = keep(turned(first, 1, NF, WIDTH));
        made.bias = keep(bias);
        made.second = keep(second), made.secondT = keep(turned(second, 1, WIDTH, WIDTH));
        made.second_bias = keep(second_bias);
        made.out = keep(out), made.outT = keep(turned(out, 1, WIDTH, OUT));
        return made;
    }
};

// The row of each atom type, from 1, among the types of a file.
std::vector<int64_t> rows_of(LAMMPS* lmp, const std::vector<std::string>& types, int n, char** names) {
    std::vector<int64_t> rows(n + 1);
    for (int i = 0; i < n; i++) {
        const auto found = std::find(types.begin(), types.end(), names[i]);
        if (found == types.end()) lmp->error->all(FLERR, "cgrec: the type {} is unknown to this level", names[i]);
        rows[i + 1] = found - types.begin();
    }
    return rows;
}

class PairOfTypes : public Pair {
  public:
    explicit PairOfTypes(LAMMPS* lmp) : Pair(lmp) {
        restartinfo = 0, single_enable = 0, one_coeff = 1, manybody_flag = 1;
        centroidstressflag = CENTROID_NOTAVAIL;
    }
    ~PairOfTypes() override {
        if (!allocated) return;
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
    void settings(int n, char**) override {
        if (n) error->all(FLERR, "cgrec: the pair styles of a level have no arguments");
    }
    void coeff(int n, char** words) override {
        if (n != 3 + atom->ntypes || std::string(words[0]) != "*" || std::string(words[1]) != "*")
            error->all(FLERR, "cgrec: expected pair_coeff * * FILE and a name for each atom type");
        if (!allocated) {
            memory->create(setflag, atom->ntypes + 1, atom->ntypes + 1, "cgrec:setflag");
            memory->create(cutsq, atom->ntypes + 1, atom->ntypes + 1, "cgrec:cutsq");
            allocated = 1;
        }
        rows = rows_of(lmp, load(words[2]), atom->ntypes, words + 3);
        for (int i = 1; i <= atom->ntypes; i++)
            for (int j = 1; j <= atom->ntypes; j++) setflag[i][j] = 1;
    }
    double init_one(int, int) override { return reach; }

  protected:
    std::vector<int64_t> rows;
    double reach = 0;  // Angstrom

    // Read a file; returns its types.
    virtual std::vector<std::string> load(const std::string& path) = 0;

    void need(int request) {
        if (!force->newton_pair) error->all(FLERR, "cgrec: expected newton on");
        if (atom->tag_enable == 0) error->all(FLERR, "cgrec: expected atoms with ids");
        neighbor->add_request(this, request);
    }
    void refuse_stress_of_atoms() {
        if (vflag_atom || cvflag_atom) error->all(FLERR, "cgrec: the stress of single atoms is not known; that of the box is");
    }
};

class PairCgrec : public PairOfTypes, Shared {
  public:
    using PairOfTypes::PairOfTypes;
    std::unique_ptr<Network> network;

    // Of an atom type, among the types of the network.
    int64_t row(int type) const { return rows[type]; }

    void init_style() override { need(NeighConst::REQ_FULL); }

    void compute(int eflag, int vflag) override {
        ev_init(eflag, vflag);
        refuse_stress_of_atoms();
        const double energy = evaluate(atom->f[0], eflag_atom ? eatom : nullptr, nullptr);
        if (eflag_global) eng_vdwl += energy;
        if (vflag_fdotr) virial_fdotr_compute();
    }

    // kcal/mol of the atoms of this process; forces (own atoms and images, 3), energies and descriptors (own atoms) are added to.
    double evaluate(double* forces, double* energies, real* descriptors) {
        const int own = atom->nlocal, all = own + atom->nghost;
        if (list->inum != own) error->one(FLERR, "cgrec: expected all atoms to belong to the level");
        species.resize(all);
        int64_t slots = 1;
        for (int i = 0; i < all; i++) species[i] = rows[atom->type[i]];
        for (int i = 0; i < own; i++) slots = std::max<int64_t>(slots, list->numneigh[i]);
        double total = 0;
        Problem problem{};
        problem.n_frames = 1, problem.n_sites = all, problem.own = own, problem.slots = slots, problem.threads = 1;
        problem.n_layers = network->layers.size(), problem.n_types = network->types.size();
        problem.species = species.data(), problem.positions = atom->x[0];
        problem.cutoff = network->cutoff, problem.norm = network->norm, problem.scale = network->scale;
        problem.site_energy = network->site_energy.data(), problem.embedding = network->embedding.data(), problem.layers = network->layers.data();
        problem.energies = &total, problem.forces = forces, problem.descriptors = descriptors, problem.site_energies = energies;
        problem.lists = list->firstneigh, problem.lengths = list->numneigh, problem.shared = this;
        run<vec>(problem);
        return total;
    }

    void spread(vec* states) override {
        shared = states;
        comm->forward_comm(this);
    }
    void gather(vec* gradients) override {
        shared = gradients;
        comm->reverse_comm(this);
    }
    int pack_forward_comm(int n, int* which, double* buffer, int, int*) override {
        for (int i = 0; i < n; i++)
            for (int c = 0; c < CHANNELS; c++) *buffer++ = element(shared + which[i] * CV, c);
        return n * CHANNELS;
    }
    void unpack_forward_comm(int n, int first, double* buffer) override {
        real* place = reinterpret_cast<real*>(shared + first * CV);
        for (int i = 0; i < n * CHANNELS; i++) place[i] = buffer[i];
    }
    int pack_reverse_comm(int n, int first, double* buffer) override {
        const real* place = reinterpret_cast<const real*>(shared + first * CV);
        for (int i = 0; i < n * CHANNELS; i++) buffer[i] = place[i];
        return n * CHANNELS;
    }
    void unpack_reverse_comm(int n, int* which, double* buffer) override {
        for (int i = 0; i < n; i++)
            for (int c = 0; c < CHANNELS; c++) reinterpret_cast<real*>(shared + which[i] * CV)[c] += *buffer++;
    }

  protected:
    std::vector<std::string> load(const std::string& path) override {
        network = std::make_unique<Network>(lmp, path);
        comm_forward = comm_reverse = network->layers.size() > 1 ? CHANNELS : 0;
        reach = network->cutoff;
        return network->types;
    }

  private:
    std::vector<int64_t> species;
    vec* shared = nullptr;
};

// height (d / r)^12 (1 - (r / cutoff)^2)^3 between sites, but for some pairs of every `n` that follow each other.
class PairWall : public PairOfTypes {
  public:
    using PairOfTypes::PairOfTypes;

    void init_style() override { need(NeighConst::REQ_DEFAULT); }

    void compute(int eflag, int vflag) override {
        ev_init(eflag, vflag);
        refuse_stress_of_atoms();
        double** x = atom->x;
        double** f = atom->f;
        const double far = reach * reach;
        for (int ii = 0; ii < list->inum; ii++) {
            const int i = list->ilist[ii];
            for (int jj = 0; jj < list->numneigh[i]; jj++) {
                const int j = list->firstneigh[i][jj] & NEIGHMASK;
                const double d[3] = {x[i][0] - x[j][0], x[i][1] - x[j][1], x[i][2] - x[j][2]};
                const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                if (r2 >= far || excluded(atom->tag[i] - 1, atom->tag[j] - 1)) continue;
                const double diameter = diameters[rows[atom->type[i]] * n_types + rows[atom->type[j]]];
                const double q = diameter * diameter / r2, left = 1 - r2 / far, q3 = q * q * q, wall = height * q3 * q3 * left * left;
                const double push = 2 * (6 * wall * left / r2 + 3 * wall / far);
                for (int a = 0; a < 3; a++) f[i][a] += push * d[a], f[j][a] -= push * d[a];
                if (evflag) ev_tally(i, j, atom->nlocal, 1, wall * left, 0.0, push, d[0], d[1], d[2]);
            }
        }
        if (vflag_fdotr) virial_fdotr_compute();
    }

  protected:
    std::vector<std::string> load(const std::string& path) override {
        Words file(lmp, path, "wall");
        n_types = file.whole();
        const auto types = file.words(n_types);
        reach = file.number(), height = file.number();
        diameters = file.numbers(n_types * n_types);
        n = file.whole();
        first = file.numbers<int64_t>(n + 1), partners = file.numbers<int64_t>(file.whole());
        return types;
    }

  private:
    int64_t n_types = 0, n = 0;
    double height = 0;
    std::vector<double> diameters;
    std::vector<int64_t> first, partners;

    bool excluded(int64_t i, int64_t j) const {
        if (partners.empty() || i / n != j / n) return false;
        const auto begin = partners.begin() + first[i % n], end = partners.begin() + first[i % n + 1];
        return std::find(begin, end, j % n) != end;
    }
};

// Bonded terms among the sites of every copy of the level's System: springs, walls, dihedrals, in the units of cgrec. The process that
// owns the first site of a term computes it.
class PairBonded : public PairOfTypes {
  public:
    using PairOfTypes::PairOfTypes;

    void init_style() override {
        need(NeighConst::REQ_DEFAULT);
        if (!atom->map_style) error->all(FLERR, "cgrec: bonded terms need atom_modify map yes");
        if (atom->natoms % n) error->all(FLERR, "cgrec: expected copies of a system of {} sites, found {} atoms", n, atom->natoms);
    }

    void compute(int eflag, int vflag) override {
        ev_init(eflag, vflag);
        refuse_stress_of_atoms();
        if (neighbor->ago == 0) find();
        for (const Group& group : groups)
            for (size_t k = 0; k < group.owned.size(); k += bonded::WIDE) add(group, k);
        if (vflag_fdotr) virial_fdotr_compute();
    }

  protected:
    std::vector<std::string> load(const std::string& path) override {
        Words file(lmp, path, "bonded");
        const auto types = file.words(file.whole());
        n = file.whole();
        for (int64_t k = file.whole(); k > 0; k--) {
            Group group;
            group.kind = file.whole(), group.n_numbers = file.whole();
            const int64_t terms = file.whole();
            group.sites = file.numbers<int64_t>(terms * bonded::SITES_OF[group.kind]);
            group.numbers = file.numbers(terms * group.n_numbers);
            groups.push_back(group);
        }
        return types;
    }

  private:
    struct Term { int64_t number; int atoms[bonded::MOST_SITES]; };
    struct Group {
        int64_t kind, n_numbers;
        std::vector<int64_t> sites;
        std::vector<double> numbers;
        std::vector<Term> owned;
    };
    int64_t n = 1;
    std::vector<Group> groups;

    // Which terms this process owns, and where their atoms are.
    void find() {
        for (Group& group : groups) {
            const int size = bonded::SITES_OF[group.kind];
            group.owned.clear();
            for (int64_t begin = 0; begin < atom->natoms; begin += n)
                for (size_t k = 0; k * size < group.sites.size(); k++) {
                    Term term{int64_t(k), {}};
                    const int first = atom->map(begin + group.sites[k * size] + 1);
                    if (first < 0 || first >= atom->nlocal) continue;
                    for (int a = 0; a < size; a++) {
                        const int other = atom->map(begin + group.sites[k * size + a] + 1);
                        if (other < 0) error->one(FLERR, "cgrec: a site of a bonded term is out of sight of this process: raise comm_modify cutoff");
                        term.atoms[a] = domain->closest_image(first, other);
                    }
                    group.owned.push_back(term);
                }
        }
    }

    // Up to WIDE terms, each in a lane of its own.
    void add(const Group& group, size_t start) {
        using bonded::wide;
        const int size = bonded::SITES_OF[group.kind];
        const int64_t order[] = {0, 1, 2, 3, 4, 5, 6, 7};
        wide x[3 * bonded::MOST_SITES], push[3 * bonded::MOST_SITES] = {};
        std::vector<wide>& numbers = scratch;
        numbers.resize(group.n_numbers);
        for (int lane = 0; lane < bonded::WIDE; lane++) {
            const Term& term = group.owned[std::min(start + lane, group.owned.size() - 1)];
            for (int a = 0; a < size; a++)
                for (int axis = 0; axis < 3; axis++) x[3 * a + axis][lane] = NANOMETRE * atom->x[term.atoms[a]][axis];
            for (int64_t t = 0; t < group.n_numbers; t++) numbers[t][lane] = group.numbers[term.number * group.n_numbers + t];
        }
        const wide energy = bonded::add_term(group.kind, group.n_numbers, bonded::Sites<1>{x, push}, order, numbers.data());
        for (int lane = 0; lane < bonded::WIDE && start + lane < group.owned.size(); lane++) {
            const Term& term = group.owned[start + lane];
            for (int a = 0; a < size; a++)
                for (int axis = 0; axis < 3; axis++) atom->f[term.atoms[a]][axis] += KJ_PER_MOL * NANOMETRE * push[3 * a + axis][lane];
            if (eflag_global) eng_vdwl += KJ_PER_MOL * energy[lane];
            if (eflag_atom) eatom[term.atoms[0]] += KJ_PER_MOL * energy[lane];
        }
    }
    std::vector<bonded::wide> scratch;
};

// N sum_k c_k (v / v0 - 1)^k, v the volume of an atom: what the volume itself costs.
class FixVolume : public Fix {
  public:
    FixVolume(LAMMPS* lmp, int n, char** words) : Fix(lmp, n, words) {
        if (n != 4) error->all(FLERR, "cgrec: expected fix ID group cgrec/volume FILE");
        scalar_flag = 1, extscalar = 1, energy_global_flag = thermo_energy = 1, virial_global_flag = thermo_virial = 1;
        Words file(lmp, words[3], "volume");
        reference = file.number();
        coefficients = file.numbers(file.whole());
    }
    int setmask() override { return FixConst::POST_FORCE | FixConst::MIN_POST_FORCE; }
    void setup(int vflag) override { post_force(vflag); }
    void min_setup(int vflag) override { post_force(vflag); }
    void min_post_force(int vflag) override { post_force(vflag); }
    void post_force(int vflag) override {
        v_init(vflag);
        const double ratio = domain->xprd * domain->yprd * domain->zprd / (atom->natoms * reference), strain = ratio - 1;
        double slope = 0, power = 1;
        energy = 0;
        for (size_t k = 0; k < coefficients.size(); k++, power *= strain) {
            energy += atom->natoms * coefficients[k] * power * strain;
            slope += atom->natoms * (k + 1) * coefficients[k] * power;
        }
        if (vflag_global)
            for (int a = 0; a < 3; a++) virial[a] = -slope * ratio / comm->nprocs;
    }
    double compute_scalar() override { return energy; }

  private:
    double reference, energy = 0;
    std::vector<double> coefficients;
};

// Largest Mahalanobis distance of a descriptor, or deviation of a bond, over its bound: above 1 the system lies outside.
class Guard : public Compute {
  public:
    Guard(LAMMPS* lmp, int n, char** words) : Compute(lmp, n, words) {
        if (n != 4) error->all(FLERR, "cgrec: expected compute ID group cgrec/guard FILE");
        scalar_flag = 1, extscalar = 0;
        Words file(lmp, words[3], "guard");
        types = file.words(file.whole());
        kept = file.whole();
        mean = file.numbers(types.size() * NF), whiten = file.numbers(types.size() * NF * kept);
        bounds = file.numbers(types.size());
        stretch = file.number();
        n_sites = file.whole();
        for (int64_t k = file.whole(); k > 0; k--) {
            const int64_t i = file.whole(), j = file.whole();
            const double length = file.number(), spread = file.number();
            bonds.push_back({i, j, length, spread});
        }
    }
    void init() override {
        pair = dynamic_cast<PairCgrec*>(force->pair_match("cgrec", 1));
        if (!pair || pair->network->types != types) error->all(FLERR, "cgrec: the guard watches a pair style cgrec of the same level, and there is none");
        if (!bonds.empty() && !atom->map_style) error->all(FLERR, "cgrec: the guard of bonds needs atom_modify map");
    }
    double compute_scalar() override {
        invoked_scalar = update->ntimestep;
        double own = std::max(of_sites(), of_bonds());
        MPI_Allreduce(&own, &scalar, 1, MPI_DOUBLE, MPI_MAX, world);
        return scalar;
    }

  private:
    struct Bond { int64_t i, j; double length, spread; };
    PairCgrec* pair = nullptr;
    std::vector<std::string> types;
    std::vector<double> mean, whiten, bounds;
    std::vector<Bond> bonds;
    int64_t kept = 0, n_sites = 1;
    double stretch = 1;

    double of_sites() {
        std::vector<real> described(size_t(atom->nlocal) * NF);
        std::vector<double> forces(size_t(atom->nlocal + atom->nghost) * 3);
        pair->evaluate(forces.data(), nullptr, described.data());
        double largest = 0;
        for (int i = 0; i < atom->nlocal; i++) {
            const int64_t row = pair->row(atom->type[i]);
            double square = 0;
            for (int64_t k = 0; k < kept; k++) {
                double along = 0;
                for (int64_t t = 0; t < NF; t++) along += (described[size_t(i) * NF + t] - mean[row * NF + t]) * whiten[(row * NF + t) * kept + k];
                square += along * along;
            }
            largest = std::max(largest, std::sqrt(square / bounds[row]));
        }
        return largest;
    }

    double of_bonds() {
        double largest = 0;
        for (const Bond& bond : bonds)
            for (int64_t begin = 0; begin < atom->natoms; begin += n_sites) {
                const int i = atom->map(begin + bond.i + 1);
                if (i < 0 || i >= atom->nlocal) continue;
                int j = atom->map(begin + bond.j + 1);
                if (j < 0) return std::numeric_limits<double>::max();  // longer than what this process sees
                j = domain->closest_image(i, j);
                double square = 0;
                for (int a = 0; a < 3; a++) square += (atom->x[i][a] - atom->x[j][a]) * (atom->x[i][a] - atom->x[j][a]);
                largest = std::max(largest, std::abs(std::sqrt(square) - bond.length) / bond.spread / stretch);
            }
        return largest;
    }
};

template <class T> Pair* make_pair_style(LAMMPS* lmp) { return new T(lmp); }
Compute* make_guard(LAMMPS* lmp, int n, char** words) { return new Guard(lmp, n, words); }
Fix* make_volume(LAMMPS* lmp, int n, char** words) { return new FixVolume(lmp, n, words); }

struct Style {  // lammpsplugin_t of lammpsplugin.h, which the wheel does not bring
    const char *version, *style, *name, *info, *author;
    void *creator, *handle;
};
}  // namespace

extern "C" void lammpsplugin_init(void* lammps, void* handle, void* registration) {
    auto add = reinterpret_cast<void (*)(Style*, void*)>(registration);
    const char* version = static_cast<LAMMPS*>(lammps)->version;
    Style styles[] = {
        {version, "pair", "cgrec", "network of a level of cgrec", "cgrec", reinterpret_cast<void*>(&make_pair_style<PairCgrec>), handle},
        {version, "pair", "cgrec/wall", "excluded volume of a level of cgrec", "cgrec", reinterpret_cast<void*>(&make_pair_style<PairWall>), handle},
        {version, "pair", "cgrec/bonded", "bonded terms of a level of cgrec", "cgrec", reinterpret_cast<void*>(&make_pair_style<PairBonded>), handle},
        {version, "fix", "cgrec/volume", "what the volume of a level of cgrec costs", "cgrec", reinterpret_cast<void*>(&make_volume), handle},
        {version, "compute", "cgrec/guard", "what lies outside of what a level was trained on", "cgrec", reinterpret_cast<void*>(&make_guard), handle},
    };
    for (Style& style : styles) add(&style, lammps);
}
