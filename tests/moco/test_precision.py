"""Products that no switch of the process may round, forward or backward."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moco.kernels.precision import FullProduct, full_float32
from moco.loss import similarities
from tests.support.elsewhere import AWAY, elsewhere

MATMUL = torch.backends.cuda.matmul
NEWER = hasattr(MATMUL, "fp32_precision")  # torch 2.9 and later


class Products(TorchDispatchMode):
    """Notes what may be rounded whenever a product is launched."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.__name__.split(".")[0] in ("mm", "bmm", "addmm", "baddbmm"):
            newer = MATMUL.fp32_precision if NEWER else "ieee"
            self.seen.append((torch.get_float32_matmul_precision(), MATMUL.allow_tf32, newer))
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=["high", "medium"])
def rounding(request):
    """The process lets products be rounded."""
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision("highest")


@pytest.mark.filterwarnings("ignore:TF32")  # of oneDNN's, for other machines
@pytest.mark.parametrize("shapes", [((4, 3), (3, 5)), ((4, 2, 3), (4, 3, 1))])
def test_a_full_product_is_one_forward_and_backward(rounding, shapes):
    left, right = (torch.randn(shape, requires_grad=True) for shape in shapes)
    weights = torch.randn((left @ right).shape)
    with full_float32():
        expected = torch.autograd.grad((left @ right * weights).sum(), (left, right))
    with Products() as products:
        found = FullProduct.apply(left, right)
        gradients = torch.autograd.grad((found * weights).sum(), (left, right))
    assert products.seen == [("highest", False, "ieee")] * 3
    assert torch.get_float32_matmul_precision() == rounding
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:TF32")
def test_logits_on_a_gpu_are_the_cpus_and_never_rounded(rounding):
    torch.manual_seed(0)
    given = [torch.randn(shape) for shape in ((4, 8), (4, 3, 8), (20, 8))]
    answers = []
    for device in (AWAY, torch.device("cpu")):
        with elsewhere():
            query, own, others = (each.to(device) for each in given)
            query.requires_grad_()
            with Products() as products, full_float32() if device.type == "cpu" else elsewhere():
                logits = similarities(query, own, others, 0.2)
                gradient = torch.autograd.grad(torch.cat(logits, dim=1).square().sum(), query)
            answers.append([each.detach().cpu() for each in (*logits, *gradient)])
        if device == AWAY:
            assert len(products.seen) == 4  # positive and negative, forward and backward
            assert {old for old, _, _ in products.seen} == {"highest"}
    for away, here in zip(*answers, strict=True):
        torch.testing.assert_close(away, here, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not NEWER, reason="torch 2.9 made the newer switches")
@pytest.mark.parametrize("used", ["tf32", "ieee", "none"])
def test_the_newer_switches_are_given_back_even_where_they_were_used_alone(used):
    torch.set_float32_matmul_precision("highest")
    MATMUL.fp32_precision = used
    try:
        with full_float32():
            assert MATMUL.fp32_precision == "ieee"
            assert torch.get_float32_matmul_precision() == "highest"
        assert MATMUL.fp32_precision == used
    finally:
        torch.set_float32_matmul_precision("highest")
