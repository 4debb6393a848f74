// Lets a torch without CUDA have tensors that are called cuda: what autograd asks of a driver is
// answered, and nothing is done.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <new>

namespace {

bool there = false;
constexpr auto CUDA = c10::DeviceType::CUDA;
const c10::Device FIRST(CUDA, 0);

// Its numbers are those of the CPU, which does not take it for its own.
struct Generator final : at::CPUGeneratorImpl {
    Generator() { device_ = FIRST; }
};

struct Hooks final : at::CUDAHooksInterface {
    void init() const override {}
    at::Generator getNewGenerator(c10::DeviceIndex) const override {
        return at::make_generator<Generator>();
    }
    bool hasCUDA() const override { return there; }
    bool isBuilt() const override { return there; }
    bool isAvailable() const override { return there; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    int getNumGPUs() const override { return 1; }
    c10::DeviceIndex deviceCount() const override { return 1; }
    c10::DeviceIndex current_device() const override { return 0; }
    c10::DeviceIndex getCurrentDevice() const override { return 0; }
    void setCurrentDevice(c10::DeviceIndex) const override {}
    c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
    c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
};

struct Guard final : c10::impl::NoOpDeviceGuardImpl<CUDA> {
    c10::Device exchangeDevice(c10::Device) const override { return FIRST; }
    c10::Device getDevice() const override { return FIRST; }
    c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
    c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
    void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
    void block(void*, const c10::Stream&) const override {}
    bool queryEvent(void*) const override { return true; }

    static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, FIRST); }
};

Guard guard;

}  // namespace

// Once, before the first gradient of the process: autograd counts devices then.
extern "C" void no_driver() {
    auto& guards = c10::impl::device_guard_impl_registry;
    guards[static_cast<size_t>(CUDA)].store(&guard);
    // torch asked its registry when it was imported and keeps what it was given: an object without
    // members, whose place this one takes.
    static_assert(sizeof(Hooks) == sizeof(at::CUDAHooksInterface));
    new (const_cast<at::CUDAHooksInterface*>(&at::detail::getCUDAHooks())) Hooks;
}

extern "C" void be_there(bool now) { there = now; }
