"""The same contracts on a GPU where there is one, and elsewhere on one that is made up (`fake`)."""

from contextlib import suppress

import pytest
import torch

from .fake import DEVICE, NoCompiler, fake_device, no_driver


def pytest_collection_finish():
    """Before any test computes a gradient."""
    if not torch.cuda.is_available():
        with suppress(NoCompiler):
            no_driver()


@pytest.fixture
def device():
    """Where things are put."""
    if torch.cuda.is_available():
        yield DEVICE
        return
    try:
        with fake_device():
            yield DEVICE
    except NoCompiler as reason:
        pytest.skip(f"no GPU, and none can be made up: {reason}")


@pytest.fixture
def traffic(device):
    """What made the host wait, so far as the device is made up."""
    from . import fake

    if torch.cuda.is_available() and not fake.active():
        pytest.skip("waits are counted on the device that is made up")
    fake.traffic.clear()
    return fake.traffic
