"""A device that is not the CPU, for machines that have no other: tensors that say they are away.

It computes, on the CPU underneath, what the CPU does; but the code takes its paths for a GPU, and
an operation that mixes tensors from here and there is refused, as a GPU refuses it. While a step is
said to be recorded, so is what a CUDA graph cannot hold: reading from the device or copying to it.
The device goes by PyTorch's name "meta", the only one that needs no library of its own.
"""

import copy
import importlib
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

AWAY = torch.device("meta")
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
MASKED = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default}
AUTOCAST = torch.autocast
LOWERED = (
    *(F.linear, F.conv1d, F.conv2d, F.scaled_dot_product_attention, torch.einsum, torch.baddbmm),
    *(torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__),
)
RAISED = (F.layer_norm, torch.layer_norm, torch.softmax, torch.Tensor.softmax, torch.logsumexp)
ITEMS = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
HOST_READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Away(torch.Tensor):
    """A tensor of the device; what it holds lies in `here`."""

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, device=AWAY,
        )  # fmt: skip

    def __init__(self, here):
        self.here = here

    def __repr__(self):
        return f"Away({self.here})"

    def __deepcopy__(self, memo):
        return Away(copy.deepcopy(self.here, memo)).requires_grad_(self.requires_grad)

    def __reduce_ex__(self, protocol):
        return self.here.__reduce_ex__(protocol)  # a file says nothing of this device

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} outside of elsewhere()")


class _Functions(TorchFunctionMode):
    """What comes before a tensor's device is known: torch.tensor, and autocast as CUDA has it."""

    def __init__(self):
        super().__init__()
        self.lower = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor) and device is not None:
            del kwargs["device"]  # made on the host, then copied, as all data is
            return func(*args, **kwargs).to(device)
        if func in ITEMS and isinstance(args[0], Away) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        if func is torch.Tensor.tolist and isinstance(args[0], Away):
            return args[0].cpu().tolist()
        if self.lower is not None and func in (torch._VF.gru, torch._VF.lstm):
            raise AssertionError("CUDA's autocast runs recurrent layers in float16, whatever asked")
        if func in (torch._VF.gru, torch._VF.lstm) and isinstance(args[0], Away):
            return _recurrent(func, *args)
        if self.lower is not None and func in LOWERED + RAISED:
            dtype = self.lower if func in LOWERED else torch.float32
            args, kwargs = tree_map(lambda x: _cast(x, dtype), (args, kwargs))
        return func(*args, **kwargs)

    @contextmanager
    def autocast(self, device_type, dtype=None, enabled=True):
        """In place of torch.autocast."""
        if device_type != AWAY.type:
            with AUTOCAST(device_type, dtype, enabled):
                yield
            return
        before, self.lower = self.lower, (dtype or torch.float16) if enabled else None
        try:
            yield
        finally:
            self.lower = before


def _recurrent(func, tokens, second, *args):
    """As cuDNN has it; batch-first by views, as a tensor of here cannot be transposed in place."""
    if torch.is_tensor(second) and not second.is_floating_point():
        raise AssertionError("a packed sequence: its lengths are gone when a step is replayed")
    *others, training, bidirectional, batch_first = args
    learns = any(x.requires_grad for x in tree_leaves((tokens, others)) if torch.is_tensor(x))
    if torch.is_grad_enabled() and learns and not training:
        raise RuntimeError("cudnn RNN backward can only be called in training mode")
    tokens = tokens.transpose(0, 1) if batch_first else tokens
    states, *last = func(tokens, second, *others, training, bidirectional, False)
    return states.transpose(0, 1) if batch_first else states, *last


def _cast(x, dtype):
    return x.to(dtype) if isinstance(x, Away) and x.is_floating_point() else x


class Elsewhere(TorchDispatchMode):
    """Computes with tensors that are away.

    Attributes:
        recording: whether what cannot be recorded is refused.
    """

    def __init__(self):
        super().__init__()
        self.recording = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if torch.is_tensor(x)]
        away = [x for x in given if isinstance(x, Away)]
        if any(x.device == AWAY for x in given if not isinstance(x, Away)):
            raise AssertionError(f"{func} of a tensor that was made without its data")
        device = kwargs.get("device")
        to = device if device is not None else AWAY if away else torch.device("cpu")
        moved = torch.device(to).type == AWAY.type
        if func is torch.ops.aten.copy_.default:
            moved = isinstance(args[0], Away)
        if func in MASKED and isinstance(args[0], Away) and not self.recording:
            places = {id(x) for x in tree_leaves(args[1])}  # may come from the host: it is sent
            self._check(func, [x for x in given if isinstance(x, Away) or id(x) not in places],
                        away, moved)  # fmt: skip
        else:
            self._check(func, given, away, moved)
        owners = {id(x.here): x for x in away}
        kwargs = {name: _home(x) for name, x in kwargs.items()}
        if device is not None:
            kwargs["device"] = torch.device("cpu")
        answer = func(*_home(args), **kwargs)
        if func is torch.ops.aten._to_copy.default and answer is given[0]:
            raise AssertionError("a copy must be one")
        told = [x for x in tree_leaves(answer) if not (x is None or torch.is_tensor(x))]
        if self.recording and away and told:
            raise RuntimeError(f"{func} gives the host {answer}")

        def leave(x):
            if not torch.is_tensor(x) or not moved:
                return x
            return owners[id(x)] if id(x) in owners else Away(x)

        return tree_map(leave, answer)

    def _check(self, func, given, away, moved):
        mixed = 0 < len(away) < len(given)
        if func in COPIES:
            if self.recording and (mixed or moved != bool(away)):
                raise RuntimeError(f"{func} between the host and the device in a recording")
        elif mixed and (self.recording or any(x.dim() for x in given if not isinstance(x, Away))):
            raise RuntimeError(f"{func} mixes tensors of the host and the device")
        if not self.recording or not away:
            return
        masks = any(x.dtype == torch.bool for x in given[1:])
        if HOST_READS & set(func.tags) and (func not in MASKED or masks):
            raise RuntimeError(f"{func} waits for the device in a recording")
        if func in MASKED and masks:
            raise RuntimeError(f"{func} with a mask waits for the device in a recording")


def _home(tree):
    """Nested tensors as they are underneath."""

    def home(x):
        if isinstance(x, Away):
            return x.here
        return torch.device("cpu") if isinstance(x, torch.device) else x

    return tree_map(home, tree)


@contextmanager
def elsewhere():
    """Within, "meta" is a device that computes; yields its mode."""
    functions = _Functions()
    optimizers = importlib.import_module("torch.optim.optimizer")  # torch.optim hides its name
    fused = mock.Mock(return_value=["cpu", AWAY.type])
    with (
        mock.patch("torch.autocast", functions.autocast),
        mock.patch("torch.inference_mode", torch.no_grad),  # which such tensors cannot enter
        mock.patch.object(optimizers, "_get_fused_kernels_supported_devices", fused),
        functions,
        Elsewhere() as mode,
    ):
        yield mode


@contextmanager
def recorded(mode):
    """Within, what a recorded step may not do is refused."""
    mode.recording = True
    try:
        yield
    finally:
        mode.recording = False


def on_the_host(function):
    """The function as it is outside of elsewhere(), where a "meta" tensor holds nothing."""

    def _call(*args, **kwargs):
        with _disable_current_modes():
            return function(*args, **kwargs)

    return _call
